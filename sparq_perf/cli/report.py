"""`sparq-perf report`: records to HTML."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    records: Annotated[Path, typer.Argument(help="A records.jsonl, or the folder that holds one.")],
    out: Annotated[Path | None, typer.Option("--out", help="The HTML file; beside the records by default.")] = None,
) -> None:
    """Write one HTML page, readable offline, from the records of a run."""
    from sparq_perf.measure.names import RECORDS_NAME, REPORT_NAME
    from sparq_perf.records.store import RecordError, read_lines
    from sparq_perf.report.render import write_report
    from sparq_perf.summary import summarise
    from sparq_perf.timeline import TRACE_NAME

    path = records / RECORDS_NAME if records.is_dir() else records
    lines = read_lines(path)
    target = out or path.with_name(REPORT_NAME)
    try:
        beside = target.with_name(TRACE_NAME)
        write_report(lines, target, timeline=TRACE_NAME if beside.exists() else None)
    except OSError as error:
        raise RecordError(f"{target}: cannot be written: {error.strerror or error}") from None
    for line in summarise(lines, target):
        typer.echo(line)
