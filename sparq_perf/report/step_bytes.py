"""Bytes per step: by the formulas, counted lane by lane, and by the counters of the device's memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sparq_perf.records.dram import DramReading
from sparq_perf.records.schema import Counted, Dram, Line, Measurement, StepProfile, Subject
from sparq_perf.report.bytes_rows import BytesRow, bytes_rows
from sparq_perf.report.reasons import Footnote, Footnotes, Reason, merged, why_no_line, why_no_record
from sparq_perf.report.setups import by_setup, contender, latest
from sparq_perf.report.wording import count, listed
from sparq_profiles.shape import SparqConfig

COUNTED, DRAM, DRAM_STEPS = "Counted bytes", "DRAM bytes", "DRAM bytes of single steps"
RUNG_NAMES = {"ncu": "Nsight Compute", "cupti": "CUPTI PM sampling", "gpm": "NVML GPM"}


@dataclass(frozen=True, slots=True)
class ConfigurationBytes:
    """One implementation and setting; notes are the numbers of the reasons for what is absent."""

    label: str
    rows: tuple[BytesRow, ...]
    counted_note: int | None
    dram_note: int | None
    dram_steps_note: int | None


@dataclass(frozen=True, slots=True)
class BytesGroup:
    """Configurations of one setup."""

    name: str
    configurations: tuple[ConfigurationBytes, ...]

    @property
    def has_dram(self) -> bool:
        """Whether the counters saw any of its bytes."""
        return any(row.dram for configuration in self.configurations for row in configuration.rows)

    @property
    def has_counted(self) -> bool:
        """Whether any of its bytes were counted."""
        return any(row.accessed for configuration in self.configurations for row in configuration.rows)

    @property
    def left_out(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Quantities that only other groups have, with the numbers of the notes that say why."""
        counted = {c.counted_note for c in self.configurations if c.counted_note is not None}
        dram = {c.dram_note for c in self.configurations if c.dram_note is not None}
        absent = ((COUNTED, counted, self.has_counted), (DRAM, dram, self.has_dram))
        return tuple((what, tuple(sorted(notes))) for what, notes, there in absent if notes and not there)


@dataclass(frozen=True, slots=True)
class StepBytes:
    """Every configuration, what was counted first, then the most data; ``absent`` says why there is none.

    Attributes:
        nowhere: quantities that no configuration has, each with its reasons: their columns are left out.
        sources: the counters, in words.
        notes: why a quantity that others have is absent.
    """

    groups: tuple[BytesGroup, ...]
    has_counted: bool
    has_dram: bool
    nowhere: tuple[tuple[str, Reason], ...]
    sources: str
    notes: tuple[Footnote, ...]
    absent: str | None


@dataclass(frozen=True, slots=True)
class _Found:
    """What instruments and the time model say of each key."""

    measurements: Mapping[str, Measurement]
    counted: Mapping[str, Counted]
    dram: Mapping[str, Dram]
    profiles: Mapping[str, StepProfile]

    def keys(self) -> list[str]:
        """Of everything that has bytes, in the order first recorded."""
        own = [key for key, m in self.measurements.items() if m.prediction is not None]
        counted = [key for key, line in self.counted.items() if line.steps]
        return list(dict.fromkeys((*own, *counted, *(k for k, line in self.dram.items() if line.dram.source))))

    def subject(self, key: str) -> Subject:
        """Any line about it."""
        return self.measurements.get(key) or self.counted.get(key) or self.dram[key]


