"""Energy of a decode step, dense beside SparQ, as the loops under NVML found it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from sparq_perf.records.reading import Reading
from sparq_perf.records.schema import Energy, Line, Measurement
from sparq_perf.report.reasons import Footnote, Footnotes, why_no_line, why_no_record
from sparq_perf.report.setups import by_setup, contender, latest
from sparq_perf.report.wording import count, si, times_faster
from sparq_profiles.shape import SparqConfig
from sparq_profiles.suite import CacheState

Method = Literal["counter", "integral"]
METHODS: tuple[Method, ...] = ("counter", "integral")
# Every reading of a loop, by what the page calls it.
READINGS = {
    "counter_j": "Energy by the counter",
    "integral_j": "Energy by integral",
    "power_w": "Mean power",
    "sm_clock_hz": "SM clock",
    "idle_power_w": "Idle power",
}
WHOLE = "Energy"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Dense energy over SparQ energy, both by one method.

    Attributes:
        dense: the dense implementation that took the least.
    """

    value: float
    dense: str
    method: Method


@dataclass(frozen=True, slots=True)
class EnergyRow:
    """One loop; energies are of one decode step, and None where ``notes`` has the number of the reason.

    Attributes:
        status: the measurement's, where it is not valid: it enters no ratio then.
        averaged: the integral is of power that the driver averages over a second, not of power now.
        caches, timed_caches: the state in which the loop found the caches, and in which the calls were timed.
        throttled_s: how long each cause held the clock down; None where that was not told.
        notes: footnotes by name of the reading.
    """

    label: str
    sparse: bool
    status: str | None
    batch: int
    counter_j: float | None
    integral_j: float | None
    averaged: bool
    power_w: float | None
    sm_clock_hz: float | None
    idle_power_w: float | None
    idle_subtracted: bool
    n_calls: int
    elapsed_s: float
    caches: CacheState | None
    timed_caches: CacheState
    throttled_s: tuple[tuple[str, float], ...] | None
    ratio: Ratio | None
    notes: Mapping[str, int]

    @property
    def caches_differ(self) -> bool:
        """Whether the loop's calls were not those that were timed."""
        return self.caches is not None and self.caches != self.timed_caches

    @property
    def per_token_j(self) -> float | None:
        """A step yields one token of each sequence of the batch; by the counter, else by the integral."""
        step_j = self.integral_j if self.counter_j is None else self.counter_j
        return None if step_j is None else step_j / self.batch


@dataclass(frozen=True, slots=True)
class EnergyGroup:
    """Loops over one setup."""

    name: str
    rows: tuple[EnergyRow, ...]


@dataclass(frozen=True, slots=True)
class Energies:
    """Every loop, the most data first; ``absent`` says why there is none.

    Attributes:
        sentence: what SparQ saved over all; empty where nothing can be compared.
        idle: what holds for the idle power of all loops; empty where they differ.
        notes: why numbers, or whole loops, are absent.
    """

    groups: tuple[EnergyGroup, ...]
    sentence: str
    idle: str
    notes: tuple[Footnote, ...]
    absent: str | None


def build_energies(
    lines: list[Line], measurements: Mapping[str, Measurement], names: Mapping[SparqConfig | None, str]
) -> Energies:
    """Every loop with its ratio to the dense loop of the same setup and caches that took the least."""
    energies = latest(lines, Energy)
    if not energies:
        return Energies((), "", "", (), f"Energy was not measured: {why_no_record(lines, 'nvml')}.")
    looped = {key: energy for key, energy in energies.items() if energy.n_calls}
    footnotes = _footnotes(energies, measurements)
    notes, number_of = footnotes.numbered()
    groups = []
    for setup, members in by_setup(looped.values(), names):
        dense = [m for m in members if m.config is None and _status(m, measurements) is None]
        rows = [_row(m, contender(m, names), _status(m, measurements), dense, number_of) for m in members]
        groups.append(EnergyGroup(setup.name, tuple(rows)))
    absent = None if groups else "Energy was not measured in any configuration."
    return Energies(tuple(groups), _sentence(groups), _idle(groups), notes, absent)


