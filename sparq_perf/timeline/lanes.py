"""Spans that overlap, laid out so that a viewer shows every one of them.

Perfetto nests a span inside another of its track, and drops one that begins inside another and ends after it.
"""

from collections.abc import Iterable

from sparq_perf.timeline.spans import Span


def in_lanes(spans: Iterable[Span], *, nests: bool) -> list[list[Span]]:
    """Spans by lane, each in the first one that takes it; within a lane in order, the outer before the inner.

    Args:
        spans: in any order.
        nests: a lane takes a span inside another; else only spans that do not overlap.
    """
    lanes: list[list[Span]] = []
    open_ends: list[list[int]] = []  # of each lane: of the spans around the present moment, the innermost last
    for span in sorted(spans, key=lambda each: (each.began_ns, -each.duration_ns)):
        for lane, ends in zip(lanes, open_ends, strict=True):
            while ends and ends[-1] <= span.began_ns:
                ends.pop()
            if not ends or (nests and span.ended_ns <= ends[-1]):
                lane.append(span)
                ends.append(span.ended_ns)
                break
        else:
            lanes.append([span])
            open_ends.append([span.ended_ns])
    return lanes
