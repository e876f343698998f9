"""Predicted against measured time, with the band that predictions are held to."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sparq_perf.report import chart_style as style
from sparq_perf.report.accuracy import BAND, ParityPoint
from sparq_perf.report.wording import percent, rounded_si, seconds, span


def parity_figure(points: Sequence[ParityPoint], implementations: Sequence[str]) -> dict[str, Any]:
    """Every point that has both times, by implementation; invalid ones apart. There must be a point."""
    times = [t for p in points for t in (p.measured.expected, p.predicted.expected)]
    low, high = min(times) / 1.6, max(times) * 1.6
    band = {
        "type": "scatter",
        "name": f"±{BAND:.0%}",
        "mode": "lines",
        "x": [low, high, high, low],
        "y": [low * (1 - BAND), high * (1 - BAND), high * (1 + BAND), low * (1 + BAND)],
        "fill": "toself",
        "fillcolor": style.faded(style.INK),
        "line": {"width": 0, "color": style.SLATE.light},
        "hoverinfo": "skip",
    }
    even = {"type": "scatter", "name": "equal", "mode": "lines", "x": [low, high], "y": [low, high]}
    traces = [band, even | {"line": {"color": style.MUTED.light, "width": 1.5}, "hoverinfo": "skip"}]
    for name, (colour, symbol) in style.implementation_marks(implementations).items():
        own = [p for p in points if p.implementation == name and p.error is not None]
        if own:
            marker = {"color": colour.light, "symbol": symbol, "size": 8, "opacity": 0.85}
            traces.append(_parity_trace(style.plain(name), own, marker))
    invalid = [p for p in points if p.error is None]
    if invalid:
        marker = {"color": style.SLATE.light, "symbol": "x-thin", "size": 8}
        line = {"line": {"width": 2, "color": style.SLATE.light}}
        traces.append(_parity_trace("invalid", invalid, marker | line))
    span_of = style.log_range(low, high, 1)
    ticks = style.log_ticks(low, high, 6, partial(rounded_si, unit="s"))
    x = style.axis("Measured time of one decode step", type="log", range=span_of, **ticks)
    y = style.axis("Predicted time", type="log", range=span_of, **ticks)
    return {"data": traces, "layout": style.layout(460, x, y)}


def _parity_trace(name: str, points: list[ParityPoint], marker: dict[str, Any]) -> dict[str, Any]:
    def text(p: ParityPoint) -> str:
        judged = "invalid: not counted" if p.error is None else f"error {percent(p.error, signed=True)}"
        return style.hover(
            p.name,
            f"measured {seconds(p.measured.expected)} ({span(p.measured, seconds)})",
            f"predicted {seconds(p.predicted.expected)} ({span(p.predicted, seconds)})",
            judged,
        )

    return {
        "type": "scatter",
        "name": name,
        "mode": "markers",
        "x": [p.measured.expected for p in points],
        "y": [p.predicted.expected for p in points],
        "marker": marker,
        "hoverinfo": "text",
        "hovertext": [text(p) for p in points],
    }
