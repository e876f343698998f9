"""The roofline: arithmetic rate against arithmetic intensity, logarithmic on both axes."""

from collections.abc import Sequence
from typing import Any

from sparq_perf.report import chart_style as style
from sparq_perf.report.rooflines import Roofline
from sparq_perf.report.wording import rounded_si, si


def roofline_figure(roofline: Roofline, implementations: Sequence[str]) -> dict[str, Any]:
    """The ceilings with the points; there must be a point."""
    peak = max(p.flop_per_s for p in roofline.peaks)
    ridges = [peak / b.bytes_per_s for b in roofline.bandwidths]
    intensities = [p.flop_per_byte for p in roofline.points]
    left, right = min(intensities) / 2.5, max(*intensities, *ridges) * 3
    traces = []
    for dash, roof in zip(("solid", "dot"), roofline.bandwidths, strict=False):
        ridge = peak / roof.bytes_per_s
        line = {"color": style.INK.light, "width": 2, "dash": dash}
        ends = {"x": [left, ridge], "y": [left * roof.bytes_per_s, peak]}
        traces.append(_roof(roof.name, f"{roof.name}, {roof.kind}", ends, line))
    for peak_roof in roofline.peaks:
        start = peak_roof.flop_per_s / max(b.bytes_per_s for b in roofline.bandwidths)
        line = {"color": style.INK.light, "width": 2, "dash": "dash"}
        ends = {"x": [start, right], "y": [peak_roof.flop_per_s] * 2}
        traces.append(_roof(peak_roof.name, f"{peak_roof.name}, {peak_roof.kind}", ends, line))
    traces += _points(roofline, implementations)
    lowest = min(*(p.flop_per_s for p in roofline.points), left * min(b.bytes_per_s for b in roofline.bandwidths))
    intensity_ticks = style.log_ticks(left, right, 8, "{:g}".format)
    x = style.axis(
        "Arithmetic intensity (FLOP/byte)",
        type="log",
        range=style.log_range(left, right, 1),
        **intensity_ticks,
    )
    rate_ticks = style.log_ticks(lowest / 1.8, peak * 1.8, 6, lambda rate: rounded_si(rate, "").replace(" ", ""))
    y = style.axis("Arithmetic rate (FLOP/s)", type="log", range=style.log_range(lowest, peak, 1.8), **rate_ticks)
    return {"data": traces, "layout": style.layout(440, x, y)}


def _roof(name: str, text: str, ends: dict[str, list[float]], line: dict[str, Any]) -> dict[str, Any]:
    look = {"mode": "lines", "line": line, "hoverinfo": "text", "hovertext": style.hover(text)}
    return {"type": "scatter", "name": style.plain(name), **ends, **look}


def _points(roofline: Roofline, implementations: Sequence[str]) -> list[dict[str, Any]]:
    traces = []
    for name, (colour, symbol) in style.implementation_marks(implementations).items():
        for state, suffix in (("cold", ""), ("warm", "-open")):
            own = [p for p in roofline.points if p.implementation == name and p.cache_state == state]
            if not own:
                continue
            texts = [
                style.hover(p.name, f"{si(p.flop_per_s, 'FLOP/s')} at {p.flop_per_byte:.3g} FLOP/byte") for p in own
            ]
            marker = {"color": colour.light, "symbol": symbol + suffix, "size": 8, "opacity": 0.85}
            traces.append(
                {
                    "type": "scatter",
                    "name": style.plain(f"{name}, {state}"),
                    "mode": "markers",
                    "x": [p.flop_per_byte for p in own],
                    "y": [p.flop_per_s for p in own],
                    "marker": marker,
                    "hoverinfo": "text",
                    "hovertext": texts,
                }
            )
    return traces
