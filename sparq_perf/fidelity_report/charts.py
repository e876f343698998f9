"""The page's scatter charts: a score against transfers, and against measured and predicted speed."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparq_perf.fidelity.frontier import SettingPoint, pareto_front, transfers
from sparq_perf.fidelity.tolerance import Tolerance
from sparq_perf.fidelity_report.joining import Joined, Speedup
from sparq_perf.fidelity_report.marks import LOOKS, Family, family, family_words
from sparq_perf.fidelity_report.view import BenchView
from sparq_perf.report import chart_style as style
from sparq_perf.report.charts import Chart
from sparq_perf.report.wording import significant, times_faster
from sparq_profiles import SparqConfig

Names = Mapping[SparqConfig | None, str]

_NOTE: dict[str, Any] = {"showarrow": False, "font": {"size": 11, "color": style.MUTED.light}}

# Below this a KL is rounding: drawn here, its number in the hover text.
LEAST_KL = 1e-6


@dataclass(frozen=True, slots=True)
class Score:
    """A score that charts are drawn of.

    Attributes:
        best: the end that is better: its sign times the score falls along a front.
    """

    name: str
    title: str
    log: bool
    better: str

    @property
    def sign(self) -> int:
        """Times this, less is better."""
        return -1 if self.better == "high" else 1


SCORES = (
    Score("kl_nats", "KL from dense (nats)", True, "low"),
    Score("accuracy", "Accuracy", False, "high"),
    Score("rouge_l", "ROUGE-L", False, "high"),
    Score("matched_characters", "Characters repeated", False, "high"),
    Score("agreement", "Agreement with dense", False, "high"),
    Score("perplexity", "Perplexity", False, "low"),
    Score("output_error", "Output error", False, "low"),
    Score("recall", "Top-k recall", False, "high"),
)


def scores_of(bench: BenchView) -> list[Score]:
    """What a bench's charts can show, its most telling score first."""
    return [score for score in SCORES if any(_value(point, score) is not None for point, _ in bench.settings)]


def transfer_charts(bench: BenchView, names: Names, tolerances: Sequence[Tolerance]) -> tuple[Chart, ...]:
    """Each score against the transfer ratio."""
    charts = []
    for score in scores_of(bench):
        points = [point for point, _ in bench.settings if _value(point, score) is not None]
        words = f"{score.title} against transfers: {bench.title}"
        figure = _transfer_figure(points, score, names, _limits(score, tolerances))
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
            if _value(point, found[0]) is not None:
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
        return style.hover(
            names[point.config], f"1/{1 / ratio:.2f} of the transfers ({ratio:.4f})", _told(point, score)
        )

    placed = [(_apart(point), point) for point in points]
    front = pareto_front(points, transfers, lambda point: _loss(point, score))
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
    traces = [_front(line, score), *_families(placed, score, hover, hollow=False)]
    dense = points[0].dense_scores.get(score.name) if not score.log and score.name != "agreement" else None
    return {"data": traces, "layout": _layout(points, score, x, limits, _labels(line, score), dense)}


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
        return style.hover(names[point.config], measured, predicted, _told(point, score))

    measured = [(speedup.measured, point) for point, speedup in pairs if speedup.measured]
    predicted = [(speedup.predicted, point) for point, speedup in pairs if speedup.predicted]
    at = {id(point): speed for speed, point in measured}
    front = pareto_front([point for _, point in measured], lambda p: 1 / at[id(p)], lambda p: _loss(p, score))
    line = [(at[id(point)], point) for point in front]
    spans = {id(point): speedup.span for point, speedup in pairs if speedup.span and speedup.measured}
    traces = [_front(line, score)] if line else []
    traces += _families(predicted, score, hover, hollow=True)
    traces += _families(measured, score, hover, hollow=False, spans=spans)
    speeds = [speed for speed, _ in (*measured, *predicted)] + [end for span in spans.values() if span for end in span]
    low, high = min([1.0, *speeds]), max([1.0, *speeds])
    edge = 0.12 * (high - low) or 0.1
    x = style.axis("Speedup over dense", range=[low - edge, high + edge], tickformat=".3~f", ticksuffix="×", nticks=7)
    points = [point for point, _ in pairs]
    layout = _layout(points, score, x, (), _labels(line, score))
    layout["shapes"] = [*layout["shapes"], _line(x=1.0)]
    return {"data": traces, "layout": layout}


