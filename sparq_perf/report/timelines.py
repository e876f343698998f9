"""Power, clock and temperature over the seconds of each energy loop, and when something held the clock down."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sparq_perf.records.schema import Energy, Line, Run
from sparq_perf.records.telemetry import SeriesName, Telemetry
from sparq_perf.report.reasons import Footnote, Footnotes
from sparq_perf.report.setups import by_setup, contender, latest
from sparq_perf.report.wording import seconds
from sparq_profiles.shape import SparqConfig

Values = tuple[float | None, ...]
Dash = Literal["solid", "dot"]


@dataclass(frozen=True, slots=True)
class Curve:
    """One sampled series in its track's unit."""

    name: str
    dash: Dash
    values: Values


@dataclass(frozen=True, slots=True)
class Track:
    """One of the small charts that share the time axis.

    Attributes:
        limit: a level that the values cannot pass, with its name; None where none is known.
    """

    title: str
    unit: str
    curves: tuple[Curve, ...]
    limit: tuple[str, float] | None


@dataclass(frozen=True, slots=True)
class Held:
    """A time in which something held the clock down."""

    from_s: float
    to_s: float
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """One loop.

    Attributes:
        causes: per time, what held the clock down then or since the sample before.
        tracks: from the top, at least one.
        held: the stretches of those causes.
    """

    name: str
    times_s: tuple[float, ...]
    causes: tuple[tuple[str, ...], ...]
    tracks: tuple[Track, ...]
    held: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Timelines:
    """Every loop that was sampled, in the order of the energies; ``absent`` says why there is none."""

    items: tuple[Timeline, ...]
    notes: tuple[Footnote, ...]
    absent: str | None


# Title, unit, scale from SI, the limit's field of the GPU's state with its name, and the series with their names.
_TRACKS: tuple[tuple[str, str, float, tuple[str, str], dict[SeriesName, tuple[str, Dash]]], ...] = (
    (
        "Power",
        "W",
        1.0,
        ("power_limit_w", "power limit"),
        {"power_instant_w": ("power now", "solid"), "power_average_w": ("power, averaged by the driver", "dot")},
    ),
    ("SM clock", "MHz", 1e-6, ("sm_clock_max_hz", "highest clock"), {"sm_clock_hz": ("SM clock", "solid")}),
    ("Temperature", "°C", 1.0, ("", ""), {"temperature_c": ("temperature", "solid")}),
)


def build_timelines(lines: list[Line], names: Mapping[SparqConfig | None, str]) -> Timelines:
    """A timeline for every loop with at least two samples of something."""
    sampled = {k: e for k, e in latest(lines, Energy).items() if e.telemetry is not None and e.n_calls}
    runs = {line.run_id: line for line in lines if isinstance(line, Run)}
    footnotes = Footnotes()
    items = []
    for setup, members in by_setup(sampled.values(), names):
        for energy in members:
            assert energy.telemetry is not None
            tracks = _tracks(energy.telemetry, runs.get(energy.run_id))
            if tracks:
                name = f"{contender(energy, names)}: {setup.name}"
                seen = energy.telemetry
                items.append(Timeline(name, seen.times_s, seen.slowdowns, tracks, _held(seen)))
            _note_absences(footnotes, energy.key, energy.telemetry)
    absent = None if items else "No loop was sampled over time: there is no power, clock or temperature to draw."
    return Timelines(tuple(items), footnotes.numbered()[0], absent)


def _tracks(telemetry: Telemetry, run: Run | None) -> tuple[Track, ...]:
    if len(telemetry.times_s) < 2:
        return ()
    state = run.environment.gpu_state if run else None
    tracks = []
    for title, unit, scale, (limit_field, limit_name), series in _TRACKS:
        curves = [
            Curve(label, dash, tuple(None if value is None else value * scale for value in telemetry.series[name]))
            for name, (label, dash) in series.items()
            if name in telemetry.series
        ]
        level = getattr(state, limit_field).value if state is not None and limit_field else None
        limit = None if level is None else (limit_name, level * scale)
        if curves:
            tracks.append(Track(title, unit, tuple(curves), limit))
    return tuple(tracks)


def _held(telemetry: Telemetry) -> tuple[Held, ...]:
    """Stretches between samples, neighbours of the same causes as one; the first sample tells of its moment alone."""
    found: list[Held] = []
    before_s = 0.0
    for time_s, causes in zip(telemetry.times_s, telemetry.slowdowns, strict=True):
        if causes:
            last = found[-1] if found else None
            if last is not None and last.to_s == before_s and last.causes == causes:
                found[-1] = Held(last.from_s, time_s, causes)
            else:
                found.append(Held(before_s, time_s, causes))
        before_s = time_s
    return tuple(found)


def _note_absences(footnotes: Footnotes, key: str, telemetry: Telemetry) -> None:
    labels = {name: label for *_, series in _TRACKS for name, (label, _) in series.items()}
    for name, absence in telemetry.absences.items():
        what = "What held the clock down" if name == "slowdowns" else labels.get(name, "")
        if not what:
            continue
        when = ""
        if name in telemetry.series:
            known = [t for t, value in zip(telemetry.times_s, telemetry.series[name], strict=True) if value is not None]
            when = f"from {seconds(known[-1])} on: "
        footnotes.add(what[0].upper() + what[1:], key, f"{when}{absence}")
