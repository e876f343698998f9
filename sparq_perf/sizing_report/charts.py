"""The page's figures, each with a description for readers who cannot see it."""

from dataclasses import dataclass
from math import log2
from typing import Any

from sparq_perf.report import chart_style as style
from sparq_perf.report.chart import Chart
from sparq_perf.report.legends import Key
from sparq_perf.report.wording import rounded_si, seconds, significant, times_faster, tokens
from sparq_perf.sizing_report.crossover_chart import crossover_figure
from sparq_perf.sizing_report.studies import Curve, MapCell, StepBar, Study
from sparq_profiles.shape import KLayout

LOOKS: dict[KLayout | None, tuple[style.Colour, str, str]] = {
    None: (style.SLATE, "circle", "dash"),
    "two_copies": (style.BLUE, "square", "solid"),
    "channel_major": (style.ORANGE, "diamond", "solid"),
    "row_major": (style.GREEN, "triangle-up", "solid"),
}
PARTS = {
    "weights": style.BLUE,
    "attention": style.ORANGE,
    "LM head": style.GREEN,
    "launches": style.PURPLE,
    "all-reduce": style.GOLD,
}


@dataclass(frozen=True, slots=True)
class StudyCharts:
    """One device's charts; `crossover` is None where there is no SparQ setting."""

    study: Study
    latency: Chart
    cost: Chart
    bars: Chart
    crossover: Chart | None

    @property
    def every(self) -> tuple[Chart, ...]:
        """Those that exist."""
        charts = (self.latency, self.cost, self.bars, self.crossover)
        return tuple(chart for chart in charts if chart is not None)


def build_charts(studies: tuple[Study, ...]) -> tuple[StudyCharts, ...]:
    """The figures of each device, one scale of colours for all crossover maps."""
    reach = max([1.0, *(abs(log2(cell.speedup)) for study in studies for cell in _cells(study) if cell.fits)])
    return tuple(_charts(index, study, reach) for index, study in enumerate(studies))


def attention_keys() -> tuple[Key, ...]:
    """The legend of the curves."""
    return tuple(Key(layout or "dense", colour.name, symbol) for layout, (colour, symbol, _) in LOOKS.items())


def part_keys() -> tuple[Key, ...]:
    """The legend of the bars."""
    return tuple(Key(name, colour.name, "fill") for name, colour in PARTS.items())


def cost_unit(study: Study) -> str:
    """What the cost axis counts."""
    return "$ per million tokens" if study.priced else "GPU-hours per million tokens"


def _cells(study: Study) -> tuple[MapCell, ...]:
    return study.crossover.cells if study.crossover else ()


def _charts(index: int, study: Study, reach: float) -> StudyCharts:
    gpus = f"{study.n_gpus} GPU{'s' if study.n_gpus > 1 else ''}"
    name = f"{study.title}, {gpus}"
    crossover = None
    if study.crossover is not None:
        words = f"Speedup of the step over sequence length and batch: {name}, {study.crossover.k_layout}"
        crossover = Chart(f"crossover-{index}", name, words, crossover_figure(study.crossover, reach))
    return StudyCharts(
        study=study,
        latency=Chart(
            f"latency-{index}", name, f"Tokens per second and GPU against time per token: {name}", latency_figure(study)
        ),
        cost=Chart(f"cost-{index}", name, f"{cost_unit(study)} against context: {name}", cost_figure(study)),
        bars=Chart(f"bars-{index}", name, f"Where one step's time goes: {name}", bars_figure(study.bars)),
        crossover=crossover,
    )


def latency_figure(study: Study) -> dict[str, Any]:
    """Curves from batch 1 up; a large mark is the table's row."""

    def hover(point: Any, label: str) -> str:
        return style.hover(
            f"{label}, batch {point.batch:,}",
            f"{significant(point.at)} ms a token",
            f"{significant(point.value)} tokens/s a GPU",
        )

    x_values = [point.at for curve in study.latency for point in curve.points]
    y_values = [point.value for curve in study.latency for point in curve.points]
    x = style.axis("Time per token (ms)", type="log", **_log_axis(x_values, 6))
    y = style.axis("Tokens/s per GPU", type="log", **_log_axis(y_values, 6))
    return {"data": _curves(study.latency, hover), "layout": style.layout(330, x, y)}


