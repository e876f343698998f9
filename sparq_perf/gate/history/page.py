"""A history as an HTML page: a drawing of each series, its levels and changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log
from pathlib import Path

from sparq_perf.gate.history.view import TrackView
from sparq_perf.gate.metrics import TITLES
from sparq_perf.gate.outputs.rows import show
from sparq_perf.gate.outputs.writing import write_text
from sparq_perf.gate.pages import render_page
from sparq_perf.gate.paired import geometric_mean
from sparq_perf.report.wording import count, listed, moment

# Of one drawing, in its own units; the plot lies inside the margins.
WIDTH, HEIGHT = 340.0, 130.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 8.0, 8.0, 22.0
# A quiet series is not stretched until its noise fills the drawing.
LEAST_RANGE = 0.1


@dataclass(frozen=True, slots=True)
class Dot:
    """One point of a drawing, and what it says when it is pointed at."""

    x: float
    y: float
    title: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """One series, drawn: points by their order, values on a logarithmic scale.

    A sentence stands beside whether its change is for the worse.
    """

    title: str
    metric: str
    status: str
    latest: str
    sentences: tuple[tuple[bool, str], ...]
    dots: tuple[Dot, ...]
    levels: tuple[tuple[float, float, float], ...]
    changes: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Segment:
    """All that was measured on one kind of machine."""

    fingerprint: str
    device: str
    settings: tuple[tuple[str, str], ...]
    drawings: tuple[Drawing, ...]


def write_history_page(views: Sequence[TrackView], segments: dict[str, dict[str, str]], path: Path) -> None:
    """Write the page; GateError where it cannot be written.

    Args:
        views: as `view_history` sorted them.
        segments: settings of each kind of machine, by fingerprint.
        path: the HTML file.
    """
    write_text(path, render_history(views, segments))


def render_history(views: Sequence[TrackView], segments: dict[str, dict[str, str]]) -> str:
    """The whole page."""
    names = list(dict.fromkeys(view.track.segment for view in views))
    parts = [_segment(name, [view for view in views if view.track.segment == name], segments) for name in names]
    return render_page(
        "history.html",
        segments=parts,
        headline=_headline([drawing.status for part in parts for drawing in part.drawings]),
        width=WIDTH,
        height=HEIGHT,
        frame=(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
    )


def _headline(statuses: Sequence[str]) -> str:
    if not statuses:
        return "Nothing was recorded yet."
    found = [f"{n} {status}" for status in ("worse", "better") if (n := statuses.count(status))]
    every = count(len(statuses), "series", "series")
    return f"{listed(found)} of {every}." if found else f"None of {every} changed."


def _segment(name: str, views: Sequence[TrackView], segments: dict[str, dict[str, str]]) -> Segment:
    settings = tuple(segments.get(name, {}).items())
    return Segment(name, views[0].track.device, settings, tuple(map(_drawing, views)))


def _drawing(view: TrackView) -> Drawing:
    points, metric = view.track.points, view.track.metric
    values = [point.value for point in points]
    middle = log(max(values)) / 2 + log(min(values)) / 2
    reach = max(log(max(values) / min(values)) * 0.55, LEAST_RANGE)

    def x(index: float) -> float:
        share = index / (len(points) - 1) if len(points) > 1 else 0.5
        return round(LEFT + 6 + share * (WIDTH - LEFT - RIGHT - 12), 2)

    def y(value: float) -> float:
        return round(TOP + (0.5 - (log(value) - middle) / reach / 2) * (HEIGHT - TOP - BOTTOM), 2)

    ends = [0, *(change.index for change in view.changes), len(points)]
    levels = [(x(start), x(end - 1), y(geometric_mean(values[start:end]))) for start, end in pairwise(ends)]
    worse = any(change.effect > 0 for change in view.changes)
    return Drawing(
        title=view.track.key,
        metric=TITLES[metric],
        status=("worse" if worse else "better") if view.changes else "steady",
        latest=view.latest,
        sentences=tuple(
            (change.effect > 0, sentence) for change, sentence in zip(view.changes, view.sentences, strict=True)
        ),
        dots=tuple(
            Dot(x(index), y(point.value), f"{show(point.value, metric)}, {moment(point.began)}, {point.file}")
            for index, point in enumerate(points)
        ),
        levels=tuple(levels),
        changes=tuple(x(change.index - 0.5) for change in view.changes),
        ticks=tuple(
            (y(exp(middle + share * reach)), show(exp(middle + share * reach), metric)) for share in (-0.8, 0, 0.8)
        ),
        first=f"{points[0].began:%Y-%m-%d}",
        last=f"{points[-1].began:%Y-%m-%d}",
    )
