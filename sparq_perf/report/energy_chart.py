"""Energy of one decode step: by the counter above the integral of power, for each loop over one setup."""

from functools import partial
from typing import Any

from sparq_perf.report import chart_style as style
from sparq_perf.report.energies import EnergyGroup, EnergyRow, Method
from sparq_perf.report.wording import rounded_si, si

# Vertical room of a loop: its label, then a bar for each method.
_LOOP, _FIRST, _SECOND = 3.0, 1.08, 1.9
_OFFSET: dict[Method, float] = {"counter": _FIRST, "integral": _SECOND}


def energy_figure(group: EnergyGroup) -> dict[str, Any]:
    """Horizontal bars; labels stand above them. Some loop must have an energy."""
    traces = []
    for method in _OFFSET:
        for sparse in (False, True):
            own = [
                (place, row, value)
                for place, row in enumerate(group.rows)
                if row.sparse == sparse and (value := energy_of(row, method)) is not None
            ]
            if own:
                traces.append(_bars(method, sparse, own))
    reach = 1.24 * max(value for row in group.rows for m in _OFFSET if (value := energy_of(row, m)) is not None)
    x = style.axis(
        "Energy of one decode step",
        range=[0, reach],
        **style.linear_ticks(reach, 6, partial(rounded_si, unit="J")),
    )
    y = style.axis("", showticklabels=False, showgrid=False, range=[len(group.rows) * _LOOP - 0.4, -0.35])
    height = 62 + round(68 * len(group.rows))
    return {"data": traces, "layout": style.layout(height, x, y, annotations=_texts(group))}


def energy_of(row: EnergyRow, method: Method) -> float | None:
    """Of one decode step, by one method."""
    return row.counter_j if method == "counter" else row.integral_j


def _bars(method: Method, sparse: bool, own: list[tuple[int, EnergyRow, float]]) -> dict[str, Any]:
    colour = style.ORANGE if sparse else style.BLUE
    marker: dict[str, Any] = {"color": colour.light, "line": {"width": 0}}
    if method == "integral":
        pattern = {"shape": "/", "fgcolor": colour.light, "bgcolor": style.faded(colour), "size": 6, "solidity": 0.35}
        marker = {"color": colour.light, "pattern": pattern, "line": {"width": 1, "color": colour.light}}
    how = "by the energy counter" if method == "counter" else "by the integral of power"
    return {
        "type": "bar",
        "orientation": "h",
        "name": f"{'SparQ' if sparse else 'dense'}, {how}",
        "x": [value for *_, value in own],
        "y": [place * _LOOP + _OFFSET[method] for place, *_ in own],
        "width": 0.74,
        "marker": marker,
        "hoverinfo": "text",
        "hovertext": [
            style.hover(row.label, f"{si(value, 'J')} a decode step, {how}", f"{si(value / row.batch, 'J')} a token")
            for _, row, value in own
        ],
        "textposition": "none",
    }


def _texts(group: EnergyGroup) -> list[dict[str, Any]]:
    left = {"xref": "paper", "x": 0, "xanchor": "left", "yanchor": "middle", "showarrow": False}
    right = {"xanchor": "left", "yanchor": "middle", "xshift": 5, "showarrow": False}
    texts: list[dict[str, Any]] = []
    for place, row in enumerate(group.rows):
        at = place * _LOOP
        label = {"y": at + 0.3, "text": style.plain(row.label), "font": {"size": 12, "color": style.INK.light}}
        texts.append(left | label)
        for method, offset in _OFFSET.items():
            value = energy_of(row, method)
            shown = "not measured" if value is None else si(value, "J")
            font = {"size": 11, "color": style.MUTED.light}
            texts.append(right | {"x": value or 0, "y": at + offset, "text": shown, "font": font})
    return texts
