import math

import numpy as np
import pytest

from sparq_roofline import Interval


def test_ends_at_their_worst() -> None:
    assert Interval(1.0, 2.0, 4.0).over(Interval(2.0, 4.0, 5.0)) == Interval(0.2, 0.5, 2.0)


def test_independent_errors_add_up_as_squares() -> None:
    wide, narrow = math.exp(0.4), math.exp(0.3)
    found = Interval(8 / wide, 8.0, 8 * wide).over_independent(Interval(2 / narrow, 2.0, 2 * narrow))
    assert (found.lower, found.expected, found.upper) == pytest.approx((4 / math.exp(0.5), 4.0, 4 * math.exp(0.5)))


def test_coverage_stays() -> None:
    generator = np.random.default_rng(0)
    one, other = np.exp(generator.normal(0, 0.2, 20_000)), np.exp(generator.normal(0, 0.1, 20_000))
    wide, narrow = math.exp(1.645 * 0.2), math.exp(1.645 * 0.1)
    found = Interval(1 / wide, 1.0, wide).over_independent(Interval(1 / narrow, 1.0, narrow))
    assert np.mean((found.lower <= one / other) & (one / other <= found.upper)) == pytest.approx(0.9, abs=0.01)
