"""Read bandwidth by buffer size, at both ends of the run: where the caches end and memory begins."""

from collections.abc import Sequence
from typing import Any

from sparq_perf.report import chart_style as style
from sparq_perf.report.provenance import Provenance
from sparq_perf.report.wording import data_size, si
from sparq_profiles.hardware import FootprintBandwidth


def bandwidth_figure(provenance: Provenance) -> dict[str, Any]:
    """One line for each end of the run; at least one of them must hold points."""
    start, end = provenance.bandwidth_start, provenance.bandwidth_end
    traces = []
    if start:
        traces.append(_line("start of the run", start, style.BLUE, "circle", "solid"))
    if end:
        traces.append(_line("end of the run", end, style.ORANGE, "diamond", "dash"))
    sizes = sorted({point.footprint_bytes for point in (*start, *end)})
    ticks = style.thinned(sizes, 5)
    x = style.axis(
        "Buffer size",
        type="log",
        tickvals=ticks,
        ticktext=[data_size(tick) for tick in ticks],
        range=style.log_range(sizes[0], sizes[-1], 1.5),
    )
    y = style.axis("Read bandwidth (GB/s)", rangemode="tozero")
    return {"data": traces, "layout": style.layout(300, x, y)}


def _line(
    name: str, points: Sequence[FootprintBandwidth], colour: style.Colour, symbol: str, dash: str
) -> dict[str, Any]:
    rates = [point.read_bandwidth_bytes_per_s for point in points]
    sizes = [point.footprint_bytes for point in points]
    return {
        "type": "scatter",
        "name": name,
        "mode": "lines+markers",
        "x": sizes,
        "y": [rate / 1e9 for rate in rates],
        "line": {"color": colour.light, "width": 2, "dash": dash},
        "marker": {"color": colour.light, "symbol": symbol, "size": 7},
        "hoverinfo": "text",
        "hovertext": [
            style.hover(f"{data_size(size)} buffer, {name}", si(rate, "B/s"))
            for size, rate in zip(sizes, rates, strict=True)
        ],
    }
