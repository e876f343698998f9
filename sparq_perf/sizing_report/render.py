"""A sizing as one HTML file that needs nothing else."""

import math
from collections.abc import Callable
from pathlib import Path

from sparq_perf.report import wording
from sparq_perf.report.page import render_page, write_page
from sparq_perf.sizing_report.charts import attention_keys, build_charts, part_keys
from sparq_perf.sizing_report.panel import panel_data
from sparq_perf.sizing_report.view import build_view
from sparq_roofline.deployment.question import Question
from sparq_roofline.deployment.sizing import Sizing

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
    panel = panel_data(question, sizing)
    return render_page(
        "sparq_perf.sizing_report",
        "sizing.html",
        styles=["sizing.css"],
        scripts=["panel.js"],
        figures=[chart for study in charts for chart in study.every],
        data={"panel-data": panel},
        filters=_FILTERS,
        view=view,
        sizing=sizing,
        charts=charts,
        panel=panel,
        attention_keys=attention_keys(),
        part_keys=part_keys(),
        times_faster=wording.times_faster,
        significant=wording.significant,
        log2=math.log2,
    )