def why_no_energy(energy: Energy) -> str | None:
    """Why there is neither a counter's energy nor an integral; None where there is one."""
    return None if energy.energy_j is not None else str(energy.counter_j.absence)


def _status(energy: Energy, measurements: Mapping[str, Measurement]) -> str | None:
    measurement = measurements.get(energy.key)
    return measurement.status if measurement is not None and measurement.status != "ok" else None


def _footnotes(energies: Mapping[str, Energy], measurements: Mapping[str, Measurement]) -> Footnotes:
    footnotes = Footnotes()
    for key, energy in energies.items():
        if not energy.n_calls:
            footnotes.add(WHOLE, key, energy.counter_j.absence)
            continue
        for name, what in READINGS.items():
            reading: Reading[float] = getattr(energy, name)
            if reading.absence is not None:
                footnotes.add(what, key, reading.absence)
    for key, measurement in measurements.items():
        if key not in energies:
            footnotes.add(WHOLE, key, why_no_line(measurement))
    return footnotes


def _row(
    energy: Energy,
    label: str,
    status: str | None,
    dense: Sequence[Energy],
    number_of: Callable[[str, str], int | None],
) -> EnergyRow:
    numbers = {name: number_of(what, energy.key) for name, what in READINGS.items()}
    return EnergyRow(
        label=label,
        sparse=energy.config is not None,
        status=status,
        batch=energy.shape.batch,
        counter_j=energy.counter_j.value,
        integral_j=energy.integral_j.value,
        averaged=energy.power_source == "power_average_w",
        power_w=energy.power_w.value,
        sm_clock_hz=energy.sm_clock_hz.value,
        idle_power_w=energy.idle_power_w.value,
        idle_subtracted=energy.idle_subtracted,
        n_calls=energy.n_calls,
        elapsed_s=energy.elapsed_s,
        caches=energy.caches,
        timed_caches=energy.cache_state,
        throttled_s=_throttled(energy),
        ratio=_ratio(energy, dense) if status is None else None,
        notes={name: number for name, number in numbers.items() if number is not None},
    )


def _throttled(energy: Energy) -> tuple[tuple[str, float], ...] | None:
    if not energy.throttled_s and (energy.telemetry is None or "slowdowns" in energy.telemetry.absences):
        return None
    return tuple(sorted(energy.throttled_s.items(), key=lambda item: -item[1]))


def _ratio(sparq: Energy, dense: Sequence[Energy]) -> Ratio | None:
    """Like with like: one method, one treatment of idle power, one state of the caches."""
    if sparq.config is None:
        return None
    alike = [d for d in dense if (d.idle_subtracted, d.caches) == (sparq.idle_subtracted, sparq.caches)]
    for method in METHODS:
        own = _by(sparq, method)
        others = [(value, d.implementation) for d in alike if (value := _by(d, method)) is not None]
        if own is not None and others:
            least, name = min(others)
            return Ratio(least / own, name, method)
    return None


def _by(energy: Energy, method: Method) -> float | None:
    return energy.counter_j.value if method == "counter" else energy.integral_j.value


def _sentence(groups: Sequence[EnergyGroup]) -> str:
    found = [(row.ratio.value, row.label, group.name) for group in groups for row in group.rows if row.ratio]
    if not found:
        return ""
    most, label, name = max(found)
    if len(found) == 1:
        return f"Dense over SparQ energy is {times_faster(most)}: {label}, {name}."
    middle = times_faster(median(value for value, _, _ in found))
    return (
        f"Dense over SparQ energy is {middle} at the median of {count(len(found), 'SparQ loop')}, "
        f"and at most {times_faster(most)}: {label}, {name}."
    )


def _idle(groups: Sequence[EnergyGroup]) -> str:
    found = {(row.idle_power_w, row.idle_subtracted) for group in groups for row in group.rows}
    if len(found) != 1:
        return ""
    power_w, subtracted = found.pop()
    if power_w is None:
        return ""
    return f"Idle power, {si(power_w, 'W')} before the run, was {'' if subtracted else 'not '}subtracted from energies."
