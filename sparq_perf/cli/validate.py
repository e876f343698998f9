"""`sparq-perf validate`: predictions beside measurements that they were not fitted to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparq_perf.cli import options
from sparq_perf.cli.options import print_json
from sparq_profiles import ConfigError

if TYPE_CHECKING:
    from sparq_roofline.calibration import Accuracy
    from sparq_roofline.published import PublishedComparison


def validate(
    records: Annotated[
        Path | None,
        typer.Argument(help="A records.jsonl (or .gz), or the folder that holds one; none with --published."),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", help="A file that 'sparq-perf calibrate' wrote.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Compare with the paper's tables: by datasheets, or --calibration's.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Say how well a calibration foretells the measurements that it did not see, beside bytes over bandwidth.

    Errors are predicted over measured, less 1, as fractions. coverage_90: the share of times in the 90 % interval.

    Example: sparq-perf validate records.jsonl --calibration calibration.toml
    """
    from sparq_roofline.calibration import load_calibration
    from sparq_roofline.calibration import validate as check

    if published:
        if records is not None:
            raise ConfigError(f"--published compares with the paper's tables: leave {records} out")
        _published(calibration, as_json)
        return
    if records is None or calibration is None:
        raise ConfigError("nothing to validate: give records and --calibration, or --published")
    from sparq_perf.measured_points import own_traffic, read_measured

    loaded = load_calibration(calibration)
    measured = read_measured(records)
    if measured.device != loaded.provenance.device:
        told = f"{records} is of {measured.device}, and {calibration} of {loaded.provenance.device}"
        typer.echo(f"sparq-perf: {told}: errors tell of the difference too", err=True)
    accuracies = check(measured.points, loaded, own_traffic=own_traffic())
    if not accuracies:
        known = ", ".join(entry.implementation for entry in loaded.implementations)
        raise ConfigError(f"{records}: has no measurement of what {calibration} knows: {known}")
    if as_json:
        print_json({name: _flat(accuracy) for name, accuracy in accuracies.items()})
    else:
        _print_table(accuracies)


def _flat(accuracy: "Accuracy") -> dict[str, Any]:
    """Its errors beside its counts; null where every point was seen."""
    errors = asdict(accuracy.errors) if accuracy.errors else dict.fromkeys(("median_ape", "p90_ape", "bias"))
    return {
        "n": accuracy.n,
        **errors,
        "coverage_90": accuracy.coverage_90,
        "n_seen": accuracy.n_seen,
        "n_extrapolated": accuracy.n_extrapolated,
        "naive": asdict(accuracy.naive) if accuracy.naive else None,
        **({"layouts": {name: _flat(part) for name, part in accuracy.layouts.items()}} if accuracy.layouts else {}),
    }


def _rows(accuracies: "Mapping[Any, Accuracy]", indent: str = "") -> "Iterator[tuple[str, Accuracy]]":
    for name, accuracy in accuracies.items():
        yield indent + name, accuracy
        yield from _rows(accuracy.layouts, indent + "  ")


def _print_table(accuracies: "Mapping[str, Accuracy]") -> None:
    rows = []
    for name, accuracy in _rows(accuracies):
        cells = ["–"] * 6
        if accuracy.errors and accuracy.naive and accuracy.coverage_90 is not None:
            errors, naive = accuracy.errors, accuracy.naive
            cells = [
                f"{errors.median_ape:.1%}",
                f"{errors.p90_ape:.1%}",
                f"{errors.bias:+.1%}",
                f"{accuracy.coverage_90:.0%}",
                f"{naive.median_ape:.0%}",
                f"{naive.p90_ape:.0%}",
            ]
        rows.append((name, str(accuracy.n), *cells))
    _print(
        ("", "unseen", "median", "90 %", "bias", "covered", "naive\nmedian", "naive\n90 %"),
        rows,
    )
    _print_notes("errors over unseen points; covered: share of times in the 90 % interval; naive: bytes over bandwidth")


def _published(calibration: Path | None, as_json: bool) -> None:
    from sparq_roofline.calibration import load_calibration
    from sparq_roofline.published import compare_published

    loaded = [load_calibration(calibration)] if calibration else []
    found = compare_published(loaded)
    if as_json:
        print_json([{**asdict(row), "inside": row.inside} for row in found])
        return
    for (where, evidence), group in groupby(sorted(found, key=_place), key=_place):
        rows = []
        for row in group:
            unit, scale, digits = (" µs", 1e6, 0) if row.quantity == "time_s" else ("×", 1.0, 2)
            values = (row.published, row.predicted.expected, row.predicted.lower, row.predicted.upper)
            told, expected, lower, upper = (f"{value * scale:.{digits}f}" for value in values)
            inside = "yes" if row.inside else "no"
            rows.append((row.what, told + unit, expected + unit, f"{lower}–{upper}{unit}", inside))
        _print_notes(f"\n{where}: {evidence}", style="bold")
        _print(("", "published", "predicted", "interval", "inside"), rows)
    _print_notes(_published_notes(found))


def _place(row: "PublishedComparison") -> tuple[str, str]:
    return (row.where, row.evidence)


def _published_notes(found: "Sequence[PublishedComparison]") -> str:
    notes = sorted({f"{row.source}" for row in found})
    if any(row.evidence == "datasheet" and not row.inside for row in found):
        notes.append(
            "from datasheets, kernels move the algorithm's bytes and nothing else; the published ones spend 40 to 50 % "
            "of their time in softmax, torch.topk and launches: calibrate to predict them"
        )
    return "\n".join(notes)


def _print(headings: tuple[str, ...], rows: "Sequence[tuple[str, ...]]") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left", no_wrap=True, min_width=0 if index else 22)
    for name, *cells in rows:
        table.add_row(Text(name), *cells)
    Console().print(table)


def _print_notes(notes: str, style: str = "dim") -> None:
    from rich.console import Console
    from rich.text import Text

    Console().print(Text(notes), style=style)
