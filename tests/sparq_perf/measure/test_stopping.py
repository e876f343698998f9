"""The median's interval against the binomial distribution, and when sampling ends."""

import random
from statistics import median

import pytest
from scipy.stats import binom

from sparq_perf.measure.stopping import StoppingRule, median_interval, median_ranks, relative_noise


def narrowest(n: int) -> tuple[int, int]:
    """The innermost symmetric pair of ranks that holds the median with 95 %, by trying all."""
    held = [
        # x_(low) <= median <= x_(n-1-low) fails where at most `low` samples lie below it, or at most `low` above.
        low
        for low in range((n + 1) // 2)
        if 2 * binom.cdf(low, n, 0.5) <= 0.05
    ]
    low = max(held, default=0)
    return low, n - 1 - low


@pytest.mark.parametrize("n", range(1, 201))
def test_ranks_are_the_narrowest_that_hold(n: int) -> None:
    assert median_ranks(n) == narrowest(n)


@pytest.mark.parametrize("n", [1074, 1075, 2500, 20_001, 300_000])
def test_ranks_of_many_samples(n: int) -> None:
    # 0.5**n is 0 from n = 1075 on: the interval must not shrink to nothing there.
    low, high = median_ranks(n)
    assert low + high == n - 1
    assert 2 * binom.cdf(low, n, 0.5) <= 0.05 < 2 * binom.cdf(low + 1, n, 0.5)


def test_textbook_ranks() -> None:
    # Smallest and largest of 6; from 9 on the extremes are left out (tables of the sign test).
    assert [median_ranks(n) for n in (5, 6, 8, 9, 12, 20)] == [(0, 4), (0, 5), (0, 7), (1, 7), (2, 9), (5, 14)]


@pytest.mark.parametrize("n", [6, 9, 15, 40])
def test_coverage_of_the_median(n: int) -> None:
    generator = random.Random(n)
    true_median, trials = 1.0, 4000  # of a log-normal: skewed, as times are
    held = 0
    for _ in range(trials):
        lower, upper = median_interval([generator.lognormvariate(0, 1) for _ in range(n)])
        held += lower <= true_median <= upper
    exact = 1 - 2 * binom.cdf(median_ranks(n)[0], n, 0.5)
    assert exact >= 0.95
    assert held / trials == pytest.approx(exact, abs=0.012)


def test_interval_and_noise_by_hand() -> None:
    samples = [5.0, 1.0, 9.0, 3.0, 7.0, 2.0, 8.0, 4.0, 6.0]
    assert median_interval(samples) == (2.0, 8.0)
    assert relative_noise(samples) == pytest.approx((8 - 2) / 2 / 5)
    assert median_interval([3.0]) == (3.0, 3.0)
    assert median_interval([3.0, 1.0]) == (1.0, 3.0)


def rule_with(samples: list[float], **settings: float) -> StoppingRule:
    rule = StoppingRule(**settings)  # type: ignore[arg-type]
    for sample in samples:
        rule.add(sample)
    return rule


def test_quiet_samples_stop_for_noise() -> None:
    assert rule_with([0.01] * 9).finished(elapsed_s=0.2) == "noise"


def test_never_fewer_than_the_minimum() -> None:
    assert rule_with([0.01] * 8).finished(elapsed_s=0.2) is None


def test_never_less_than_the_minimum_time() -> None:
    assert rule_with([0.001] * 49).finished(elapsed_s=0.2) is None
    assert rule_with([0.001] * 51).finished(elapsed_s=0.2) == "noise"


def test_noisy_samples_go_on_until_time_is_up() -> None:
    samples = [0.01 * n for n in range(1, 21)]
    assert relative_noise(samples) > 0.025
    rule = rule_with(samples)
    assert rule.finished(elapsed_s=7.99) is None
    assert rule.finished(elapsed_s=8.0) == "timeout"


def test_noise_at_its_target_is_enough() -> None:
    samples = [0.975, 0.975, *[1.0] * 5, 1.025, 1.025]
    assert relative_noise(samples) == pytest.approx(0.025)
    assert rule_with(samples, target_noise=0.0251).finished(elapsed_s=1.0) == "noise"
    assert rule_with(samples, target_noise=0.0249).finished(elapsed_s=1.0) is None


def test_quiet_samples_after_the_timeout_are_still_quiet() -> None:
    assert rule_with([0.01] * 9).finished(elapsed_s=99.0) == "noise"


def test_a_timeout_waits_for_one_sample() -> None:
    assert rule_with([]).finished(elapsed_s=99.0) is None
    assert rule_with([3.0]).finished(elapsed_s=99.0) == "timeout"


def test_one_outlier_does_not_move_the_median() -> None:
    samples = [0.01] * 10 + [5.0]
    assert median(samples) == 0.01
    assert rule_with(samples).finished(elapsed_s=6.0) == "noise"
