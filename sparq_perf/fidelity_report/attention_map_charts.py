"""The figures of attention maps: both maps on one colour scale, the selection, a scatter, and coverage by step."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

from sparq_perf.fidelity_report.attention_maps import Cell, MapView, Point
from sparq_perf.report import chart_style as style
from sparq_perf.report.chart import Chart
from sparq_perf.report.legends import Key
from sparq_perf.report.wording import significant

# The colour scale of a map, and the axes of the scatter, reach so far below the largest weight.
DECADES = 5
KINDS = (
    ("not selected", style.SLATE, "circle-open"),
    ("selected by its group's scores", style.ORANGE, "square"),
    ("local window", style.PURPLE, "diamond"),
)


@dataclass(frozen=True, slots=True)
class MapCharts:
    """The charts of one map."""

    view: MapView
    approximate: Chart
    exact: Chart
    selected: Chart
    scatter: Chart
    coverage: Chart

    @property
    def every(self) -> tuple[Chart, ...]:
        """All five."""
        return (self.approximate, self.exact, self.selected, self.scatter, self.coverage)

    @property
    def ends(self) -> tuple[str, str]:
        """The weights at both ends of the colour scale."""
        high = largest_weight(self.view)
        return significant(high / 10**DECADES, 1), significant(high, 2)


def build_map_charts(maps: Sequence[MapView]) -> tuple[MapCharts, ...]:
    """The charts of every map."""
    return tuple(_charts(index, view) for index, view in enumerate(maps))


def map_keys() -> dict[str, tuple[Key, ...]]:
    """The legends of the scatter, the selection and the coverage, as attention_maps.html names them."""
    return {
        "kinds": (*(Key(name, colour.name, mark) for name, colour, mark in KINDS), Key("equal", "muted", "dash")),
        "selected": tuple(Key(name, colour.name, "fill") for name, colour, _ in KINDS[1:]),
        "coverage": (Key("coverage α, estimated", "blue", "circle"), Key("true mass", "orange", "diamond")),
    }


def largest_weight(view: MapView) -> float:
    """Of both maps and all steps."""
    return max(max(*step.approximate, *step.exact) for step in view.steps)


def _charts(index: int, view: MapView) -> MapCharts:
    def chart(kind: str, words: str, figure: dict[str, Any]) -> Chart:
        return Chart(f"map-{kind}-{index}", view.name, f"{words}: {view.name}", figure)

    return MapCharts(
        view=view,
        approximate=chart(
            "approximate", "Approximate attention by step and position", weights_figure(view, exact=False)
        ),
        exact=chart("exact", "True attention by step and position", weights_figure(view, exact=True)),
        selected=chart("selected", "Selected positions by step", selected_figure(view)),
        scatter=chart("scatter", "Approximate against true attention at the last step", scatter_figure(view)),
        coverage=chart("coverage", "Estimated coverage and true mass by step", coverage_figure(view)),
    )


def weights_figure(view: MapView, exact: bool) -> dict[str, Any]:
    """One map, coloured by the logarithm of the weight."""
    high = log10(largest_weight(view))
    low = high - DECADES

    def weight(cell: Cell) -> float:
        return cell.exact if exact else cell.approximate

    def level(value: float) -> float:
        return max(log10(value), low) if value > 0 else low

    rows = [[None if cell is None else weight(cell) for cell in row] for row in view.rows]
    shown = "largest of these %{customdata:.3g}" if view.width > 1 else "%{customdata:.3g}"
    trace = _heatmap(
        view,
        z=[[None if value is None else round(level(value), 3) for value in row] for row in rows],
        zmin=low,
        zmax=high,
        colorscale=[[0, style.EVEN.light], [1, style.BLUE.light]],
        customdata=rows,
        hovertemplate=f"{_where(view)}<br>{'true' if exact else 'approximate'} {shown}<extra></extra>",
    )
    return {"data": [trace], "layout": _map_layout(view)}


def selected_figure(view: MapView) -> dict[str, Any]:
    """What the group attends to exactly."""
    scale = [style.EVEN, KINDS[1][1], KINDS[2][1]]
    names = [name for name, _, _ in KINDS]
    rows = [[None if cell is None else cell.kind for cell in row] for row in view.rows]
    trace = _heatmap(
        view,
        z=rows,
        zmin=0,
        zmax=2,
        colorscale=[[i / 2, colour.light] for i, colour in enumerate(scale)],
        customdata=[[None if kind is None else names[kind] for kind in row] for row in rows],
        hovertemplate=f"{_where(view)}<br>%{{customdata}}<extra></extra>",
    )
    return {"data": [trace], "layout": _map_layout(view)}


def _heatmap(view: MapView, **more: Any) -> dict[str, Any]:
    columns = len(view.rows[0])
    edges = [min(column * view.width, view.n_positions) - 0.5 for column in range(columns + 1)]
    return {
        "type": "heatmap",
        "x": edges,
        "y": list(range(len(view.rows))),
        "showscale": False,
        "hoverongaps": False,
        **more,
    }


def _where(view: MapView) -> str:
    return "step %{y}, " + ("position %{x}" if view.width == 1 else f"{view.width} positions around %{{x:.0f}}")


def _map_layout(view: MapView) -> dict[str, Any]:
    n_rows = len(view.rows)
    places = style.thinned(range(n_rows), 5)
    ticks = {"tickvals": places, "ticktext": [f"{view.steps[place].step:,}" for place in places]}
    x = style.axis(
        "Position",
        showgrid=False,
        range=[-0.5, view.n_positions - 0.5],
        **style.linear_ticks(view.n_positions, 6, lambda value: f"{value:,.10g}"),
    )
    y = style.axis("Step", showgrid=False, range=[n_rows - 0.5, -0.5], **ticks)
    return style.layout(70 + max(90, min(300, 12 * n_rows)), x, y)


def scatter_figure(view: MapView) -> dict[str, Any]:
    """The last step's positions; what lies below the axes is drawn at their end."""
    high = max(max(point.approximate, point.exact) for point in view.points)
    low = high / 10**DECADES
    traces: list[dict[str, Any]] = [_equal(low, high)]
    for kind, (name, colour, symbol) in enumerate(KINDS):
        points = [point for point in view.points if point.kind == kind]
        if points:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": [max(point.approximate, low) for point in points],
                    "y": [max(point.exact, low) for point in points],
                    "marker": {"symbol": symbol, "color": colour.light, "size": 5 if kind == 0 else 6, "opacity": 0.75},
                    "hoverinfo": "text",
                    "hovertext": [_point_text(point, name) for point in points],
                }
            )
    ends = {"range": style.log_range(low, high, 1.6), "type": "log"}
    ticks = style.log_ticks(low, high, 6, lambda value: significant(value, 1))
    x = style.axis("Approximate attention", **ends, **ticks)
    y = style.axis("True attention", **ends, **ticks)
    return {"data": traces, "layout": style.layout(400, x, y)}


