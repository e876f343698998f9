"""The view as one HTML file that needs nothing else: style, scripts and plotly.js are part of it."""

from collections.abc import Callable
from pathlib import Path

from sparq_perf.records.schema import Line
from sparq_perf.report import wording
from sparq_perf.report.accuracy import BAND
from sparq_perf.report.charts import build_charts
from sparq_perf.report.legends import build_legends
from sparq_perf.report.page import SHARED, render_page, write_page
from sparq_perf.report.view import ReportView, build_view

_FILTERS: dict[str, Callable[..., str]] = {
    "seconds": wording.seconds,
    "times_faster": wording.times_faster,
    "percent": wording.percent,
    "tokens": wording.tokens,
    "data_size": wording.data_size,
    "mean_number": wording.mean_number,
    "si": wording.si,
    "span": wording.span,
    "count": wording.count,
}


def write_report(lines: list[Line], path: Path, *, timeline: str | None = None, fidelity: str | None = None) -> None:
    """Write the report of some records; a reader of ``path`` sees the old file or the new one, never half.

    ``timeline`` and ``fidelity`` are the names of a trace and of a fidelity page that were written beside it, to be
    told; None where there is none.
    """
    write_page(render(build_view(lines), timeline=timeline, fidelity=fidelity), path)


def render(view: ReportView, *, timeline: str | None = None, fidelity: str | None = None) -> str:
    """The whole page; ``timeline`` and ``fidelity`` as for `write_report`."""
    charts = build_charts(view)
    return render_page(
        SHARED,
        "report.html",
        figures=charts.every,
        filters=_FILTERS,
        view=view,
        charts=charts,
        legends=build_legends(view),
        band=BAND,
        facets=_facets(view),
        seconds=wording.seconds,
        times_faster=wording.times_faster,
        timeline=timeline,
        fidelity=fidelity,
    )


def _facets(view: ReportView) -> dict[str, list[str]]:
    """What the table's selects offer, each in the order of first appearance."""
    return {
        "model": list(dict.fromkeys(row.geometry.model for row in view.rows)),
        "implementation": list(view.implementations),
        "cache": sorted({row.cache_state for row in view.rows}),
        "status": [status for status in ("ok", "invalid", "failed") if any(row.status == status for row in view.rows)],
    }
