"""The page's scatter charts: a score against transfers, and against measured and predicted speed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sparq_perf.fidelity.frontier import SettingPoint, pareto_front, transfers
from sparq_perf.fidelity.tolerance import Tolerance
from sparq_perf.fidelity_report.joining import Joined, Speedup
from sparq_perf.fidelity_report.marks import LOOKS, family
from sparq_perf.fidelity_report.scatter import across, family_traces, front_line, labels_of, layout
from sparq_perf.fidelity_report.scores import SCORES, Score, limits_of, signed, told, value_of
from sparq_perf.fidelity_report.view import BenchView
from sparq_perf.report import chart_style as style
from sparq_perf.report.chart import Chart
from sparq_perf.report.wording import times_faster
from sparq_profiles import SparqConfig

Names = Mapping[SparqConfig | None, str]


def scores_of(bench: BenchView) -> list[Score]:
    """What a bench's charts can show, its most telling score first."""
    return [score for score in SCORES if any(value_of(point, score) is not None for point, _ in bench.settings)]


def transfer_charts(bench: BenchView, names: Names, tolerances: Sequence[Tolerance]) -> tuple[Chart, ...]:
    """Each score against the transfer ratio."""
    charts = []
    for score in scores_of(bench):
        points = [point for point, _ in bench.settings if value_of(point, score) is not None]
        words = f"{score.title} against transfers: {bench.title}"
        figure = _transfer_figure(points, score, names, limits_of(score, tolerances))
        charts.append(Chart(f"{bench.id}-transfers-{score.name}", score.title, words, figure))
    return tuple(charts)


def speed_charts(bench: BenchView, names: Names, kind: str) -> tuple[Chart, ...]:
    """The most telling score against the speedup, a chart for each place; ``kind`` is ``step`` or ``attention``."""
    found = scores_of(bench)
    if not found:
        return ()
    places: dict[str, list[tuple[SettingPoint, Speedup]]] = {}
    for point, joined in bench.settings:
        for speedup in _speedups(joined, kind):
            if value_of(point, found[0]) is not None:
                places.setdefault(speedup.place.words, []).append((point, speedup))
    # Places where something was measured come before those of predictions alone.
    ordered = sorted(places.items(), key=lambda item: not any(speedup.measured for _, speedup in item[1]))
    what = "whole model's step" if kind == "step" else "attention"
    return tuple(
        Chart(
            f"{bench.id}-{kind}-{index}",
            place,
            f"{found[0].title} against speedup of the {what}: {place}",
            _speed_figure(pairs, found[0], names),
        )
        for index, (place, pairs) in enumerate(ordered)
    )


def _speedups(joined: Joined, kind: str) -> tuple[Speedup, ...]:
    return joined.steps if kind == "step" else joined.attention


def _transfer_figure(
    points: Sequence[SettingPoint], score: Score, names: Names, limits: Sequence[float]
) -> dict[str, Any]:
    def hover(point: SettingPoint) -> str:
        ratio = point.transfer_ratio
        return style.hover(names[point.config], f"1/{1 / ratio:.2f} of the transfers ({ratio:.4f})", told(point, score))

    placed = [(_apart(point), point) for point in points]
    front = pareto_front(points, transfers, lambda point: signed(point, score))
    ratios = [point.transfer_ratio for point in points]
    low, high = min(ratios), max(ratios)
    halves = [2.0**-power for power in range(12) if low / 1.15 <= 2.0**-power <= high * 1.15]
    x = style.axis(
        "Transfers, of dense",
        type="log",
        tickvals=halves,
        ticktext=[f"1/{round(1 / half)}" if half < 1 else "1" for half in halves],
        range=style.log_range(low, high, 1.3),
    )
    line = [(_apart(point), point) for point in front]
    traces = [front_line(line, score), *family_traces(placed, score, hover, hollow=False)]
    dense = points[0].dense_scores.get(score.name) if not score.log and score.name != "agreement" else None
    return {"data": traces, "layout": layout(points, score, x, limits, labels_of(line, score), dense)}


def _apart(point: SettingPoint) -> float:
    """The transfer ratio, families of equal ratios a little apart so that their error bars can be read."""
    place = list(LOOKS).index(family(point.config)) - (len(LOOKS) - 1) / 2
    return point.transfer_ratio * math.exp(0.025 * place)


def _speed_figure(pairs: Sequence[tuple[SettingPoint, Speedup]], score: Score, names: Names) -> dict[str, Any]:
    by_point = {id(point): speedup for point, speedup in pairs}

    def hover(point: SettingPoint) -> str:
        speedup = by_point[id(point)]
        span = f", {times_faster(speedup.span[0])} to {times_faster(speedup.span[1])}" if speedup.span else ""
        measured = f"measured {times_faster(speedup.measured)}{span}" if speedup.measured else "not measured"
        by = f" ({speedup.predicted_by})"
        predicted = f"predicted {times_faster(speedup.predicted)}{by}" if speedup.predicted else "not predicted"
        return style.hover(names[point.config], measured, predicted, told(point, score))

    measured = [(speedup.measured, point) for point, speedup in pairs if speedup.measured]
    predicted = [(speedup.predicted, point) for point, speedup in pairs if speedup.predicted]
    at = {id(point): speed for speed, point in measured}
    front = pareto_front([point for _, point in measured], lambda p: 1 / at[id(p)], lambda p: signed(p, score))
    line = [(at[id(point)], point) for point in front]
    spans = {id(point): speedup.span for point, speedup in pairs if speedup.span and speedup.measured}
    traces = [front_line(line, score)] if line else []
    traces += family_traces(predicted, score, hover, hollow=True)
    traces += family_traces(measured, score, hover, hollow=False, spans=spans)
    speeds = [speed for speed, _ in (*measured, *predicted)] + [end for span in spans.values() if span for end in span]
    low, high = min([1.0, *speeds]), max([1.0, *speeds])
    edge = 0.12 * (high - low) or 0.1
    x = style.axis("Speedup over dense", range=[low - edge, high + edge], tickformat=".3~f", ticksuffix="×", nticks=7)
    points = [point for point, _ in pairs]
    shown = layout(points, score, x, (), labels_of(line, score))
    shown["shapes"] = [*shown["shapes"], across(x=1.0)]
    return {"data": traces, "layout": shown}
