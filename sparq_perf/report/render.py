"""The view as one HTML file that needs nothing else: style, scripts and plotly.js are part of it."""

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from sparq_perf.records.schema import Line
from sparq_perf.report import wording
from sparq_perf.report.accuracy import BAND
from sparq_perf.report.chart_style import COLOURS, dark_counterparts
from sparq_perf.report.charts import Charts, build_charts
from sparq_perf.report.legends import build_legends
from sparq_perf.report.view import ReportView, build_view

# Ways in which text inside <script> can end the script or start a comment in it; none is needed in JSON.
_UNSAFE_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
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


def write_report(lines: list[Line], path: Path, *, timeline: str | None = None) -> None:
    """Write the report of some records; a reader of ``path`` sees the old file or the new one, never half.

    ``timeline`` is the name of a trace that was written beside it, to be told; None where there is none.
    """
    page = render(build_view(lines), timeline=timeline)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def render(view: ReportView, *, timeline: str | None = None) -> str:
    """The whole page; ``timeline`` as for `write_report`."""
    charts = build_charts(view)
    environment = Environment(
        loader=PackageLoader("sparq_perf.report"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    environment.globals.update(seconds=wording.seconds, times_faster=wording.times_faster)
    scripts = [get_plotlyjs(), _asset("report.js")]
    return environment.get_template("report.html").render(
        view=view,
        charts=charts,
        legends=build_legends(view),
        colours=COLOURS,
        band=BAND,
        style=Markup(_asset("report.css")),
        # Only these two scripts may run, and nothing may be loaded from anywhere.
        script_hashes=" ".join(f"'sha256-{_sha256(script)}'" for script in scripts),
        scripts=[Markup(script) for script in scripts],
        figures=Markup(script_json(_page_data(charts))),
        facets=_facets(view),
        timeline=timeline,
    )


def script_json(data: Any) -> str:
    """JSON that can stand inside a script element, whatever strings it holds."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _UNSAFE_IN_SCRIPT.items():
        text = text.replace(character, escape)
    return text


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


def _asset(name: str) -> str:
    return (resources.files("sparq_perf.report") / "templates" / name).read_text(encoding="utf-8")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
