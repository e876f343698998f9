"""Where in the model a setting errs: a score by layer and head."""

from collections.abc import Mapping, Sequence
from typing import Any

from sparq_perf.fidelity.frontier import SettingPoint
from sparq_perf.fidelity_report.view import BenchView
from sparq_perf.records.fidelity import LayerFidelity
from sparq_perf.report import chart_style as style
from sparq_perf.report.chart import Chart
from sparq_profiles import SparqConfig

# Title, and whether more is better: each with its colour.
FIELDS = {
    "output_error": ("output error", False),
    "recall": ("top-k recall", True),
    "mass": ("attention mass", True),
}


def layer_charts(
    bench: BenchView, names: Mapping[SparqConfig | None, str], first: SettingPoint | None
) -> tuple[Chart, ...]:
    """Every setting's output error, then recall and mass; the recommended setting ``first``. Empty without layers."""
    points = [point for point, _ in bench.settings if point.layers]
    points.sort(key=lambda point: point is not first)
    charts = []
    for field, (title, more_is_better) in FIELDS.items():
        reach = max((max(values) for point in points for values in _rows(point.layers, field) if values), default=0.0)
        for index, point in enumerate(points):
            name = f"{names[point.config]}: {title}"
            figure = _figure(point.layers, field, title, 1.0 if more_is_better else reach or 1.0, more_is_better)
            words = f"{title} by layer and head, of {name}"
            charts.append(Chart(f"{bench.id}-layers-{field}-{index}", name, words, figure))
    # The first setting's three charts stand first: what a reader compares.
    return tuple(sorted(charts, key=lambda chart: not chart.id.endswith("-0")))


def _rows(layers: Sequence[LayerFidelity], field: str) -> list[list[float]]:
    return [list(getattr(layer, field)) for layer in layers]


def _figure(
    layers: Sequence[LayerFidelity], field: str, title: str, reach: float, more_is_better: bool
) -> dict[str, Any]:
    colour = style.FASTER if more_is_better else style.SLOWER
    rows = _rows(layers, field)
    n_heads = max(len(row) for row in rows)
    trace = {
        "type": "heatmap",
        "z": rows,
        "x": list(range(n_heads)),
        "y": list(range(len(layers))),
        "customdata": [[layer.layer] * n_heads for layer in layers],
        "zmin": 0,
        "zmax": reach,
        "colorscale": [[0, style.EVEN.light], [1, colour.light]],
        "showscale": True,
        "colorbar": {
            "thickness": 10,
            "outlinewidth": 0,
            "nticks": 5,
            "tickfont": {"size": 11, "color": style.MUTED.light},
        },
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": f"layer %{{customdata}}, head %{{x}}<br>{title} %{{z:.3f}}<extra></extra>",
    }
    every = max(1, -(-len(layers) // 12))
    heads_every = max(1, -(-n_heads // 12))
    x_ticks = list(range(0, n_heads, heads_every))
    y_ticks = list(range(0, len(layers), every))
    xaxis = style.axis("Query head", showgrid=False, tickvals=x_ticks, ticktext=[str(tick) for tick in x_ticks])
    yaxis = style.axis(
        "Layer",
        showgrid=False,
        tickvals=y_ticks,
        ticktext=[str(layers[tick].layer) for tick in y_ticks],
        range=[len(layers) - 0.5, -0.5],
    )
    cell = max(5, min(28, 420 // len(layers)))
    return {"data": [trace], "layout": style.layout(70 + cell * len(layers), xaxis, yaxis)}
