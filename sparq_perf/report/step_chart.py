"""Stacked time per step: the profiler's pass above its prediction, for workloads whose times compare."""

from functools import partial
from typing import Any

from sparq_perf.report import chart_style as style
from sparq_perf.report.step_times import StepGroup
from sparq_perf.report.wording import rounded_si, seconds

# Vertical room of a pair: its label, then the profiled and the predicted bar.
_PAIR, _FIRST, _SECOND = 3.0, 1.08, 1.9


def step_figure(group: StepGroup, step_names: tuple[str, ...]) -> dict[str, Any]:
    """Horizontal stacks, one pair for each implementation and setting; labels stand above their pair."""
    colours = style.step_colours(step_names)
    labels = list(dict.fromkeys(bar.label for bar in group.bars))
    place = {label: index * _PAIR for index, label in enumerate(labels)}
    offset = {"profiled": _FIRST, "predicted": _SECOND}
    traces = []
    for source in offset:
        bars = [bar for bar in group.bars if bar.source == source]
        for name in step_names:
            own = [(bar, dict(bar.steps)[name]) for bar in bars if name in dict(bar.steps)]
            if own:
                traces.append(
                    {
                        "type": "bar",
                        "orientation": "h",
                        "name": style.plain(f"{name}, {source}"),
                        "x": [time_s for _, time_s in own],
                        "y": [place[bar.label] + offset[source] for bar, _ in own],
                        "width": 0.74,
                        "marker": _marker(colours[name], source),
                        "hoverinfo": "text",
                        "hovertext": [
                            style.hover(bar.label, f"{name}, {source}: {seconds(time_s)}", _share(time_s, bar.total_s))
                            for bar, time_s in own
                        ],
                        "textposition": "none",
                    }
                )
    longest = max(max(bar.total_s, sum(t for _, t in bar.steps)) for bar in group.bars)
    reach = 1.24 * longest
    x = style.axis(
        "Time of one decode step",
        range=[0, reach],
        **style.linear_ticks(reach, 6, partial(rounded_si, unit="s")),
    )
    y = style.axis("", showticklabels=False, showgrid=False, range=[len(labels) * _PAIR - 0.4, -0.35])
    texts = [*_labels(place), *_totals(group, place, offset)]
    height = 62 + round(68 * len(labels))
    return {"data": traces, "layout": style.layout(height, x, y, barmode="stack", annotations=texts)}


def _marker(colour: style.Colour, source: str) -> dict[str, Any]:
    if source == "profiled":
        return {"color": colour.light, "line": {"width": 0}}
    # Hatching tells a prediction from a measurement without relying on colour.
    pattern = {
        "shape": "/",
        "fgcolor": colour.light,
        "bgcolor": style.faded(colour),
        "size": 6,
        "solidity": 0.35,
    }
    return {"color": colour.light, "pattern": pattern, "line": {"width": 1, "color": colour.light}}


def _share(time_s: float, total_s: float) -> str:
    return f"{time_s / total_s:.0%} of {seconds(total_s)}" if total_s else ""


def _labels(place: dict[str, float]) -> list[dict[str, Any]]:
    font = {"size": 12, "color": style.INK.light}
    left = {"xref": "paper", "x": 0, "xanchor": "left", "yanchor": "middle", "showarrow": False, "font": font}
    return [left | {"y": at + 0.3, "text": style.plain(label)} for label, at in place.items()]


def _totals(group: StepGroup, place: dict[str, float], offset: dict[str, float]) -> list[dict[str, Any]]:
    font = {"size": 11, "color": style.MUTED.light}
    right = {"xanchor": "left", "yanchor": "middle", "xshift": 5, "showarrow": False, "font": font}
    return [
        right
        | {
            "x": max(bar.total_s, sum(t for _, t in bar.steps)),
            "y": place[bar.label] + offset[bar.source],
            "text": seconds(bar.total_s),
        }
        for bar in group.bars
    ]
