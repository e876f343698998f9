"""A history as data: each track with its changes, those that changed for the worse first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sparq_perf.gate.history.changes import Change, find_changes
from sparq_perf.gate.history.store import Point, Track
from sparq_perf.gate.metrics import TITLES, WORSE
from sparq_perf.gate.outputs.rows import show
from sparq_perf.gate.outputs.text import printable
from sparq_perf.gate.settings import GateSettings
from sparq_perf.report.wording import count, moment, percent


@dataclass(frozen=True, slots=True)
class TrackView:
    """A track, where its level changed, and both in words."""

    track: Track
    changes: tuple[Change, ...]

    @property
    def name(self) -> str:
        """Metric and configuration."""
        return f"{TITLES[self.track.metric]} of {self.track.key}"

    @property
    def latest(self) -> str:
        """The last point, in words."""
        point = self.track.points[-1]
        return f"{show(point.value, self.track.metric)}, {moment(point.began)}"

    @property
    def sentences(self) -> tuple[str, ...]:
        """Each change: how much, when, between which commits."""
        return tuple(self._sentence(change) for change in self.changes)

    @property
    def concern(self) -> tuple[int, float]:
        """Sorts worse changes first, then gains, then what did not change; the latest change counts."""
        if not self.changes:
            return (2, 0.0)
        effect = self.changes[-1].effect
        return (0, -effect) if effect > 0 else (1, effect)

    def _sentence(self, change: Change) -> str:
        before, after = self.track.points[change.index - 1], self.track.points[change.index]
        lower, upper = (percent(end, signed=True) for end in change.interval)
        word = WORSE[self.track.metric] if change.effect > 0 else "better"
        return (
            f"{percent(change.effect, signed=True)} [{lower}, {upper}] ({word}) since {moment(after.began)}"
            f"{_commits(before, after)}, q = {change.q:.2g}"
        )


def view_history(tracks: Sequence[Track], settings: GateSettings | None = None) -> list[TrackView]:
    """Every track with its changes; the settings give the smallest change that counts."""
    settings = settings or GateSettings()
    shown = [track for track in tracks if not settings.excludes(track.key)]
    found = find_changes(
        [[point.value for point in track.points] for track in shown],
        floors=[settings.limits(track.key, track.metric).floor for track in shown],
        rate=settings.false_discovery_rate,
    )
    views = [TrackView(track, tuple(changes)) for track, changes in zip(shown, found, strict=True)]
    return sorted(views, key=lambda view: view.concern)


def history_lines(views: Sequence[TrackView]) -> tuple[str, ...]:
    """For a terminal: every change, and how much was searched."""
    points = sum(len(view.track.points) for view in views)
    segments = {view.track.segment for view in views}
    changed = [view for view in views if view.changes]
    return (
        *(printable(f"changed     {view.name}: {sentence}") for view in changed for sentence in view.sentences),
        f"searched    {count(len(views), 'series', 'series')} of {count(points, 'point')} on "
        f"{count(len(segments), 'kind')} of machine: {count(len(changed), 'series', 'series')} changed",
    )


def history_json(views: Sequence[TrackView]) -> list[dict[str, Any]]:
    """For machines."""
    return [
        {
            "segment": view.track.segment,
            "device": view.track.device,
            "key": view.track.key,
            "metric": view.track.metric,
            "points": [_point_json(point) for point in view.track.points],
            "changes": [_change_json(change, view.track.points) for change in view.changes],
        }
        for view in views
    ]


def _point_json(point: Point) -> dict[str, Any]:
    return {
        "began": point.began.isoformat(),
        "value": point.value,
        "n_runs": point.n_runs,
        "commits": list(point.commits),
        "file": point.file,
    }


def _change_json(change: Change, points: Sequence[Point]) -> dict[str, Any]:
    return {
        "index": change.index,
        "since": points[change.index].began.isoformat(),
        "commits": list(points[change.index].commits),
        "effect": change.effect,
        "interval": list(change.interval),
        "p": change.p,
        "q": change.q,
    }


def _commits(before: Point, after: Point) -> str:
    if not before.commits or not after.commits or before.commits == after.commits:
        return ""
    return f", between {before.commits[-1]} and {after.commits[0]}"