def build_step_bytes(
    lines: list[Line], measurements: Mapping[str, Measurement], names: Mapping[SparqConfig | None, str]
) -> StepBytes:
    """Bytes of every configuration that has any, the formulas' beside what was counted."""
    found = _Found(measurements, latest(lines, Counted), latest(lines, Dram), latest(lines, StepProfile))
    keys = found.keys()
    has_counted = any(line.steps for line in found.counted.values())
    has_dram = any(line.dram.source for line in found.dram.values())
    if not keys:
        absent = "No measurement carries a prediction, which is where its bytes are stated, and none were counted."
        return StepBytes((), False, False, (), "", (), absent)
    footnotes = Footnotes()
    for key in keys:
        if has_counted:
            _note_counted(footnotes, found, key)
        if has_dram:
            _note_dram(footnotes, found, key)
    notes, number_of = footnotes.numbered()
    groups = []
    for setup, members in by_setup((found.subject(key) for key in keys), names):
        configurations = [_configuration(member, contender(member, names), found, number_of) for member in members]
        groups.append(BytesGroup(setup.name, tuple(configurations)))
    groups.sort(key=lambda group: not group.has_dram if has_dram else not group.has_counted)
    nowhere = (
        *_nowhere(COUNTED, has_counted, keys, {k: str(c.absence) for k, c in found.counted.items()}, lines),
        *_nowhere(DRAM, has_dram, keys, {k: str(why_no_dram(d.dram)) for k, d in found.dram.items()}, lines),
    )
    return StepBytes(tuple(groups), has_counted, has_dram, nowhere, _sources(found.dram), notes, None)


def _note_counted(footnotes: Footnotes, found: _Found, key: str) -> None:
    line = found.counted.get(key)
    if line is None or line.absence is not None:
        footnotes.add(COUNTED, key, line.absence if line else why_no_line(found.measurements[key]))


def _note_dram(footnotes: Footnotes, found: _Found, key: str) -> None:
    line = found.dram.get(key)
    if line is None:
        footnotes.add(DRAM, key, why_no_line(found.measurements[key]))
    elif line.dram.source is None:
        footnotes.add(DRAM, key, why_no_dram(line.dram))
    elif not line.dram.kernels:
        said = "".join(f"; {who}: {text}" for text, who in _by_reason(line.dram))
        footnotes.add(DRAM_STEPS, key, f"{RUNG_NAMES[line.dram.source]} counts whole calls, not their kernels{said}")


def why_no_dram(reading: DramReading) -> str | None:
    """What the ways of counting said, each reason once; None where one of them counted."""
    if reading.source is not None:
        return None
    reasons = _by_reason(reading)
    return reasons[0][0] if len(reasons) == 1 else "; ".join(f"{who}: {text}" for text, who in reasons)


def _by_reason(reading: DramReading) -> list[tuple[str, str]]:
    """Pairs of a reason and the ways of counting that gave it."""
    names: dict[str, list[str]] = {}
    for rung in reading.rungs:
        if rung.absence is not None:
            names.setdefault(str(rung.absence), []).append(RUNG_NAMES[rung.name])
    return [(text, listed(who)) for text, who in names.items()]


def _nowhere(
    what: str, somewhere: bool, keys: list[str], absences: Mapping[str, str], lines: list[Line]
) -> tuple[tuple[str, Reason], ...]:
    if somewhere:
        return ()
    without = why_no_record(lines, "counted" if what == COUNTED else "counters")
    return tuple((what, reason) for reason in merged({key: absences.get(key, without) for key in keys}))


def _configuration(
    subject: Subject, label: str, found: _Found, number_of: Callable[[str, str], int | None]
) -> ConfigurationBytes:
    key = subject.key
    measurement, counted, dram = found.measurements.get(key), found.counted.get(key), found.dram.get(key)
    rows = bytes_rows(measurement, counted, dram.dram if dram else None, found.profiles.get(key))
    return ConfigurationBytes(
        label, tuple(rows), number_of(COUNTED, key), number_of(DRAM, key), number_of(DRAM_STEPS, key)
    )


def _sources(dram: Mapping[str, Dram]) -> str:
    """Which counters were read, with their programs' versions."""
    found: dict[str, list[str]] = {}
    for line in dram.values():
        for rung in line.dram.rungs:
            if rung.used:
                name = RUNG_NAMES[rung.name]
                found.setdefault(f"{name} ({rung.detail})" if rung.detail else name, []).append(line.key)
    if len(found) == 1:
        return next(iter(found))
    return listed(f"{name} in {count(len(keys), 'configuration')}" for name, keys in found.items())
