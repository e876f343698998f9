"""The tests of one ratio, against numbers worked out by hand and against scipy's own test."""

from math import exp, expm1, isclose, log, sqrt

import numpy as np
import pytest
from scipy.stats import t, ttest_1samp

from sparq_perf.gate.paired import geometric_mean, paired_test, stored_test


def test_three_pairs_by_hand() -> None:
    # Log ratios 0.01, 0.02, 0.03: mean 0.02, standard deviation 0.01, standard error 0.01 / sqrt(3), t = 2 sqrt(3).
    candidate = [exp(0.01), exp(0.02), exp(0.03)]
    found = paired_test([1.0, 1.0, 1.0], candidate, 0.95)
    assert isclose(found.mean, 0.02)
    assert isclose(found.effect, expm1(0.02))
    # One-sided p of t = 3.4641 with 2 degrees of freedom: 1/2 - t / (2 sqrt(2 + t²)) = 0.03709.
    assert isclose(found.p_worse, 0.5 - 3.4641016 / (2 * sqrt(2 + 12)), rel_tol=1e-6)
    assert isclose(found.p_better, 1 - found.p_worse)
    # The 95 % quantile of t with 2 degrees of freedom is 2.91999.
    assert isclose(found.interval[0], expm1(0.02 - 2.91999 * 0.01 / sqrt(3)), rel_tol=1e-4)
    assert isclose(found.interval[1], expm1(0.02 + 2.91999 * 0.01 / sqrt(3)), rel_tol=1e-4)


def test_agrees_with_scipy() -> None:
    random = np.random.default_rng(5)
    base, candidate = np.exp(random.normal(0, 0.01, (2, 8)))
    found = paired_test(base.tolist(), candidate.tolist(), 0.9)
    ratios = np.log(candidate / base)
    assert isclose(found.p_worse, ttest_1samp(ratios, 0, alternative="greater").pvalue)
    assert isclose(found.p_better, ttest_1samp(ratios, 0, alternative="less").pvalue)
    reach = t.ppf(0.9, 7) * ratios.std(ddof=1) / sqrt(8)
    assert isclose(found.upper - found.mean, reach)


def test_what_a_pair_shares_cancels() -> None:
    speeds = [1.0, 3.0, 0.2, 7.0]  # of four jobs
    alone = paired_test([1.0] * 4, [1.1, 1.12, 1.09, 1.1], 0.95)
    shared = paired_test(speeds, [1.1 * 1.0, 1.12 * 3.0, 1.09 * 0.2, 1.1 * 7.0], 0.95)
    assert isclose(alone.p_worse, shared.p_worse)
    assert isclose(alone.mean, shared.mean)


def test_slower_and_faster_are_mirrored() -> None:
    base, candidate = [1.0, 1.01, 0.99, 1.0], [1.05, 1.04, 1.06, 1.05]
    there, back = paired_test(base, candidate, 0.95), paired_test(candidate, base, 0.95)
    assert isclose(there.p_worse, back.p_better)
    assert isclose(there.lower, -back.upper)


def test_counts_that_never_vary() -> None:
    same = paired_test([4096.0] * 8, [4096.0] * 8, 0.95)
    assert same.effect == 0
    assert same.p_worse == same.p_better == 0.5
    more = paired_test([4096.0] * 8, [4300.0] * 8, 0.95)
    assert more.p_worse < 1e-12
    assert isclose(more.effect, 4300 / 4096 - 1)
    assert more.spread == 0


@pytest.mark.parametrize("candidate", [1e300, 1e-300])
def test_no_number_overflows(candidate: float) -> None:
    found = paired_test([1.0, 1e-200, 1e200], [candidate] * 3, 0.95)
    lower, upper = found.interval
    assert -1 < lower <= found.effect <= upper < float("inf")


def test_spread_is_of_base_processes_next_to_each_other() -> None:
    # Steps of 0.02 up and down: the root of their mean square is 0.02, and of a mean of four 0.02 / sqrt(4).
    found = paired_test([exp(0.0), exp(0.02), exp(0.0), exp(0.02)], [1.0] * 4, 0.95)
    assert isclose(found.spread, 0.01)
    assert paired_test([1.0, 2.0, 1.0, 2.0], [1.0] * 4, 0.95, spread=0.004).spread == 0.004


def test_stored_by_hand() -> None:
    found = stored_test([1.0], [1.1], 0.95, job_noise=0.03, process_noise=0.008)
    spread = sqrt(2 * (0.03**2 + 0.008**2))
    assert isclose(found.spread, spread)
    assert isclose(found.effect, 0.1)
    # log 1.1 / 0.04391 = 2.1707 standard deviations: 1.5 %, as a threshold of 10 % has false alarms.
    assert isclose(found.p_worse, 0.01498, rel_tol=1e-3)
    assert isclose(found.upper, log(1.1) + 1.644854 * spread, rel_tol=1e-6)


def test_stored_runs_average_their_own_noise_and_not_the_jobs() -> None:
    many = stored_test([1.0] * 64, [1.0] * 64, 0.95, job_noise=0.03, process_noise=0.008)
    assert isclose(many.spread, sqrt(2 * (0.03**2 + 0.008**2 / 64)))
    noisy = stored_test([1.0, 1.5], [1.0], 0.95, job_noise=0.03, process_noise=0.008)
    seen = log(1.5) / sqrt(2)
    assert isclose(noisy.spread, sqrt(2 * 0.03**2 + seen**2 / 2 + 0.008**2))


def test_geometric_mean() -> None:
    assert isclose(geometric_mean([1.0, 4.0, 16.0]), 4.0)
