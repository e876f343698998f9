"""What a run leaves for readers beside its records: a summary in Markdown, a timeline and, with plotly, the report."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sparq_perf.expectations import Verdict, judge, rows
from sparq_perf.measure.names import REPORT_NAME, SUMMARY_NAME
from sparq_perf.measure.resume import suite_digest
from sparq_perf.records.schema import Line, Run
from sparq_perf.records.store import RecordError
from sparq_perf.summary import summarise
from sparq_perf.summary_page import EXPECTED, summary_page
from sparq_perf.timeline import TRACE_NAME, VIEWER, has_timeline, write_trace
from sparq_profiles import load_suite
from sparq_profiles.load import list_names
from sparq_profiles.suite import Suite


@dataclass(frozen=True, slots=True)
class Published:
    """What was written, and the same in lines of text.

    Attributes:
        report: None where it was not written.
        timeline: None where no pass saw anything that it could show.
        summary: the run in some lines.
        verdicts: the suite's expectations against it.
    """

    report: Path | None
    timeline: Path | None
    summary: list[str]
    verdicts: list[Verdict]

    @property
    def lines(self) -> list[str]:
        """The summary, and a table of the expectations where the suite has some for this device."""
        return self.summary + (["", *_columns([EXPECTED, *rows(self.verdicts)])] if self.verdicts else [])

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "report": None if self.report is None else str(self.report),
            "timeline": None if self.timeline is None else str(self.timeline),
            "summary": self.summary,
            "expectations": [
                {
                    **verdict.expectation.model_dump(mode="json"),
                    "measured": verdict.measured,
                    "met": verdict.met,
                    "by": verdict.by,
                }
                for verdict in self.verdicts
            ],
        }


def publish(lines: list[Line], suite: Suite, out: Path, *, with_report: bool = True) -> Published:
    """Write summary.md, trace.json and report.html into ``out``.

    A machine that only measures may lack plotly: the report is left out then, with the reason.
    """
    timeline = write_trace(lines, out / TRACE_NAME) if has_timeline(lines) else None
    report: Path | None = out / REPORT_NAME
    told: Path | str = out / REPORT_NAME
    if not with_report:
        report, told = None, "not written, as asked"
    elif find_spec("plotly") is None:
        report, told = None, f"not written: plotly is not installed; 'sparq-perf report {out}' writes it where it is"
    else:
        from sparq_perf.report.render import write_report

        write_report(lines, out / REPORT_NAME, timeline=timeline.name if timeline else None)
    summary = [*summarise(lines, told), *([f"timeline    {timeline}: open it at {VIEWER}"] if timeline else ())]
    published = Published(report, timeline, summary, judge(suite, lines))
    _write(out / SUMMARY_NAME, summary_page(lines, summary, published.verdicts))
    return published


def write_summary(lines: list[Line], target: Path, report: Path) -> None:
    """Write the summary of records that were measured before, with their suite's expectations where it is known.

    Raises:
        RecordError: the file cannot be written.
    """
    suite = _suite(lines)
    _write(target, summary_page(lines, summarise(lines, report), judge(suite, lines) if suite else []))


def _suite(lines: list[Line]) -> Suite | None:
    """The suite that these records measured, where this package brings the same one."""
    runs = [line for line in lines if isinstance(line, Run)]
    if not runs or runs[-1].suite not in list_names("suites"):
        return None
    suite = load_suite(runs[-1].suite)
    return suite if suite_digest(suite) == runs[-1].suite_sha256 else None


def _columns(table: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a reader never finds half of it."""
    beside = path.with_suffix(".tmp")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise RecordError(f"{path}: cannot be written: {error.strerror or error}") from None
