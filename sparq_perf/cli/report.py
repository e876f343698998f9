"""`sparq-perf report`: records to HTML."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparq_profiles import ConfigError

if TYPE_CHECKING:
    from sparq_perf.fidelity_report.view import FidelityView
    from sparq_perf.records.schema import Line

FIDELITY_NAME = "fidelity.html"


def report(
    records: Annotated[Path, typer.Argument(help="A records.jsonl (or .gz), or the folder that holds one.")],
    out: Annotated[Path | None, typer.Option("--out", help="The HTML file; beside the records by default.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write a run's tables as Markdown to this file too.")
    ] = None,
    speed: Annotated[
        list[Path] | None,
        typer.Option("--speed", help="Records of a run, to set its times beside fidelity; may be given again."),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            "--tolerance",
            help="Loss to recommend a setting for: kl=0.05, agreement=0.95, perplexity=1.02 (over dense) or "
            "accuracy=0.01 (drop); may be given again.",
        ),
    ] = None,
    hardware: Annotated[
        str | None, typer.Option("--hardware", help="A device to predict attention's speed for, beside fidelity.")
    ] = None,
) -> None:
    """Write one HTML page, readable offline, from the records of a run; of fidelity, from fidelity's.

    Records of fidelity alone make fidelity.html, or --out. Records of both kinds make the run's report, and
    fidelity.html beside it. --speed, --tolerance and --hardware are of the fidelity page.

    Example: sparq-perf report fidelity.jsonl --speed records.jsonl --tolerance kl=0.05
    """
    from sparq_perf.measure.names import REPORT_NAME
    from sparq_perf.publishing import write_summary
    from sparq_perf.records.schema import AttentionMap, Fidelity, Run
    from sparq_perf.records.store import read_lines, records_file
    from sparq_perf.summary import summarise

    path = records_file(records)
    lines = read_lines(path)
    about_fidelity = any(isinstance(line, Fidelity) for line in lines)
    if not about_fidelity and (speed or tolerance or hardware):
        named = "speed" if speed else "tolerance" if tolerance else "hardware"
        raise ConfigError(f"--{named}: {path} holds no fidelity lines: give a file that 'sparq-perf fidelity' wrote")
    if markdown is not None and not any(isinstance(line, Run) for line in lines):
        raise ConfigError(f"--markdown: {path} holds no run: 'sparq-perf fidelity --markdown' writes fidelity's tables")
    view = _fidelity_view(path, lines, speed, tolerance, hardware) if about_fidelity else None
    if view is not None and all(isinstance(line, Fidelity | AttentionMap) for line in lines):
        target = out or path.with_name(FIDELITY_NAME)
        _write_fidelity(view, target, None)
        for text in _told(view):
            typer.echo(text)
        typer.echo(f"report      {target}")
        return
    if all(isinstance(line, AttentionMap) for line in lines):
        target = out or path.with_name(FIDELITY_NAME)
        _write_maps(lines, target)
        typer.echo(f"report      {target}")
        return
    target = out or path.with_name(REPORT_NAME)
    beside = None
    if view is not None:
        if target.name == FIDELITY_NAME:
            raise ConfigError(f"--out {target}: the page of the fidelity lines gets this name: choose another")
        beside = target.with_name(FIDELITY_NAME)
    _write_run(lines, target, None if beside is None else beside.name)
    if view is not None and beside is not None:
        _write_fidelity(view, beside, target.name)
    for text in (*_told(view), f"fidelity    {beside}") if view is not None else ():
        typer.echo(text)
    if markdown is not None:
        write_summary(lines, markdown, target)
    for text in summarise(lines, target):
        typer.echo(text)


def _fidelity_view(
    path: Path, lines: list["Line"], speed: list[Path] | None, tolerance: list[str] | None, hardware: str | None
) -> "FidelityView":
    from sparq_perf.fidelity.tolerance import parse_tolerance
    from sparq_perf.fidelity_report.sources import source_of
    from sparq_perf.fidelity_report.view import build_view
    from sparq_perf.records.store import read_lines, records_file
    from sparq_profiles import load_hardware

    tolerances = [parse_tolerance(text) for text in tolerance or ()]
    device = load_hardware(hardware) if hardware else None
    read = {file: read_lines(file) for file in map(records_file, speed or ())}
    return build_view(
        lines,
        beside=[line for own in read.values() for line in own],
        tolerances=tolerances,
        hardware=device,
        sources=[source_of(path, lines), *(source_of(file, own) for file, own in read.items())],
        command=shlex.join(["sparq-perf", *sys.argv[1:]]),
    )


def _write_fidelity(view: "FidelityView", target: Path, run_report: str | None) -> None:
    from sparq_perf.fidelity_report.render import write_fidelity
    from sparq_perf.records.store import RecordError

    try:
        write_fidelity(view, target, run_report=run_report)
    except OSError as error:
        raise RecordError(f"{target}: cannot be written: {error.strerror or error}") from None


def _write_maps(lines: list["Line"], target: Path) -> None:
    from sparq_perf.fidelity_report.maps_page import write_maps
    from sparq_perf.records.store import RecordError

    try:
        write_maps(lines, target)
    except OSError as error:
        raise RecordError(f"{target}: cannot be written: {error.strerror or error}") from None


def _write_run(lines: list["Line"], target: Path, fidelity: str | None) -> None:
    from sparq_perf.records.store import RecordError
    from sparq_perf.report.render import write_report
    from sparq_perf.timeline import TRACE_NAME

    try:
        beside = target.with_name(TRACE_NAME)
        write_report(lines, target, timeline=TRACE_NAME if beside.exists() else None, fidelity=fidelity)
    except OSError as error:
        raise RecordError(f"{target}: cannot be written: {error.strerror or error}") from None


def _told(view: "FidelityView") -> list[str]:
    """The answers in plain lines, of the first bench that has some."""
    answers = next((bench.answers for bench in view.benches if bench.answers), ())
    lines = [answer.sentence for answer in answers] or [view.headline]
    return [f"{'tolerance' if answers else 'fidelity':12}{' '.join(line.split())}" for line in lines] + [
        f"{'tolerance':12}{tolerance}: no setting here was measured by it" for tolerance in view.unanswered
    ]
