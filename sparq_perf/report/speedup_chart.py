"""The small chart of one setting: measured and predicted speedup along the sequence length."""

from collections.abc import Iterable
from typing import Any

from sparq_perf.report import chart_style as style
from sparq_perf.report.speedups import Panel, Series, SpeedupPoint
from sparq_perf.report.wording import span, times_faster, tokens

_TICKS = [2.0**power for power in range(-6, 9)]


def speedup_range(panels: Iterable[Panel]) -> tuple[float, float]:
    """Smallest and largest speedup that any of the panels draws, 1 included: their common scale."""
    values = [1.0]
    for point in (point for panel in panels for series in panel.series for point in series.points):
        for comparison in (point.best, *point.others):
            values += [comparison.speedup.lower, comparison.speedup.upper]
        if point.best.predicted_speedup is not None:
            values += [point.best.predicted_speedup.lower, point.best.predicted_speedup.upper]
    return min(values), max(values)


def speedup_figure(panel: Panel, scale: tuple[float, float]) -> dict[str, Any]:
    """The figure of a panel that has points."""
    traces: list[dict[str, Any]] = []
    for series in panel.series:
        if series.points:
            traces += [*_predicted(series), *_others(series), _measured(series)]
    lengths = [point.seq_len for series in panel.series for point in series.points]
    ticks = [tick for tick in _TICKS if scale[0] / 1.2 <= tick <= scale[1] * 1.2]
    yaxis = style.axis(
        "Speedup over dense",
        type="log",
        tickvals=ticks,
        ticktext=[f"{tick:g}×" for tick in ticks],
        range=style.log_range(*scale, 1.12),
    )
    even = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 1, "y1": 1, "layer": "below"}
    line = {"color": style.MUTED.light, "width": 1.5}
    shapes = [even | {"line": line}]
    return {"data": traces, "layout": style.layout(250, style.length_axis(lengths, 4), yaxis, shapes=shapes)}


def _measured(series: Series) -> dict[str, Any]:
    colour = style.CACHE_COLOURS[series.setting.cache_state]
    points = series.points
    return {
        "type": "scatter",
        "name": f"measured, {series.setting.cache_state}",
        "mode": "lines+markers",
        "x": [p.seq_len for p in points],
        "y": [p.speedup.expected for p in points],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [p.speedup.upper - p.speedup.expected for p in points],
            "arrayminus": [p.speedup.expected - p.speedup.lower for p in points],
            "color": colour.light,
            "thickness": 1.5,
            "width": 4,
        },
        "line": {"color": colour.light, "width": 2},
        "marker": {
            "color": colour.light,
            "size": 7,
            "symbol": style.CACHE_SYMBOLS[series.setting.cache_state],
        },
        "hoverinfo": "text",
        "hovertext": [_hover(p) for p in points],
    }


def _hover(point: SpeedupPoint) -> str:
    best = point.best
    predicted = best.predicted_speedup
    words = {"faster": "faster than dense", "slower": "slower than dense", "unclear": "no clear difference"}
    return style.hover(
        f"{tokens(point.seq_len)} tokens, {point.setting.cache_state} caches: {words[point.outcome]}",
        f"measured {times_faster(best.speedup.expected)} ({span(best.speedup, times_faster)})",
        f"predicted {times_faster(predicted.expected)}" if predicted else "no prediction",
        f"{best.sparq.implementation} against {best.dense.implementation}",
        *(f"{c.sparq.implementation}: {times_faster(c.speedup.expected)}" for c in point.others),
    )


def _predicted(series: Series) -> list[dict[str, Any]]:
    colour = style.CACHE_COLOURS[series.setting.cache_state]
    known = [(p.seq_len, p.best.predicted_speedup) for p in series.points if p.best.predicted_speedup is not None]
    if not known:
        return []
    x = [seq_len for seq_len, _ in known]
    middle = {
        "type": "scatter",
        "name": f"predicted, {series.setting.cache_state}",
        "x": x,
        "y": [speedup.expected for _, speedup in known],
        "hoverinfo": "skip",
    }
    if len(known) == 1:
        # A line and a band need two points: one is drawn as an open mark with the bound pair as its bar.
        speedup = known[0][1]
        bar = {"type": "data", "symmetric": False, "color": style.faded(colour), "thickness": 8, "width": 0}
        ends = {"array": [speedup.upper - speedup.expected], "arrayminus": [speedup.expected - speedup.lower]}
        mark = {"symbol": "line-ew-open", "size": 20, "color": colour.light, "line": {"width": 2}}
        return [middle | {"mode": "markers", "marker": mark, "error_y": bar | ends}]
    band = {
        "type": "scatter",
        "name": f"predicted bounds, {series.setting.cache_state}",
        "x": [*x, *reversed(x)],
        "y": [*(s.upper for _, s in known), *(s.lower for _, s in reversed(known))],
        "mode": "lines",
        "fill": "toself",
        "fillcolor": style.faded(colour),
        "line": {"width": 0, "color": colour.light},
        "hoverinfo": "skip",
    }
    return [band, middle | {"mode": "lines", "line": {"color": colour.light, "width": 2, "dash": "dash"}}]


def _others(series: Series) -> list[dict[str, Any]]:
    slower = [(p, c) for p in series.points for c in p.others]
    if not slower:
        return []
    state = series.setting.cache_state
    symbol = style.CACHE_SYMBOLS[state]
    return [
        {
            "type": "scatter",
            "name": f"other implementations, {state}",
            "mode": "markers",
            "x": [p.seq_len for p, _ in slower],
            "y": [c.speedup.expected for _, c in slower],
            "marker": {
                "symbol": f"{symbol}-open",
                "size": 6,
                "color": style.SLATE.light,
                "line": {"width": 1.5},
            },
            "hoverinfo": "text",
            "hovertext": [
                style.hover(
                    f"{tokens(p.seq_len)} tokens, {state} caches: {c.sparq.implementation}",
                    f"measured {times_faster(c.speedup.expected)} ({span(c.speedup, times_faster)})",
                )
                for p, c in slower
            ],
        }
    ]