def _equal(low: float, high: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [low, high],
        "y": [low, high],
        "line": {"color": style.MUTED.light, "width": 1.5, "dash": "dash"},
        "hoverinfo": "skip",
    }


def _point_text(point: Point, name: str) -> str:
    weights = (f"approximate {point.approximate:.3g}", f"true {point.exact:.3g}")
    return style.hover(f"position {point.position:,}: {name}", *weights)


def coverage_figure(view: MapView) -> dict[str, Any]:
    """How much of its attention the head is thought to keep, and does keep."""
    steps = [step.step for step in view.steps]
    traces = []
    for name, colour, symbol, dash, values in (
        ("coverage α", style.BLUE, "circle", "solid", [step.coverage for step in view.steps]),
        ("true mass", style.ORANGE, "diamond", "dash", [step.mass for step in view.steps]),
    ):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": steps,
                "y": values,
                "line": {"color": colour.light, "width": 2, "dash": dash},
                "marker": {"color": colour.light, "symbol": symbol, "size": 6},
                "hoverinfo": "text",
                "hovertext": [style.hover(f"step {s}", f"{name} {v:.3f}") for s, v in zip(steps, values, strict=True)],
            }
        )
    pad = max(0.5, 0.03 * (steps[-1] - steps[0]))
    ends = style.thinned(steps, 6)
    x = style.axis("Step", range=[steps[0] - pad, steps[-1] + pad], tickvals=ends, ticktext=[f"{s:,}" for s in ends])
    y = style.axis(
        "Share of the head's attention",
        range=[-0.03, 1.05],
        **style.linear_ticks(1.0, 5, lambda value: f"{value:.10g}"),
    )
    return {"data": traces, "layout": style.layout(300, x, y)}
