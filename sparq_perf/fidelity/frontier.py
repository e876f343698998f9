"""Which settings are worth their bytes: points of fidelity records, their Pareto front, the one to take.

Scores are comparable within one `Bench` only: the same model, task, data and lengths. Every function here but
`points_of` and `by_bench` takes the points of one.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sparq_perf.fidelity.tolerance import Metric, Tolerance
from sparq_perf.records.fidelity import Fidelity, LayerFidelity
from sparq_perf.records.line import Line
from sparq_profiles import AttentionShape, SparqConfig, SparqPerfError

# Lines of this task carry times, no scores of answers.
SPEED_TASK = "decode-speed"

# How a tolerance judges a point: ``within`` with its standard error; ``undecided``: its mean is, and with the error,
# or for want of one, it may not be; ``outside``; ``unknown``: the records have no such score.
Judgement = Literal["within", "undecided", "outside", "unknown"]


class FrontierError(SparqPerfError):
    """Points that cannot be compared."""


@dataclass(frozen=True, slots=True, order=True)
class Bench:
    """Everything that must be equal for two settings' scores to be comparable.

    Attributes:
        context: tokens prefilled; new_tokens: decode steps of each of the ``n_examples``.
    """

    model: str
    task: str
    context: int
    new_tokens: int
    n_examples: int
    seed: int
    dataset: str
    dataset_sha256: str
    device: str
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    dtype: str

    @classmethod
    def of(cls, line: Fidelity) -> "Bench":
        """What a line was run on."""
        shape = line.shape
        return cls(
            model=line.model,
            task=line.task,
            context=line.context,
            new_tokens=line.new_tokens,
            n_examples=line.n_examples,
            seed=line.seed,
            dataset=line.dataset,
            dataset_sha256=line.dataset_sha256,
            device=line.device,
            n_layers=line.n_layers,
            n_heads=shape.n_heads,
            n_kv_heads=shape.n_kv_heads,
            head_dim=shape.head_dim,
            dtype=shape.dtype,
        )


@dataclass(frozen=True)
class SettingPoint:
    """One SparQ setting in one bench.

    Attributes:
        shape: of the last decode step.
        transfer_ratio: the paper's elements per head over dense's.
        scores: by their names in the record; stderr: their standard errors, where there are several examples.
        dense_scores, dense_stderr: of the same bench's dense line; empty without one.
        layers: attention by layer and head; empty in tasks that do not look at it.
    """

    bench: Bench
    config: SparqConfig
    shape: AttentionShape
    transfer_ratio: float
    scores: Mapping[str, float]
    stderr: Mapping[str, float]
    dense_scores: Mapping[str, float]
    dense_stderr: Mapping[str, float]
    layers: tuple[LayerFidelity, ...] = ()


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss against dense, of which less is better.

    Attributes:
        stderr: its standard error; None where it has none.
        paired: the error is that of the difference, example by example. Else, in older records, it combines the spread
            of both over the examples, as if they were other texts for each: too large, since the texts are the same.
    """

    value: float
    stderr: float | None
    paired: bool


@dataclass(frozen=True)
class Recommendation:
    """The cheapest setting within a tolerance, and what else a reader should know.

    Attributes:
        point: what to take; None where no setting's mean loss is within.
        judgement: of that point: ``within`` or ``undecided``; ``outside`` where there is none, ``unknown`` where no
            point has the score.
        loss: of that point.
        alike: as cheap and judged the same, with a larger loss that the two standard errors, combined, do not tell from
            ``point``'s.
        cheaper_undecided: the cheapest whose mean is within, where that is cheaper than ``point``.
        nearest: the point of least loss, where no setting is within.
    """

    tolerance: Tolerance
    point: SettingPoint | None
    judgement: Judgement
    loss: Loss | None = None
    alike: tuple[SettingPoint, ...] = ()
    cheaper_undecided: SettingPoint | None = None
    nearest: SettingPoint | None = None


def points_of(lines: Iterable[Line]) -> list[SettingPoint]:
    """Every SparQ setting's point, in the order first met; the newest line of a setting in a bench counts."""
    newest: dict[tuple[Bench, SparqConfig | None], Fidelity] = {}
    for line in lines:
        if isinstance(line, Fidelity) and line.task != SPEED_TASK:
            newest[Bench.of(line), line.config] = line
    points = []
    for (bench, config), line in newest.items():
        if config is None or line.transfer_ratio is None:
            continue
        dense = newest.get((bench, None))
        against = (dense.scores, dense.stderr) if dense else ({}, {})
        told = (line.shape, line.transfer_ratio, line.scores, line.stderr)
        points.append(SettingPoint(bench, config, *told, *against, line.layers))
    return points


def by_bench(points: Iterable[SettingPoint]) -> dict[Bench, list[SettingPoint]]:
    """The points by what they were run on: most examples first, then most settings; else in the order met."""
    groups: dict[Bench, list[SettingPoint]] = {}
    for point in points:
        groups.setdefault(point.bench, []).append(point)
    ordered = sorted(groups.items(), key=lambda item: (-item[0].n_examples, -len(item[1])))
    return dict(ordered)


