"""The view as one HTML file that needs nothing else: style, scripts and plotly.js are part of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from sparq_perf.records.schema import Line
from sparq_perf.report import wording
from sparq_perf.report.accuracy import BAND
from sparq_perf.report.chart_style import COLOURS, dark_counterparts
from sparq_perf.report.charts import Charts, build_charts
from sparq_perf.report.legends import build_legends
from sparq_perf.report.page import asset, environment, script_hashes, script_json, write_page
from sparq_perf.report.view import ReportView, build_view

_PACKAGE = "sparq_perf.report"
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
    templates = environment(_PACKAGE, filters=_FILTERS)
    templates.globals.update(seconds=wording.seconds, times_faster=wording.times_faster)
    scripts = [get_plotlyjs(), asset(_PACKAGE, "report.js")]
    return templates.get_template("report.html").render(
        view=view,
        charts=charts,
        legends=build_legends(view),
        colours=COLOURS,
        band=BAND,
        style=Markup(asset(_PACKAGE, "report.css")),
        # Only these two scripts may run, and nothing may be loaded from anywhere.
        script_hashes=script_hashes(scripts),
        scripts=[Markup(script) for script in scripts],
        figures=Markup(script_json(_page_data(charts))),
        facets=_facets(view),
        timeline=timeline,
        fidelity=fidelity,
    )


def _page_data(charts: Charts) -> dict[str, Any]:
    figures = {chart.id: {"figure": chart.figure, "description": chart.description} for chart in charts.every}
    return {"figures": figures, "dark": dark_counterparts()}


def _facets(view: ReportView) -> dict[str, list[str]]:
    """What the table's selects offer, each in the order of first appearance."""
    return {
        "model": list(dict.fromkeys(row.geometry.model for row in view.rows)),
        "implementation": list(view.implementations),
        "cache": sorted({row.cache_state for row in view.rows}),
        "status": [status for status in ("ok", "invalid", "failed") if any(row.status == status for row in view.rows)],
    }
