"""What the scatter charts share: marks with error bars, the front with its labels, axes and dotted lines."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sparq_perf.fidelity.frontier import SettingPoint
from sparq_perf.fidelity_report.marks import LOOKS, Family, family, family_words
from sparq_perf.fidelity_report.scores import LEAST_KL, Score, drawn, ends
from sparq_perf.report import chart_style as style

_NOTE: dict[str, Any] = {"showarrow": False, "font": {"size": 11, "color": style.MUTED.light}}


def family_traces(
    placed: Sequence[tuple[float, SettingPoint]],
    score: Score,
    hover: Callable[[SettingPoint], str],
    *,
    hollow: bool,
    spans: Mapping[int, tuple[float, float] | None] | None = None,
) -> list[dict[str, Any]]:
    """Points at their x, a trace for each family; ``hollow`` for predictions; ``spans``: of x, by the point's id."""
    groups: dict[Family, list[tuple[float, SettingPoint]]] = {}
    for x, point in placed:
        groups.setdefault(family(point.config), []).append((x, point))
    traces = []
    for kind, own in sorted(groups.items(), key=lambda item: list(LOOKS).index(item[0])):
        colour, symbol = LOOKS[kind]
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "markers",
            "name": family_words(kind) + (", predicted" if hollow else ""),
            "x": [x for x, _ in own],
            "y": [drawn(point, score) for _, point in own],
            "marker": {
                "color": colour.light,
                "symbol": f"{symbol}-open" if hollow else symbol,
                "size": 9,
                "line": {"width": 1.5 if hollow else 0, "color": colour.light},
            },
            "hoverinfo": "text",
            "hovertext": [hover(point) for _, point in own],
        }
        if not hollow:
            trace["error_y"] = _errors([ends(point, score) for _, point in own], colour)
        if spans:
            intervals = [(x, spans.get(id(point)) or (x, x)) for x, point in own]
            trace["error_x"] = _errors([(x - low, high - x) for x, (low, high) in intervals], colour)
        traces.append(trace)
    return traces


def _errors(lengths: Sequence[tuple[float, float]], colour: style.Colour) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "arrayminus": [down for down, _ in lengths],
        "array": [up for _, up in lengths],
        "color": colour.light,
        "thickness": 1.2,
        "width": 3,
    }


def front_line(line: Sequence[tuple[float, SettingPoint]], score: Score) -> dict[str, Any]:
    """The front as a line."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "x": [x for x, _ in line],
        "y": [drawn(point, score) for _, point in line],
        "line": {"color": style.MUTED.light, "width": 1.5},
        "hoverinfo": "skip",
    }


def labels_of(line: Sequence[tuple[float, SettingPoint]], score: Score) -> list[tuple[float, float, str]]:
    """A name for each point of a front; settings of the same r, k and score share one, at the leftmost."""
    named: dict[tuple[str, float], float] = {}
    for x, point in line:
        key = (f"{point.config.rank}, {point.config.top_k}", drawn(point, score))
        named[key] = min(x, named.get(key, x))
    return [(x, value, text) for (text, value), x in named.items()]


def layout(
    points: Sequence[SettingPoint],
    score: Score,
    x: dict[str, Any],
    limits: Sequence[float],
    labels: Sequence[tuple[float, float, str]],
    dense: float | None = None,
) -> dict[str, Any]:
    """The chart's layout: ``limits`` and ``dense`` are lines across it, ``labels`` names of the front's points."""
    reach = [(drawn(point, score), *ends(point, score)) for point in points]
    lines = [*limits, *([] if dense is None else [dense])]
    low = min([value - down for value, down, _ in reach] + lines)
    high = max([value + up for value, _, up in reach] + lines)
    if score.log:
        low, high = max(low, LEAST_KL), max(high, LEAST_KL)
        ticks = style.log_ticks(low / 1.4, high * 1.4, 8, lambda value: f"{value:.10g}")
        y = style.axis(score.title, type="log", range=style.log_range(low, high, 1.5), **ticks)
    else:
        edge = 0.12 * (high - low) or 0.1
        y = style.axis(score.title, range=[low - edge, high + edge], nticks=7)
    notes = [_label(*label, score, log_x=x.get("type") == "log") for label in labels]
    if dense is not None:
        notes.append({**_NOTE, "x": 1, "xref": "paper", "xanchor": "right", "y": dense, "yshift": 8, "text": "dense"})
    return style.layout(400, x, y, annotations=notes, shapes=[across(y=value) for value in lines])


def _label(at: float, value: float, text: str, score: Score, *, log_x: bool) -> dict[str, Any]:
    """A name beside a point of a front: below one of losses, above one of gains, where no other setting can stand."""
    return {
        **_NOTE,
        "x": math.log10(at) if log_x else at,
        "y": math.log10(value) if score.log else value,
        "text": text,
        "xanchor": "right" if log_x else "left",
        "xshift": -6 if log_x else 6,
        "yshift": -9 if score.sign > 0 else 9,
    }


def across(x: float | None = None, y: float | None = None) -> dict[str, Any]:
    """A dotted line across the chart at one value."""
    place: dict[str, Any]
    if x is not None:
        place = {"x0": x, "x1": x, "xref": "x", "y0": 0, "y1": 1, "yref": "paper"}
    else:
        place = {"x0": 0, "x1": 1, "xref": "paper", "y0": y, "y1": y, "yref": "y"}
    return {
        "type": "line",
        "line": {"color": style.SLATE.light, "width": 1.2, "dash": "dot"},
        "layer": "between",
        **place,
    }
