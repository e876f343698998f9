"""`sparq-perf doctor`: what this machine can measure, and what is missing for the rest."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparq_perf.cli import options
from sparq_perf.cli.options import print_json
from sparq_profiles import ConfigError

if TYPE_CHECKING:
    from sparq_perf.measure.examining import Examination

EXIT_FAILED_CHECK = 1
NAMES = (
    *("cpu", "gpu", "baselines", "profiler-cpu", "profiler-gpu"),
    *("nvml", "energy", "dram", "counted", "compiled", "report"),
)


def doctor(
    require: Annotated[
        list[str] | None,
        typer.Option("--require", help=f"Exit 1 unless this is available: {', '.join(NAMES)}; may be given again."),
    ] = None,
    as_json: options.Json = False,
) -> int:
    """Say what can be measured here, and for everything else the reason and what would mend it.

    Every instrument is asked; counting is tried on a small kernel. Takes some seconds, changes nothing.
    Exit codes: 0; 1 something required is not available; 2 bad input.

    Example: sparq-perf doctor --require gpu --require energy
    """
    for name in require or ():
        if name not in NAMES:
            raise ConfigError(f"--require is {name!r}: choose of {', '.join(NAMES)}")

    from sparq_perf.measure.examining import examine, missing

    found = examine()
    if as_json:
        print_json(_as_json(found))
    else:
        _print(found)
    return EXIT_FAILED_CHECK if list(missing(found, tuple(require or ()))) else 0


def _as_json(found: "Examination") -> dict[str, Any]:
    return {
        "instruments": [
            {
                "name": finding.name,
                "tells": finding.tells,
                "available": finding.available,
                "detail": finding.detail,
                "absence": None if finding.absence is None else finding.absence.model_dump(mode="json"),
                "mend": finding.mend,
            }
            for finding in found.findings
        ],
        "gpu_state": found.gpu_state.model_dump(mode="json"),
        "dram": [rung.model_dump(mode="json") for rung in found.rungs],
    }


def _print(found: "Examination") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("instrument", "here", "what it tells, and by what or why not"):
        table.add_column(heading, overflow="fold")
    for finding in found.findings:
        why = finding.detail if finding.available else str(finding.absence)
        text = Text(finding.tells)
        text.append(f"\n{why}", style="dim")
        if finding.mend and not finding.available:
            text.append(f"\nto have it: {finding.mend}")
        table.add_row(finding.name, Text("yes" if finding.available else "no", style="bold"), text)
    console.print(table)
    _print_gpu_state(console, found)


def _print_gpu_state(console: Any, found: "Examination") -> None:
    """NVML's fields by value or reason; one line where all have the same reason."""
    readings = [(name, getattr(found.gpu_state, name)) for name in type(found.gpu_state).model_fields]
    reasons = {str(reading.absence) for _, reading in readings}
    if len(reasons) == 1 and readings[0][1].absence is not None:
        console.print(f"NVML's {len(readings)} fields are all absent: {reasons.pop()}", markup=False, highlight=False)
        return
    for name, reading in readings:
        value = f"{reading.value}" if reading.absence is None else f"absent, {reading.absence}"
        console.print(f"{name:<22} {value}", markup=False, highlight=False)