def _families(
    placed: Sequence[tuple[float, SettingPoint]],
    score: Score,
    hover: Callable[[SettingPoint], str],
    *,
    hollow: bool,
    spans: Mapping[int, tuple[float, float] | None] | None = None,
) -> list[dict[str, Any]]:
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
            "y": [_drawn(point, score) for _, point in own],
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
            trace["error_y"] = _errors([_ends(point, score) for _, point in own], colour)
        if spans:
            ends = [(x, spans.get(id(point)) or (x, x)) for x, point in own]
            trace["error_x"] = _errors([(x - low, high - x) for x, (low, high) in ends], colour)
        traces.append(trace)
    return traces


def _errors(ends: Sequence[tuple[float, float]], colour: style.Colour) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "arrayminus": [down for down, _ in ends],
        "array": [up for _, up in ends],
        "color": colour.light,
        "thickness": 1.2,
        "width": 3,
    }


def _front(line: Sequence[tuple[float, SettingPoint]], score: Score) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "x": [x for x, _ in line],
        "y": [_drawn(point, score) for _, point in line],
        "line": {"color": style.MUTED.light, "width": 1.5},
        "hoverinfo": "skip",
    }


def _labels(line: Sequence[tuple[float, SettingPoint]], score: Score) -> list[tuple[float, float, str]]:
    """A name for each point of a front; settings of the same r, k and score share one, at the leftmost."""
    named: dict[tuple[str, float], float] = {}
    for x, point in line:
        key = (f"{point.config.rank}, {point.config.top_k}", _drawn(point, score))
        named[key] = min(x, named.get(key, x))
    return [(x, value, text) for (text, value), x in named.items()]


def _layout(
    points: Sequence[SettingPoint],
    score: Score,
    x: dict[str, Any],
    limits: Sequence[float],
    labels: Sequence[tuple[float, float, str]],
    dense: float | None = None,
) -> dict[str, Any]:
    ends = [(_drawn(point, score), *_ends(point, score)) for point in points]
    lines = [*limits, *([] if dense is None else [dense])]
    low = min([value - down for value, down, _ in ends] + lines)
    high = max([value + up for value, _, up in ends] + lines)
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
    return style.layout(400, x, y, annotations=notes, shapes=[_line(y=value) for value in lines])


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


def _line(x: float | None = None, y: float | None = None) -> dict[str, Any]:
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


def _limits(score: Score, tolerances: Sequence[Tolerance]) -> list[float]:
    metric = {"kl_nats": "kl", "agreement": "agreement"}.get(score.name)
    return [t.limit for t in tolerances if t.metric == metric and (t.limit > 0 or not score.log)]


def _value(point: SettingPoint, score: Score) -> float | None:
    value = point.scores.get(score.name)
    return value if value is not None and math.isfinite(value) else None


def _loss(point: SettingPoint, score: Score) -> float | None:
    value = _value(point, score)
    return None if value is None else score.sign * value


def _drawn(point: SettingPoint, score: Score) -> float:
    value = _value(point, score)
    assert value is not None
    return max(value, LEAST_KL) if score.log else value


def _ends(point: SettingPoint, score: Score) -> tuple[float, float]:
    """Lengths of the error bar down and up; on a logarithmic axis it ends above 0."""
    error, value = point.stderr.get(score.name, 0.0), _drawn(point, score)
    return (min(error, 0.95 * value) if score.log else error), error


def _told(point: SettingPoint, score: Score) -> str:
    error = point.stderr.get(score.name)
    value = point.scores[score.name]
    n = point.bench.n_examples
    spread = f" ± {significant(error, 2)}" if error is not None else ""
    return f"{score.title}: {significant(value, 3)}{spread}, n = {n}"
