"""Where the level of a series changed."""

import time

import numpy as np
import pytest

from sparq_perf.gate.history.changes import FEWEST, find_changes

NOISE = 0.03


def job_noise(random: np.random.Generator, *shape: int) -> np.ndarray:
    return np.exp(random.normal(0, NOISE, shape))


def changes_of(values: np.ndarray, floor: float = 0.02):
    (found,) = find_changes([values.tolist()], floors=[floor])
    return found


def test_by_hand() -> None:
    # Means of the logarithms 0 and log 2, both without spread: exactly twice.
    (change,) = changes_of(np.array([1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]))
    assert change.index == 4
    assert change.effect == pytest.approx(1.0)
    assert change.interval == pytest.approx((1.0, 1.0), abs=1e-6)
    # Of 70 orders of four and four, two have as large a difference.
    assert change.p == pytest.approx(2 / 70, abs=0.01)


def test_one_change_is_found_where_it_is() -> None:
    random = np.random.default_rng(1)
    values = job_noise(random, 40)
    values[25:] *= 1.12
    (change,) = changes_of(values)
    assert abs(change.index - 25) <= 1
    assert change.interval[0] < 0.12 < change.interval[1]
    assert change.q < 0.001


def test_several_changes_and_their_sizes() -> None:
    random = np.random.default_rng(2)
    levels = np.concatenate([np.full(20, 1.0), np.full(20, 1.3), np.full(20, 0.9)])
    found = changes_of(levels * job_noise(random, 60))
    assert [change.index for change in found] == [20, 40]
    assert found[0].effect == pytest.approx(0.3, abs=0.04)
    assert found[1].effect == pytest.approx(0.9 / 1.3 - 1, abs=0.04)


def test_a_lone_outlier_is_no_change() -> None:
    random = np.random.default_rng(3)
    for place in (0, 10, 29):
        values = job_noise(random, 30)
        values[place] *= 2
        assert changes_of(values) == []


def test_small_changes_are_none() -> None:
    values = np.array([1.0, 1.001] * 10 + [1.015, 1.016] * 10)
    assert changes_of(values) == []
    assert len(changes_of(values, floor=0.01)) == 1


def test_too_few_points() -> None:
    assert changes_of(np.array([1.0] * FEWEST + [9.0] * (FEWEST - 1))) == []
    assert changes_of(np.array([])) == []
    assert find_changes([], floors=[]) == []


def test_a_constant_never_changes() -> None:
    assert changes_of(np.full(30, 4096.0)) == []


def test_hardly_any_false_ones_in_a_history_of_100_series() -> None:
    random = np.random.default_rng(4)
    flagged = 0
    for seed in range(20):
        series = job_noise(random, 100, 30).tolist()
        flagged += any(find_changes(series, floors=[0.02] * 100, seed=seed))
    # A rate of 5 % of histories, not of series.
    assert flagged <= 3


def test_ten_per_cent_in_one_of_100_series_is_found_after_some_jobs() -> None:
    random = np.random.default_rng(5)
    found = 0
    for seed in range(10):
        values = job_noise(random, 100, 36)
        values[7, 30:] *= 1.1
        changes = find_changes(values.tolist(), floors=[0.02] * 100, seed=seed)
        found += bool(changes[7]) and abs(changes[7][0].index - 30) <= 1
    assert found >= 9


def test_the_same_history_gives_the_same_changes() -> None:
    values = job_noise(np.random.default_rng(6), 5, 40)
    values[:, 20:] *= 1.05
    series = values.tolist()
    assert find_changes(series, floors=[0.02] * 5) == find_changes(series, floors=[0.02] * 5)


def test_years_of_history_take_seconds() -> None:
    values = job_noise(np.random.default_rng(7), 2, 1500)
    values[0, 700:] *= 1.1
    began = time.perf_counter()
    first, second = find_changes(values.tolist(), floors=[0.02, 0.02])
    assert time.perf_counter() - began < 60
    assert len(first) == 1
    assert second == []
