"""Small charts one below the other over the seconds of one loop: power, clock, temperature."""

from typing import Any

from sparq_perf.report import chart_style as style
from sparq_perf.report.timelines import Timeline, Track
from sparq_perf.report.wording import significant

_TRACK_PX, _AXIS_PX = 150, 52
# Of a track's height, between it and the next one.
_GAP = 0.14

TRACK_COLOURS = {"Power": style.BLUE, "SM clock": style.GREEN, "Temperature": style.PURPLE}
HELD_COLOUR = style.GOLD


def timeline_figure(timeline: Timeline) -> dict[str, Any]:
    """One vertical axis for each track; the stretches in which the clock was held down are shaded through all."""
    n = len(timeline.tracks)
    traces: list[dict[str, Any]] = []
    axes: dict[str, dict[str, Any]] = {}
    for index, track in enumerate(timeline.tracks):
        number = "" if index == 0 else str(index + 1)
        bottom = 1 - (index + 1) / n
        domain = [bottom + (_GAP / n if index < n - 1 else 0), 1 - index / n]
        axes[f"yaxis{number}"] = style.axis(f"{track.title} ({track.unit})", domain=domain, nticks=5, **_range(track))
        traces += _curves(timeline, track, f"y{number}")
        if track.limit is not None:
            traces.append(_limit(timeline, track, f"y{number}"))
    x = style.axis(
        "Time since the loop began (s)",
        range=[timeline.times_s[0], timeline.times_s[-1]],
        anchor="y" if n == 1 else f"y{n}",
        nticks=8,
    )
    layout = style.layout(_AXIS_PX + _TRACK_PX * n, x, axes.pop("yaxis"), **axes, shapes=_shading(timeline))
    return {"data": traces, "layout": layout}


def _range(track: Track) -> dict[str, Any]:
    """Power is read from zero; a clock or a temperature by its changes, which must not be blown up out of noise."""
    if track.title == "Power":
        return {"rangemode": "tozero"}
    values = [value for curve in track.curves for value in curve.values if value is not None]
    if track.limit is not None:
        values.append(track.limit[1])
    low, high = min(values), max(values)
    room = max(0.1 * (high - low), 0.02 * abs(high), 1.0)
    return {"range": [low - room, high + room]}


def _curves(timeline: Timeline, track: Track, axis: str) -> list[dict[str, Any]]:
    colour = TRACK_COLOURS[track.title]
    return [
        {
            "type": "scatter",
            "name": curve.name,
            "mode": "lines",
            "x": list(timeline.times_s),
            "y": list(curve.values),
            "yaxis": axis,
            "line": {"color": colour.light, "width": 2, "dash": curve.dash},
            "hoverinfo": "text",
            "hovertext": [
                style.hover(f"{time_s:.2f} s", f"{curve.name} {_shown(value, track.unit)}", _held_down(causes))
                for time_s, value, causes in zip(timeline.times_s, curve.values, timeline.causes, strict=True)
            ],
        }
        for curve in track.curves
    ]


def _limit(timeline: Timeline, track: Track, axis: str) -> dict[str, Any]:
    assert track.limit is not None
    name, level = track.limit
    return {
        "type": "scatter",
        "name": name,
        "mode": "lines",
        "x": [timeline.times_s[0], timeline.times_s[-1]],
        "y": [level, level],
        "yaxis": axis,
        "line": {"color": style.MUTED.light, "width": 1.5, "dash": "dash"},
        "hoverinfo": "text",
        "hovertext": style.hover(f"{name} {_shown(level, track.unit)}"),
    }


def _shading(timeline: Timeline) -> list[dict[str, Any]]:
    across = {"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    edge = {"color": HELD_COLOUR.light, "width": 1}
    fill = {"fillcolor": style.faded(HELD_COLOUR), "line": edge}
    return [across | fill | {"x0": held.from_s, "x1": held.to_s} for held in timeline.held]


def _held_down(causes: tuple[str, ...]) -> str:
    return f"clock held down: {', '.join(causes)}" if causes else ""


def _shown(value: float | None, unit: str) -> str:
    return "not told" if value is None else f"{significant(value)} {unit}"
