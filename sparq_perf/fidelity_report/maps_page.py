"""Attention maps as one HTML file that needs nothing else, where a record file holds nothing beside them."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from sparq_perf.fidelity_report.attention_map_charts import build_map_charts, map_keys
from sparq_perf.fidelity_report.attention_maps import build_maps
from sparq_perf.records.line import Line
from sparq_perf.report.chart_style import COLOURS, dark_counterparts
from sparq_perf.report.page import asset, environment, script_hashes, script_json, write_page
from sparq_perf.report.wording import listed

PACKAGE, SHARED = "sparq_perf.fidelity_report", "sparq_perf.report"


def write_maps(lines: Sequence[Line], path: Path) -> None:
    """Write the page of the attention maps among some lines, of which there must be one."""
    write_page(render(lines), path)


def render(lines: Sequence[Line]) -> str:
    """The whole page."""
    maps = build_map_charts(build_maps(lines))
    scripts = [get_plotlyjs(), asset(SHARED, "report.js")]
    figures = {chart.id: {"figure": chart.figure, "description": chart.description} for m in maps for chart in m.every}
    return (
        environment(PACKAGE, SHARED, filters={})
        .get_template("maps_page.html")
        .render(
            title=listed(dict.fromkeys(each.view.line.model for each in maps)),
            maps=maps,
            keys=map_keys(),
            colours=COLOURS,
            style=Markup(asset(SHARED, "report.css")),
            script_hashes=script_hashes(scripts),
            scripts=[Markup(script) for script in scripts],
            figures=Markup(script_json({"figures": figures, "dark": dark_counterparts()})),
        )
    )
