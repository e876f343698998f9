from dataclasses import replace

import numpy as np
import pytest

from sparq_roofline.calibration import choose
from sparq_roofline.calibration.calibrating import choose_each
from sparq_roofline.calibration.choosing import Choice
from sparq_roofline.calibration.place import Place

from .conftest import Points


@pytest.mark.parametrize("how", ["spread", "random"])
def test_as_many_as_asked_each_once(points: Points, how: Choice) -> None:
    chosen = choose(points(), 24, 0, how)
    assert len(chosen) == len(set(chosen)) == 24
    assert chosen == sorted(chosen)
    assert choose(points(), 24, 0, how) == chosen
    assert choose(points(), 24, 1, how) != chosen


@pytest.mark.parametrize("how", ["spread", "random"])
def test_all_where_there_are_fewer(points: Points, how: Choice) -> None:
    assert choose(points()[:7], 24, 0, how) == list(range(7))
    assert choose([], 24, 0, how) == []


@pytest.mark.parametrize("seed", range(5))
def test_spread_points_lie_apart(points: Points, seed: int) -> None:
    measured = points()
    where = np.log2([Place.of(point.shape, point.config)[:4] for point in measured])
    where = (where - where.min(axis=0)) / np.ptp(where, axis=0)

    def closest(chosen: list[int]) -> float:
        distances = np.linalg.norm(where[chosen][:, None] - where[chosen][None], axis=-1)
        return float(distances[np.triu_indices(len(chosen), 1)].min())

    assert closest(choose(measured, 16, seed)) > 1.5 * closest(choose(measured, 16, seed, "random"))


def test_times_do_not_matter(points: Points) -> None:
    measured = points()
    others = [replace(point, time_s=index + 1.0) for index, point in enumerate(measured)]
    assert choose(measured, 20, 3) == choose(others, 20, 3)


def test_points_at_one_place_are_still_different_points(points: Points) -> None:
    assert len(set(choose([points()[0]] * 5, 3, 0))) == 3


def test_at_most_half_of_what_there_is(points: Points) -> None:
    both = points(("two_copies", "row_major"))
    seen = choose_each(both, 24, 0, "spread")
    assert [sum(point.k_layout == layout for point in seen) for layout in ("two_copies", "row_major")] == [24, 24]
    # Not at the same sizes in both.
    sizes = [{(p.shape, p.config.rank, p.config.top_k) for p in seen if p.config and p.k_layout == layout}
             for layout in ("two_copies", "row_major")]  # fmt: skip
    assert sizes[0] != sizes[1]
    dense = points((None,))
    assert len(dense) == 16
    assert len(choose_each(dense, 24, 0, "spread")) == 8
    assert len(choose_each(dense[:7], 24, 0, "spread")) == 6
