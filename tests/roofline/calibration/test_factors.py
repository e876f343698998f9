import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sparq_roofline.calibration.factors import (
    Axis,
    Factors,
    along_2,
    along_3,
    along_4,
    axis_over,
    cell,
    corrections,
    never_falling,
)

AXES = (Axis(0.0, 1.0, 2), Axis(10.0, 0.5, 3), Axis(4.0, 1.0, 2), Axis(5.0, 2.0, 2))


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (9.0, (0, 0, None)),  # before the first node
        (10.0, (0, 0, None)),
        (10.125, (0, 1, 0.25)),
        (10.5, (1, 1, None)),
        (10.75, (1, 2, 0.5)),
        (11.0, (2, 2, None)),
        (99.0, (2, 2, None)),
    ],
)
def test_cell(position: float, expected: tuple[int, int, float | None]) -> None:
    assert cell(AXES[1], position) == expected


def test_an_axis_of_one_node_has_one_cell() -> None:
    assert {cell(Axis(3.0, 1.0, 1), at) for at in (-5.0, 3.0, 8.0)} == {(0, 0, None)}


def test_two_axes_by_hand() -> None:
    values = (0.0, 1.0, 3.0, 10.0, 11.0, 13.0)
    nodes = AXES[1].nodes
    assert along_2(values, cell(AXES[0], 0.0), cell(AXES[1], 10.5), nodes) == 1.0
    assert along_2(values, cell(AXES[0], 0.0), cell(AXES[1], 10.75), nodes) == 2.0
    assert along_2(values, cell(AXES[0], 0.5), cell(AXES[1], 10.75), nodes) == 7.0
    assert along_2(values, cell(AXES[0], 7.0), cell(AXES[1], 99.0), nodes) == 13.0


def test_more_axes_interpolate_a_plane_exactly() -> None:
    def plane(a: float, b: float, c: float, d: float) -> float:
        return 1 + 2 * a - 3 * b + 0.5 * c + 0.25 * d

    grid = [[axis.start + axis.step * i for i in range(axis.nodes)] for axis in AXES]
    three = [plane(a, b, c, 0) for a in grid[0] for b in grid[1] for c in grid[2]]
    four = [plane(a, b, c, d) for a in grid[0] for b in grid[1] for c in grid[2] for d in grid[3]]
    for at in ((0.3, 10.9, 4.5, 5.5), (0.0, 10.2, 5.0, 7.0), (1.0, 11.0, 4.1, 5.0)):
        cells = [cell(axis, x) for axis, x in zip(AXES, at, strict=True)]
        a, b, c, _ = cells
        assert along_3(three, a, b, c, 3, 2) == pytest.approx(plane(*at[:3], 0))
        assert along_4(four, cells, AXES) == pytest.approx(plane(*at))


def test_arrays_interpolate_as_numbers_do() -> None:
    values = np.random.default_rng(0).normal(size=24)
    at = np.random.default_rng(1).uniform((-1, 9, 3, 4), (2, 12, 6, 8), size=(50, 4))
    cells = []
    for axis, column in zip(AXES, at.T, strict=True):
        place = np.clip((column - axis.start) / axis.step, 0, axis.nodes - 1)
        below = np.minimum(place.astype(int), axis.nodes - 2)
        cells.append((below, below + 1, place - below))
    for row, found in zip(at, along_4(values, cells, AXES), strict=True):
        alone = [cell(axis, float(x)) for axis, x in zip(AXES, row, strict=True)]
        assert along_4(values.tolist(), alone, AXES) == pytest.approx(found)


def test_no_factors_are_ones() -> None:
    factors = Factors.none(0.25)
    cells = [cell(axis, 12.3) for axis in factors.axes]
    assert corrections(factors, factors.axes, cells, math.exp) == (1.0, 1.0, 1.0, 1.0, 1.0)
    assert along_4(factors.spread, cells, factors.axes) == 0.25


@pytest.mark.parametrize(
    ("low", "high", "axis"),
    [
        (3.0, 3.0, Axis(3.0, 1.0, 1)),
        (3.0, 3.5, Axis(3.0, 0.5, 2)),
        (5.0, 11.0, Axis(5.0, 1.0, 7)),
        (0.0, 2.5, Axis(0.0, 2.5 / 3, 4)),
    ],
)
def test_nodes_are_at_most_an_octave_apart(low: float, high: float, axis: Axis) -> None:
    assert axis_over(low, high) == axis


def test_never_falling_by_hand() -> None:
    axis = Axis(0.0, 1.0, 4)
    # Without a trend: 2 before 1 become 1.5 both.
    assert never_falling(np.array([0.0, 2.0, 1.0, 3.0]), [axis], [0.0]) == pytest.approx([0.0, 1.5, 1.5, 3.0])
    # A factor may fall by log 2 an octave under a cost that rises with the size itself; by more it may not.
    fall = -math.log(2)
    assert never_falling(np.array([0.0, fall, 2 * fall, 3 * fall]), [axis], [1.0]) == pytest.approx(
        [0.0, fall, 2 * fall, 3 * fall]
    )
    # Less the trend: 0, 1, -1, 0 times log 2. Above lie 0, 1, 1, 1, below -1, -1, -1, 0; between -0.5, 0, 0, 0.5.
    steep = never_falling(np.array([0.0, 0.0, 3 * fall, 3 * fall]), [axis], [1.0])
    assert steep == pytest.approx([0.5 * fall, fall, 2 * fall, 2.5 * fall])


@settings(max_examples=60, deadline=None)
@given(arrays(float, (4, 3, 2), elements=st.floats(-2, 2)), st.tuples(*[st.floats(0, 1)] * 3))
def test_what_a_factor_multiplies_never_falls(logs: np.ndarray, exponents: tuple[float, float, float]) -> None:
    axes = [Axis(0.0, 0.7, 4), Axis(3.0, 1.0, 3), Axis(1.0, 0.5, 2)]
    found = never_falling(logs, axes, exponents)
    for direction, (axis, exponent) in enumerate(zip(axes, exponents, strict=True)):
        rise = np.diff(found, axis=direction) + exponent * axis.step * math.log(2)
        assert rise.min() >= -1e-9
    # Changed only where it must be.
    np.testing.assert_allclose(never_falling(found, axes, exponents), found, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"host": (0.0, 0.0)}, "host has 2 values where its axes have 1 nodes"),
        ({"stream": (math.nan,)}, "stream holds nan"),
        ({"spread": (-0.1,)}, "spread holds -0.1: it cannot be below 0"),
    ],
)
def test_tables_that_cannot_be(change: dict[str, tuple[float, ...]], complaint: str) -> None:
    fields = {name: getattr(Factors.none(), name) for name in Factors.__slots__}
    with pytest.raises(ValueError, match=complaint):
        Factors(**{**fields, **change})


@pytest.mark.parametrize("axis", [(0.0, 0.0, 2), (0.0, 1.0, 0), (math.inf, 1.0, 2), (0.0, math.nan, 1)])
def test_axes_that_cannot_be(axis: tuple[float, float, int]) -> None:
    with pytest.raises(ValueError, match="needs a node and a step above 0"):
        Axis(*axis)
