"""Points, fronts and recommendations, by hand-computed numbers."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sparq_perf.fidelity.frontier import (
    FrontierError,
    SettingPoint,
    by_bench,
    judge,
    loss_of,
    pareto_front,
    points_of,
    recommend,
    transfers,
)
from sparq_perf.fidelity.tolerance import Tolerance, ToleranceError, parse_tolerance
from sparq_profiles import SparqConfig

KL = Tolerance("kl", 0.05)
Made = Callable[..., Any]


@pytest.fixture
def line(lines: Any) -> Made:
    """A fidelity line without scores, unless they are given."""

    def made(config: SparqConfig | None, ratio: float | None = None, **fields: Any) -> Any:
        return lines.fidelity(
            **{"config": config, "transfer_ratio": ratio, "layers": (), "scores": {}, "stderr": {}} | fields
        )

    return made


@pytest.fixture
def point(line: Made) -> Callable[..., SettingPoint]:
    """One setting by its transfers and its KL."""

    def made(ratio: float, kl: float | None, error: float | None = 0.0, *, top_k: int = 64) -> SettingPoint:
        scores = {} if kl is None else {"kl_nats": kl}
        stderr = {} if error is None else {"kl_nats": error}
        return points_of([line(SparqConfig(8, top_k), ratio, scores=scores, stderr=stderr)])[0]

    return made


def kl_of(one: SettingPoint) -> float | None:
    loss = loss_of(one, "kl")
    return None if loss is None else loss.value


def test_points_are_the_newest_lines_of_each_setting_beside_their_dense_line(line: Made) -> None:
    config = SparqConfig(8, 64)
    dense = line(None, scores={"perplexity": 40.0})
    old = line(config, 0.125, scores={"perplexity": 60.0})
    new = line(config, 0.125, scores={"perplexity": 50.0})
    speed = line(config, 0.125, task="decode-speed", scores={"step_time_s": 1.0})

    points = points_of([old, dense, new, speed])

    assert [(p.config, p.scores["perplexity"], p.dense_scores["perplexity"]) for p in points] == [(config, 50.0, 40.0)]


@pytest.mark.parametrize(
    "other",
    [
        {"context": 4096},
        {"model": "large"},
        {"dataset_sha256": "1" * 64},
        {"n_examples": 5},
        {"seed": 1},
        {"device": "cuda"},
    ],
)
def test_a_dense_line_of_another_bench_is_not_taken(line: Made, other: dict[str, object]) -> None:
    lines = [line(None, scores={"perplexity": 40.0}, **other), line(SparqConfig(8, 64), 0.125)]
    assert points_of(lines)[0].dense_scores == {}


def test_benches_with_most_examples_come_first(line: Made) -> None:
    long = line(SparqConfig(8, 64), 0.125, context=4096, n_examples=1)
    benches = by_bench(points_of([long, line(SparqConfig(8, 64), 0.125)]))
    assert [(bench.context, len(points)) for bench, points in benches.items()] == [(100, 1), (4096, 1)]


def test_losses_by_hand(line: Made) -> None:
    dense = line(None, scores={"perplexity": 40.0, "accuracy": 0.8}, stderr={"nll_nats": 0.3, "accuracy": 0.03})
    scores = {"kl_nats": 0.04, "agreement": 0.9, "perplexity": 50.0, "accuracy": 0.75}
    stderr = {"kl_nats": 0.01, "agreement": 0.02, "nll_nats": 0.4, "accuracy": 0.04}
    one = points_of([dense, line(SparqConfig(8, 64), 0.125, scores=scores, stderr=stderr)])[0]

    kl, agreement = loss_of(one, "kl"), loss_of(one, "agreement")
    perplexity, accuracy = loss_of(one, "perplexity"), loss_of(one, "accuracy")

    assert kl is not None
    assert (kl.value, kl.stderr, kl.paired) == (0.04, 0.01, True)
    assert agreement is not None
    assert (agreement.value, agreement.stderr) == (pytest.approx(0.1), 0.02)
    # 50 / 40, and 1.25 * sqrt(0.3² + 0.4²).
    assert perplexity is not None
    assert (perplexity.value, perplexity.stderr, perplexity.paired) == (1.25, pytest.approx(0.625), False)
    assert accuracy is not None
    assert (accuracy.value, accuracy.stderr) == (pytest.approx(0.05), pytest.approx(0.05))


def test_losses_of_differences_example_by_example(line: Made) -> None:
    # Not those of the means beside them, whose errors are the texts' own spread.
    scores = {"nll_increase_nats": math.log(1.25), "perplexity": 50.0, "accuracy_drop": 0.05, "accuracy": 0.5}
    stderr = {"nll_increase_nats": 0.04, "nll_nats": 0.4, "accuracy_drop": 0.02, "accuracy": 0.2}
    one = points_of([line(SparqConfig(8, 64), 0.125, scores=scores, stderr=stderr)])[0]
    perplexity, accuracy = loss_of(one, "perplexity"), loss_of(one, "accuracy")
    assert perplexity is not None
    assert (perplexity.value, perplexity.stderr) == (pytest.approx(1.25), pytest.approx(0.05))
    assert accuracy is not None
    assert (accuracy.value, accuracy.stderr) == (0.05, 0.02)
    assert perplexity.paired
    assert accuracy.paired
    alone = loss_of(replace(one, stderr={}), "perplexity")
    assert alone is not None
    assert alone.stderr is None
    assert loss_of(replace(one, scores={"nll_increase_nats": 1000.0}), "perplexity") is None


def test_without_dense_there_is_no_ratio_to_it_and_without_scores_no_loss(line: Made) -> None:
    one = points_of([line(SparqConfig(8, 64), 0.125, scores={"perplexity": 50.0, "accuracy": 0.5})])[0]
    assert [loss_of(one, metric) for metric in ("kl", "agreement", "perplexity", "accuracy")] == [None] * 4
    assert loss_of(replace(one, scores={"kl_nats": math.nan}), "kl") is None


@pytest.mark.parametrize(
    ("kl", "error", "said"),
    [
        (0.04, 0.01, "within"),
        (0.04, 0.011, "undecided"),
        (0.04, None, "undecided"),
        (0.05, 0.0, "within"),
        (0.051, 0.0, "outside"),
        (None, None, "unknown"),
    ],
)
def test_a_loss_is_within_with_its_standard_error_or_not(
    point: Any, kl: float | None, error: float | None, said: str
) -> None:
    assert judge(loss_of(point(0.25, kl, error), "kl"), KL) == said


def test_agreement_equal_to_its_limit_is_within(line: Made) -> None:
    # In binary 1 - 0.95 and 1.0 - 0.95 of the limit need not be the same number.
    one = line(SparqConfig(8, 64), 0.1, scores={"agreement": 0.95}, stderr={"agreement": 0.0})
    assert recommend(points_of([one]), Tolerance("agreement", 0.95)).judgement == "within"


def test_front_by_hand(point: Any) -> None:
    """At 0.25 the lower one wins; 0.375 loses more than the cheaper 0.25; equal points are both kept."""
    points = [
        point(0.5, 0.01),
        point(0.25, 0.04, top_k=128),
        point(0.25, 0.06, top_k=129),
        point(0.375, 0.05, top_k=130),
        point(0.125, 0.1, top_k=131),
        point(0.125, 0.1, top_k=132),
        point(0.0625, None, top_k=133),
    ]
    front = pareto_front(points, transfers, kl_of)
    assert [(p.transfer_ratio, p.config.top_k) for p in front] == [(0.125, 131), (0.125, 132), (0.25, 128), (0.5, 64)]


def test_front_of_one_point_of_none_and_of_nan(point: Any) -> None:
    one = point(0.5, 0.01)
    assert pareto_front([one], transfers, kl_of) == [one]
    assert pareto_front([], transfers, kl_of) == []
    assert pareto_front([one], lambda _: math.nan, kl_of) == []


def test_the_cheapest_within_its_error_is_taken_and_a_cheaper_undecided_one_named(point: Any) -> None:
    dear, right, noisy = point(0.5, 0.01), point(0.25, 0.03, 0.01, top_k=128), point(0.125, 0.04, 0.02, top_k=32)
    found = recommend([dear, noisy, right], KL)
    assert (found.point, found.judgement, found.cheaper_undecided) == (right, "within", noisy)


def test_where_errors_straddle_the_limit_the_answer_is_undecided(point: Any) -> None:
    noisy = point(0.125, 0.04, 0.02)
    found = recommend([noisy, point(0.0625, 0.2, top_k=32)], KL)
    assert (found.point, found.judgement, found.cheaper_undecided) == (noisy, "undecided", None)


def test_equally_cheap_settings_go_by_loss_and_those_within_the_noise_are_named(point: Any) -> None:
    """0.030 ± 0.004 against 0.035 ± 0.003: 0.005 apart, noise 0.005; 0.036 is 0.006 apart."""
    best, alike = point(0.25, 0.03, 0.004, top_k=1), point(0.25, 0.0349, 0.003, top_k=2)
    worse = point(0.25, 0.036, 0.003, top_k=3)
    found = recommend([worse, alike, best], KL)
    assert (found.point, found.alike) == (best, (alike,))


def test_none_within_names_the_nearest(point: Any) -> None:
    points = [point(0.25, 0.2), point(0.125, 0.9, top_k=32)]
    found = recommend(points, KL)
    assert (found.point, found.judgement, found.nearest) == (None, "outside", points[0])


def test_absent_scores_are_unknown_and_not_zero_loss(point: Any) -> None:
    assert recommend([point(0.1, None)], KL).judgement == "unknown"
    assert recommend([], KL).judgement == "unknown"
    assert recommend([point(0.1, None), point(0.5, 0.01, top_k=32)], KL).point == point(0.5, 0.01, top_k=32)


def test_a_cost_of_ones_own_and_points_without_it(point: Any) -> None:
    quick, slow, untimed = point(0.5, 0.01), point(0.25, 0.01, top_k=128), point(0.1, 0.01, top_k=32)
    times = {64: 1.0, 128: 2.0, 32: None}
    assert recommend([quick, slow, untimed], KL, lambda p: times[p.config.top_k]).point == quick


def test_points_of_several_benches_are_refused(point: Any, line: Made) -> None:
    other = points_of([line(SparqConfig(8, 64), 0.1, context=4096)])[0]
    with pytest.raises(FrontierError, match="one bench"):
        recommend([point(0.1, 0.01), other], KL)


def test_tolerances_read_and_write_the_same() -> None:
    assert parse_tolerance(" kl = 0.05 ") == KL
    assert str(parse_tolerance("agreement=0.95")) == "agreement=0.95"
    assert parse_tolerance("agreement=0.95").largest_loss == pytest.approx(0.05)
    assert parse_tolerance("perplexity=1.02").largest_loss == 1.02


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.05", "METRIC=LIMIT"),
        ("kl=", "METRIC=LIMIT"),
        ("kl=low", "'low' is no number"),
        ("kl=nan", "at least 0"),
        ("kl=-1", "at least 0"),
        ("agreement=95", "from 0 to 1"),
        ("perplexity=0.9", "at least 1"),
        ("bleu=3", "choose one of kl, agreement, perplexity, accuracy"),
    ],
)
def test_wrong_tolerances_say_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ToleranceError, match=said):
        parse_tolerance(text)