def cost_figure(study: Study) -> dict[str, Any]:
    """Curves over the context, each point with the batch that fits there."""

    def hover(point: Any, label: str) -> str:
        unit = "$" if study.priced else "GPU-hours"
        return style.hover(
            f"{label}, {tokens(int(point.at))} tokens of context",
            f"{significant(point.value)} {unit} a million tokens",
            f"batch {point.batch:,}",
        )

    contexts = [int(point.at) for curve in study.cost for point in curve.points]
    values = [point.value for curve in study.cost for point in curve.points]
    x = style.length_axis(contexts, 6) | {"title": style.axis("Context (tokens, 1k = 1,024)")["title"]}
    y = style.axis(cost_unit(study), type="log", **_log_axis(values, 6))
    return {"data": _curves(study.cost, hover), "layout": style.layout(330, x, y)}


def _log_axis(values: list[float], most: int) -> dict[str, Any]:
    low, high = min(values), max(values)
    ticks = style.log_ticks(low / 1.3, high * 1.3, most, lambda value: f"{value:,.10g}")
    return {**ticks, "range": style.log_range(low, high, 1.3)}


def _curves(curves: tuple[Curve, ...], hover: Any) -> list[dict[str, Any]]:
    traces = []
    for curve in curves:
        if not curve.points:
            continue
        colour, symbol, dash = LOOKS[curve.k_layout]
        label = curve.k_layout or "dense"
        traces.append(
            {
                "type": "scatter",
                "name": label,
                "mode": "lines+markers",
                "x": [point.at for point in curve.points],
                "y": [point.value for point in curve.points],
                "line": {"color": colour.light, "width": 2, "dash": dash},
                "marker": {
                    "color": colour.light,
                    "symbol": symbol,
                    "size": [13 if point.chosen else 4 for point in curve.points],
                    "opacity": 1,
                    "line": {"width": 0},
                },
                "hoverinfo": "text",
                "hovertext": [hover(point, label) for point in curve.points],
            }
        )
    return traces


def bars_figure(bars: tuple[StepBar, ...]) -> dict[str, Any]:
    """Stacked parts of a step, one bar for each attention, dense first."""
    place = {bar.k_layout: index for index, bar in enumerate(bars)}
    traces = []
    for name, colour in PARTS.items():
        own = [(bar, dict(bar.parts)[name]) for bar in bars if name in dict(bar.parts)]
        if own:
            traces.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "name": name,
                    "x": [time_s for _, time_s in own],
                    "y": [place[bar.k_layout] for bar, _ in own],
                    "width": 0.62,
                    "marker": {"color": colour.light, "line": {"width": 0}},
                    "hoverinfo": "text",
                    "hovertext": [
                        style.hover(
                            bar.k_layout or "dense", f"{name}: {seconds(time_s)}", f"{time_s / bar.total_s:.0%}"
                        )
                        for bar, time_s in own
                    ],
                    "textposition": "none",
                }
            )
    reach = 1.3 * max(bar.total_s for bar in bars)
    x = style.axis(
        "Time of one step",
        range=[0, reach],
        **style.linear_ticks(reach, 5, lambda value: rounded_si(value, "s")),
    )
    names = {"tickvals": list(place.values()), "ticktext": [layout or "dense" for layout in place]}
    y = style.axis("", showgrid=False, range=[len(bars) - 0.4, -0.6], **names)
    font = {"size": 11, "color": style.MUTED.light}
    totals = [
        {
            "x": bar.total_s,
            "y": place[bar.k_layout],
            "text": f"{seconds(bar.total_s)}{_faster(bar, bars)}",
            "xanchor": "left",
            "yanchor": "middle",
            "xshift": 5,
            "showarrow": False,
            "font": font,
        }
        for bar in bars
    ]
    return {"data": traces, "layout": style.layout(70 + 46 * len(bars), x, y, barmode="stack", annotations=totals)}


def _faster(bar: StepBar, bars: tuple[StepBar, ...]) -> str:
    dense = next(other for other in bars if other.k_layout is None)
    return "" if bar.k_layout is None else f", {times_faster(dense.total_s / bar.total_s)}"
