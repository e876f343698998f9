"""`sparq-perf calibrate`: time models of a device's implementations, from some of its measurements."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparq_perf.cli import options
from sparq_perf.cli.options import print_json
from sparq_profiles import ConfigError

if TYPE_CHECKING:
    from sparq_roofline.calibration import Calibration

Records = Annotated[Path, typer.Argument(help="A records.jsonl (or .gz), or the folder that holds one.")]
CHOICES = ("spread", "random")


def calibrate(
    records: Records,
    points: Annotated[
        int, typer.Option("--points", help="Points to see of each implementation and layout of K; at most half.")
    ] = 24,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the choice of points.")] = 0,
    choice: Annotated[
        str, typer.Option("--choice", help="spread over the sizes, without a look at the times; or random.")
    ] = "spread",
    out: Annotated[Path, typer.Option("--out", help="The TOML file to write.")] = Path("calibration.toml"),
    as_json: options.Json = False,
) -> None:
    """Fit each implementation's time model to a few of a device's measurements, and save it with its provenance.

    The measurements are a run's, or imported ones. Those not seen are left for 'sparq-perf validate'; predict, sweep
    and size take the file as --calibration.

    Example: sparq-perf calibrate records.jsonl --points 24 --seed 0 --out calibration.toml
    """
    from sparq_perf import __version__
    from sparq_perf.measured_points import read_measured
    from sparq_roofline.calibration import MINIMUM_POINTS, save_calibration
    from sparq_roofline.calibration import calibrate as fit_all

    if points < MINIMUM_POINTS:
        raise ConfigError(f"--points is {points}: a time model needs at least {MINIMUM_POINTS}")
    if seed < 0:
        raise ConfigError(f"--seed is {seed}: give 0 or more")
    if choice not in CHOICES:
        raise ConfigError(f"--choice is {choice!r}: choose {' or '.join(CHOICES)}")
    if out.suffix != ".toml":
        raise ConfigError(f"--out is {out}: name a .toml file")
    measured = read_measured(records)
    calibration = fit_all(
        measured.points,
        measured.hardware,
        n_points=points,
        seed=seed,
        choice=choice,  # type: ignore[arg-type]
        own_traffic=measured.own_traffic,
        device=measured.device,
        source=measured.source,
        source_sha256=measured.source_sha256,
        package_version=__version__,
    )
    if not calibration.implementations:
        why = "; ".join(f"{name}: {reason}" for name, reason in calibration.skipped.items())
        raise ConfigError(f"{records}: nothing can be calibrated: {why or 'every cache was warm'}")
    save_calibration(calibration, out)
    document = _described(calibration)
    if as_json:
        print_json({"calibration": str(out), "device": measured.device, **document})
        return
    typer.echo(f"calibration {out}: {measured.device}")
    for name, entry in document["implementations"].items():
        aside = f", {entry['n_disturbed']} set aside as disturbed" if entry["n_disturbed"] else ""
        left_out = f"90 % within {entry['left_out_error']:.0%} when left out in turn"
        typer.echo(f"{name:<20} {entry['n_points']:>3} points, {left_out}{aside}")
    for name, why in calibration.skipped.items():
        typer.echo(f"{name:<20} left out: {why}")


def _described(calibration: "Calibration") -> dict[str, Any]:
    return {
        "implementations": {
            entry.implementation: {
                "n_points": len(entry.points),
                "left_out_error": max(model.model.left_out_error for model in entry.models),
                "n_disturbed": sum(point.disturbed for point in entry.points),
            }
            for entry in calibration.implementations
        },
        "skipped": dict(calibration.skipped),
    }
