"""Attention maps as one HTML file that needs nothing else, where a record file holds nothing beside them."""

from collections.abc import Sequence
from pathlib import Path

from sparq_perf.fidelity_report.attention_map_charts import build_map_charts, map_keys
from sparq_perf.fidelity_report.attention_maps import build_maps
from sparq_perf.records.line import Line
from sparq_perf.report.page import render_page, write_page
from sparq_perf.report.wording import listed


def write_maps(lines: Sequence[Line], path: Path) -> None:
    """Write the page of the attention maps among some lines, of which there must be one."""
    write_page(render(lines), path)


def render(lines: Sequence[Line]) -> str:
    """The whole page."""
    maps = build_map_charts(build_maps(lines))
    return render_page(
        "sparq_perf.fidelity_report",
        "maps_page.html",
        figures=[chart for each in maps for chart in each.every],
        title=listed(dict.fromkeys(each.view.line.model for each in maps)),
        maps=maps,
        keys=map_keys(),
    )