def loss_of(point: SettingPoint, metric: Metric) -> Loss | None:
    """The point's loss by a metric, in the sense of `Tolerance.largest_loss`; None where the records lack a score."""
    scores, stderr = point.scores, point.stderr
    if metric == "kl":
        return _loss(scores.get("kl_nats"), stderr.get("kl_nats"), paired=True)
    if metric == "agreement":
        agreement = scores.get("agreement")
        return _loss(None if agreement is None else 1.0 - agreement, stderr.get("agreement"), paired=True)
    if metric == "perplexity":
        increase = scores.get("nll_increase_nats")
        if increase is not None:
            ratio, error = _exp(increase), stderr.get("nll_increase_nats")
            # The standard error of a ratio exp(a - b) is that of a - b times the ratio, to first order.
            return _loss(ratio, None if error is None else error * ratio, paired=True)
        own, dense = scores.get("perplexity"), point.dense_scores.get("perplexity")
        if own is None or not dense:
            return None
        spread = _together(point, "nll_nats")
        return _loss(own / dense, None if spread is None else spread * own / dense, paired=False)
    if "accuracy_drop" in scores:
        return _loss(scores["accuracy_drop"], stderr.get("accuracy_drop"), paired=True)
    own, dense = scores.get("accuracy"), point.dense_scores.get("accuracy")
    if own is None or dense is None:
        return None
    return _loss(dense - own, _together(point, "accuracy"), paired=False)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def judge(loss: Loss | None, tolerance: Tolerance) -> Judgement:
    """A loss against a limit, one standard error on the safe side."""
    if loss is None:
        return "unknown"
    most = tolerance.largest_loss + 1e-12  # 1 - 0.95 is 0.05 but for rounding
    if loss.value > most:
        return "outside"
    return "within" if loss.stderr is not None and loss.value + loss.stderr <= most else "undecided"


def pareto_front(
    points: Sequence[SettingPoint],
    cost: Callable[[SettingPoint], float | None],
    loss: Callable[[SettingPoint], float | None],
) -> list[SettingPoint]:
    """Points that no other beats: none costs as much or less and loses as much or less, one of the two less.

    By ascending cost. Points without a finite cost and loss are left out; equal points are all kept.
    """
    placed = [(c, v, point) for point in points for c, v in [(cost(point), loss(point))] if _finite(c) and _finite(v)]
    known = [(c, v, point) for c, v, point in placed if c is not None and v is not None]
    front = [
        (c, v, point)
        for c, v, point in known
        if not any(c2 <= c and v2 <= v and (c2 < c or v2 < v) for c2, v2, _ in known)
    ]
    return [point for _, _, point in sorted(front, key=lambda item: item[:2])]


def transfers(point: SettingPoint) -> float:
    """The cost by which settings are recommended: what they transfer, which no machine's speed changes."""
    return point.transfer_ratio


def recommend(
    points: Sequence[SettingPoint],
    tolerance: Tolerance,
    cost: Callable[[SettingPoint], float | None] = transfers,
) -> Recommendation:
    """The cheapest setting whose loss, with its standard error, is within the tolerance.

    Of equally cheap ones that of least loss. Where none is within with its error, the cheapest whose mean is, judged
    ``undecided``. Points without a cost are left out.

    Raises:
        FrontierError: points of several benches.
    """
    if len({point.bench for point in points}) > 1:
        raise FrontierError("points of several models, tasks or lengths: recommend from the points of one bench")
    known = []
    for point in points:
        price, loss = cost(point), loss_of(point, tolerance.metric)
        if price is not None and _finite(price) and loss is not None:
            known.append(_Priced(price, loss, judge(loss, tolerance), point))
    if not known:
        return Recommendation(tolerance, None, "unknown")
    ranked = sorted(known, key=lambda one: (one.price, one.loss.value))
    within = [one for one in ranked if one.judgement == "within"]
    mean_within = [one for one in ranked if one.judgement != "outside"]
    if not mean_within:
        nearest = min(ranked, key=lambda one: (one.loss.value, one.price))
        return Recommendation(tolerance, None, "outside", nearest=nearest.point)
    best = (within or mean_within)[0]
    cheapest = mean_within[0]
    return Recommendation(
        tolerance,
        best.point,
        best.judgement,
        best.loss,
        alike=tuple(one.point for one in ranked if one is not best and _alike(one, best)),
        cheaper_undecided=cheapest.point if _less(cheapest.price, best.price) else None,
    )


@dataclass(frozen=True, slots=True)
class _Priced:
    price: float
    loss: Loss
    judgement: Judgement
    point: SettingPoint


def _alike(one: _Priced, best: _Priced) -> bool:
    if one.judgement != best.judgement or not math.isclose(one.price, best.price, rel_tol=1e-9):
        return False
    # The examples' own spread is no noise of a difference between two settings on the same examples.
    noise = math.hypot(one.loss.stderr or 0.0, best.loss.stderr or 0.0) if best.loss.paired else 0.0
    return one.loss.value - best.loss.value <= noise


def _less(price: float, other: float) -> bool:
    return price < other and not math.isclose(price, other, rel_tol=1e-9)


def _loss(value: float | None, stderr: float | None, *, paired: bool) -> Loss | None:
    if not _finite(value) or value is None:
        return None
    return Loss(value, stderr if _finite(stderr) else None, paired)


def _together(point: SettingPoint, name: str) -> float | None:
    own, dense = point.stderr.get(name), point.dense_stderr.get(name)
    return None if own is None or dense is None else math.hypot(own, dense)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
