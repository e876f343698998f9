"""Legends as data: HTML beside each chart, so that they wrap on a narrow page and never cover a point."""

from dataclasses import dataclass

from sparq_perf.report import chart_style as style
from sparq_perf.report.accuracy import BAND
from sparq_perf.report.timeline_chart import HELD_COLOUR, TRACK_COLOURS
from sparq_perf.report.view import ReportView


@dataclass(frozen=True, slots=True)
class Key:
    """One entry: its words, its colour's name in the style sheet, and the mark that the chart draws.

    Attributes:
        mark: a plotly symbol name, ``line``, ``dash``, ``dot``, ``band``, ``fill`` or ``hatch``.
    """

    label: str
    colour: str
    mark: str


@dataclass(frozen=True, slots=True)
class Legends:
    """The keys of each chart that has any."""

    speedups: tuple[Key, ...]
    parity: tuple[Key, ...]
    roofline: tuple[Key, ...]
    steps: tuple[Key, ...]
    energies: tuple[Key, ...]
    timelines: tuple[Key, ...]
    bandwidth: tuple[Key, ...]


def build_legends(view: ReportView) -> Legends:
    """Keys for what the view's charts draw, and for nothing that they do not."""
    return Legends(
        _speedups(view),
        _parity(view),
        _roofline(view),
        _steps(view),
        _energies(view),
        _timelines(view),
        _bandwidth(view),
    )


def _speedups(view: ReportView) -> tuple[Key, ...]:
    drawn = [series for panel in view.panels for series in panel.series if series.points]
    keys = []
    for state in ("cold", "warm"):
        if any(series.setting.cache_state == state for series in drawn):
            colour = style.CACHE_COLOURS[state].name
            keys.append(Key(f"measured, {state} caches", colour, style.CACHE_SYMBOLS[state]))
    points = [point for series in drawn for point in series.points]
    if any(point.best.predicted_speedup for point in points):
        keys += [Key("predicted", "slate", "dash"), Key("predicted bounds", "slate", "band")]
    if any(point.others for point in points):
        keys.append(Key("slower SparQ implementations", "slate", "circle-open"))
    return tuple(keys)


def _parity(view: ReportView) -> tuple[Key, ...]:
    marks = style.implementation_marks(view.implementations)
    drawn = {point.implementation for point in view.accuracy.points if point.error is not None}
    keys = [Key(name, colour.name, symbol) for name, (colour, symbol) in marks.items() if name in drawn]
    if any(point.error is None for point in view.accuracy.points):
        keys.append(Key("invalid, not counted", "slate", "cross"))
    return (*keys, Key("equal", "muted", "line"), Key(f"within ±{BAND:.0%}", "ink", "band"))


def _roofline(view: ReportView) -> tuple[Key, ...]:
    roofline = view.roofline
    marks = style.implementation_marks(view.implementations)
    drawn = {point.implementation for point in roofline.points}
    keys = [Key(name, colour.name, symbol) for name, (colour, symbol) in marks.items() if name in drawn]
    if any(point.cache_state == "warm" for point in roofline.points):
        keys.append(Key("open mark: warm caches", "slate", "circle-open"))
    for mark, roof in zip(("line", "dot"), roofline.bandwidths, strict=False):
        keys.append(Key(f"{roof.name}, {roof.kind}", "ink", mark))
    keys += [Key(f"{peak.name}, {peak.kind}", "ink", "dash") for peak in roofline.peaks]
    return tuple(keys)


def _steps(view: ReportView) -> tuple[Key, ...]:
    names = view.step_times.step_names
    colours = style.step_colours(names)
    keys = [Key(name, colours[name].name, "fill") for name in names]
    sources = {bar.source for group in view.step_times.groups for bar in group.bars}
    keys += [Key("solid: profiled", "ink", "fill")] * ("profiled" in sources)
    return (*keys, *[Key("hatched: predicted", "ink", "hatch")] * ("predicted" in sources))


def _energies(view: ReportView) -> tuple[Key, ...]:
    rows = [row for group in view.energies.groups for row in group.rows]
    keys = [Key("dense", "blue", "fill")] * any(not row.sparse for row in rows)
    keys += [Key("SparQ", "orange", "fill")] * any(row.sparse for row in rows)
    keys += [Key("solid: by the energy counter", "ink", "fill")] * any(row.counter_j is not None for row in rows)
    by_integral = any(row.integral_j is not None for row in rows)
    return (*keys, *[Key("hatched: by the integral of power", "ink", "hatch")] * by_integral)


def _timelines(view: ReportView) -> tuple[Key, ...]:
    tracks = [track for timeline in view.timelines.items for track in timeline.tracks]
    keys = {
        curve.name: Key(curve.name, TRACK_COLOURS[track.title].name, {"solid": "line", "dot": "dot"}[curve.dash])
        for track in tracks
        for curve in track.curves
    }
    limits = dict.fromkeys(track.limit[0] for track in tracks if track.limit is not None)
    held = [Key("clock held down", HELD_COLOUR.name, "band")] * any(t.held for t in view.timelines.items)
    return (*keys.values(), *(Key(name, "muted", "dash") for name in limits), *held)


def _bandwidth(view: ReportView) -> tuple[Key, ...]:
    start = (Key("start of the run", "blue", "circle"),) if view.provenance.bandwidth_start else ()
    end = (Key("end of the run", "orange", "diamond"),) if view.provenance.bandwidth_end else ()
    return (*start, *end)
