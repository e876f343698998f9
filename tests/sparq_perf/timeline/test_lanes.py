"""Spans that overlap get lanes of their own, and none is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparq_perf.timeline.lanes import in_lanes
from sparq_perf.timeline.spans import Span

TIMES = st.tuples(st.integers(0, 40), st.integers(0, 12))


def lanes(times: list[tuple[int, int]], *, nests: bool) -> list[list[tuple[int, int]]]:
    spans = [Span("one", began, lasted) for began, lasted in times]
    return [[(span.began_ns, span.duration_ns) for span in lane] for lane in in_lanes(spans, nests=nests)]


def test_spans_that_touch_share_a_lane() -> None:
    assert lanes([(10, 5), (0, 10)], nests=False) == [[(0, 10), (10, 5)]]


def test_an_overlap_takes_the_next_lane() -> None:
    assert lanes([(0, 10), (5, 10), (12, 1)], nests=False) == [[(0, 10), (12, 1)], [(5, 10)]]
    assert lanes([(0, 10), (5, 10), (12, 1)], nests=True) == [[(0, 10), (12, 1)], [(5, 10)]]


def test_a_span_inside_another_nests_or_not() -> None:
    assert lanes([(2, 3), (0, 10), (5, 5)], nests=True) == [[(0, 10), (2, 3), (5, 5)]]
    assert lanes([(2, 3), (0, 10), (5, 5)], nests=False) == [[(0, 10)], [(2, 3), (5, 5)]]


def test_the_longer_of_two_that_begin_together_is_the_outer() -> None:
    assert lanes([(0, 3), (0, 10)], nests=True) == [[(0, 10), (0, 3)]]


def test_an_inner_span_must_fit_the_innermost_open_one() -> None:
    # (4, 3) lies in (0, 10), but ends after (2, 4), which is open when it begins.
    assert lanes([(0, 10), (2, 4), (4, 3)], nests=True) == [[(0, 10), (2, 4)], [(4, 3)]]


@pytest.mark.parametrize("nests", [True, False])
@given(times=st.lists(TIMES, max_size=30))
def test_no_lane_holds_a_crossing_and_nothing_is_lost(times: list[tuple[int, int]], nests: bool) -> None:
    found = lanes(times, nests=nests)
    assert sorted(time for lane in found for time in lane) == sorted(times)
    for lane in found:
        for index, (began, lasted) in enumerate(lane):
            for later, its_length in lane[index + 1 :]:
                apart = later >= began + lasted
                assert apart or (nests and later + its_length <= began + lasted)
