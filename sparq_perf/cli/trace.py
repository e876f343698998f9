"""`sparq-perf trace`: records to one timeline for ui.perfetto.dev."""

from pathlib import Path
from typing import Annotated

import typer

from sparq_perf.cli import options
from sparq_perf.cli.options import print_json


def trace(
    records: Annotated[Path, typer.Argument(help="A records.jsonl (or .gz), or the folder that holds one.")],
    out: Annotated[Path | None, typer.Option("--out", help="The JSON file; beside the records by default.")] = None,
    calls_only: Annotated[
        bool,
        typer.Option("--calls-only", help="Only the profiled calls and their predictions, moved close together."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Write what a run's profiles and NVML's samples saw as one timeline, which ui.perfetto.dev opens.

    It shows one profiled call of each configuration, its predicted steps below it, and NVML's counters, all on the
    run's clock, and names what is absent with its reason.

    A call takes microseconds of a run of minutes. In the viewer, select "until the call shown begins" below a profile
    and press ], then F; the keys . and , go on to the next call and back. Or give --calls-only.

    Exit codes: 0 written; 2 nothing was profiled or sampled, or bad input.
    """
    from sparq_perf.records.store import read_lines, records_file
    from sparq_perf.timeline import TRACE_NAME, VIEWER, contents, write_trace

    path = records_file(records)
    lines = read_lines(path)
    written = write_trace(lines, out or path.with_name(TRACE_NAME), calls_only=calls_only)
    found = contents(lines)
    if as_json:
        print_json({"trace": str(written), **found.as_json()})
        return
    for line in (f"trace   {written}: open it at {VIEWER}", *found.lines):
        typer.echo(line)
