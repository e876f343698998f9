import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparq_roofline.calibration.factors import Axis
from sparq_roofline.calibration.rising import most_probable, slopes


def test_slopes_by_hand() -> None:
    rows, least = slopes([Axis(0.0, 0.5, 2), Axis(0.0, 2.0, 3)], [1.0, 0.0])
    # Nodes 0 1 2 over 3 4 5: the first axis leads from 0 to 3, the second from 0 to 1.
    pairs = {(int(np.argmin(row)), int(np.argmax(row))) for row in rows}
    assert pairs == {(0, 3), (1, 4), (2, 5), (0, 1), (3, 4), (1, 2), (4, 5)}
    assert least[:3] == pytest.approx(-0.5 * math.log(2))
    assert np.all(least[3:] == 0)


def test_an_axis_of_one_node_has_no_slope() -> None:
    rows, least = slopes([Axis(0.0, 1.0, 1), Axis(0.0, 1.0, 3)], [1.0, 1.0])
    assert len(rows) == len(least) == 2


def test_isotonic_regression_by_hand() -> None:
    rows, least = slopes([Axis(0.0, 1.0, 4)], [0.0])
    mean = np.array([0.0, 2.0, 1.0, 3.0])
    assert most_probable(mean, np.eye(4), rows, least) == pytest.approx([0.0, 1.5, 1.5, 3.0], abs=1e-6)
    # What is known well moves little: variances of 1 and 3 meet a quarter of the way.
    uneven = np.diag([1.0, 1.0, 3.0, 1.0])
    assert most_probable(mean, uneven, rows, least) == pytest.approx([0.0, 1.75, 1.75, 3.0], abs=1e-6)


def test_a_feasible_point_stays() -> None:
    rows, least = slopes([Axis(0.0, 1.0, 3)], [0.5])
    mean = np.array([0.0, -0.3, 0.4])
    np.testing.assert_array_equal(most_probable(mean, np.eye(3), rows, least), mean)


def test_correlated_neighbours_move_along() -> None:
    rows, least = slopes([Axis(0.0, 1.0, 2)], [0.0])
    extra = np.hstack([rows, [[0.0]]])
    covariance = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.9], [0.0, 0.9, 1.0]])
    found = most_probable(np.array([1.0, 0.0, 0.0]), covariance, extra, least)
    assert found == pytest.approx([0.5, 0.5, 0.45], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_no_other_allowed_point_is_more_probable(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows, least = slopes([Axis(0.0, 1.0, 3), Axis(0.0, 1.0, 3)], [0.0, 0.3])
    root = generator.normal(size=(9, 9))
    covariance = root @ root.T + 0.1 * np.eye(9)
    mean = generator.normal(size=9)
    found = most_probable(mean, covariance, rows, least)
    assert (rows @ found - least).min() > -1e-5
    precision = np.linalg.inv(covariance)

    def unlikely(point: np.ndarray) -> float:
        return float((point - mean) @ precision @ (point - mean))

    for _ in range(20):
        # Any rising table is a sum of steps up along either axis.
        ups = generator.exponential(size=(3, 3)) * generator.uniform(0, 2)
        other = np.cumsum(np.cumsum(ups, axis=0), axis=1).ravel() + generator.normal()
        assert unlikely(found) <= unlikely(other) + 1e-4
