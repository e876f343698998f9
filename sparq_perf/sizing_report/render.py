"""A sizing as one HTML file that needs nothing else."""

import math
from collections.abc import Callable
from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from sparq_perf.report import wording
from sparq_perf.report.chart_style import COLOURS, dark_counterparts
from sparq_perf.report.page import asset, environment, script_hashes, script_json, write_page
from sparq_perf.sizing_report.charts import StudyCharts, attention_keys, build_charts, part_keys
from sparq_perf.sizing_report.panel import panel_data
from sparq_perf.sizing_report.view import build_view
from sparq_roofline.deployment.question import Question
from sparq_roofline.deployment.sizing import Sizing

_PACKAGE, _SHARED = "sparq_perf.sizing_report", "sparq_perf.report"
_FILTERS: dict[str, Callable[..., str]] = {
    "seconds": wording.seconds,
    "times_faster": wording.times_faster,
    "significant": wording.significant,
    "span": wording.span,
    "si": wording.si,
    "data_size": lambda value: wording.si(value, "B"),
}


def write_sizing(question: Question, sizing: Sizing, path: Path) -> None:
    """Write the page of a sizing; a reader of ``path`` sees the old file or the new one, never half."""
    write_page(render(question, sizing), path)


def render(question: Question, sizing: Sizing) -> str:
    """The whole page."""
    view = build_view(question, sizing)
    charts = build_charts(view.studies)
    _check(charts)
    templates = environment(_PACKAGE, _SHARED, filters=_FILTERS)
    templates.globals.update(times_faster=wording.times_faster, significant=wording.significant, log2=math.log2)
    scripts = [get_plotlyjs(), asset(_SHARED, "report.js"), asset(_PACKAGE, "panel.js")]
    every = [chart for study in charts for chart in study.every]
    figures = {chart.id: {"figure": chart.figure, "description": chart.description} for chart in every}
    data = panel_data(question, sizing)
    return templates.get_template("sizing.html").render(
        view=view,
        sizing=sizing,
        charts=charts,
        panel=data,
        attention_keys=attention_keys(),
        part_keys=part_keys(),
        colours=COLOURS,
        style=Markup(asset(_SHARED, "report.css") + asset(_PACKAGE, "sizing.css")),
        script_hashes=script_hashes(scripts),
        scripts=[Markup(script) for script in scripts],
        figures=Markup(script_json({"figures": figures, "dark": dark_counterparts()})),
        panel_json=Markup(script_json(data)),
    )


def _check(charts: tuple[StudyCharts, ...]) -> None:
    import plotly.graph_objects as go  # half a second: only where there is a page to write

    for study in charts:
        for chart in study.every:
            go.Figure(chart.figure)  # raises on a property or value that plotly does not know
