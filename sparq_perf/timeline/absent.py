"""What a timeline does not show, and why: nothing stands for it on any track."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sparq_perf.records.schema import Energy, Line, Run, StepProfile
from sparq_perf.timeline.calls import Call
from sparq_perf.timeline.nvml import COUNTERS, energy_loops, shown_series
from sparq_perf.timeline.predictions import predicted_steps
from sparq_perf.timeline.spans import Span, Track

NO_PROFILE = "the records hold no profile of a call"
OLD_PROFILE = "records before version 3 keep no kernels"
NO_SAMPLES = "the records hold no samples of NVML"
NO_PREDICTION = "its measurement has no prediction"


@dataclass(frozen=True, slots=True)
class Absent:
    """Things that are absent for one reason.

    Attributes:
        times: how many records say so of each, at most.
    """

    what: tuple[str, ...]
    reason: str
    times: int

    def __str__(self) -> str:
        times = f" ({self.times} times)" if self.times > 1 else ""
        return f"{', '.join(self.what)}{times}: {self.reason}"


def find_absent(lines: Sequence[Line], calls: Sequence[Call]) -> tuple[Absent, ...]:
    """Every absence that the records give, those of one reason together."""
    counts: dict[str, dict[str, int]] = {}
    for what, reason in (*_of_calls(lines, calls), *_of_runs(lines), *_of_nvml(lines)):
        times = counts.setdefault(reason, {})
        times[what] = times.get(what, 0) + 1
    return tuple(Absent(tuple(times), reason, max(times.values())) for reason, times in counts.items())


def absent_track(absent: Sequence[Absent], began_ns: int, ended_ns: int) -> Track:
    """Each over the whole timeline, so that it is read without being looked for."""
    spans = tuple(
        Span(f"absent: {each}", began_ns, ended_ns - began_ns, {"absent": ", ".join(each.what), "reason": each.reason})
        for each in absent
    )
    return Track("absent", spans)


def _of_calls(lines: Sequence[Line], calls: Sequence[Call]) -> Iterator[tuple[str, str]]:
    profiles = [line for line in lines if isinstance(line, StepProfile)]
    if not profiles:
        yield "profiled calls", NO_PROFILE
    for profile in profiles:
        if not profile.call or profile.began is None:
            yield "profiled calls", OLD_PROFILE
    for call in calls:
        if not predicted_steps(call):
            yield f"prediction of {call.name}", NO_PREDICTION


def _of_runs(lines: Sequence[Line]) -> Iterator[tuple[str, str]]:
    """What the last run or resumption could not ask, or did not."""
    runs = [line for line in lines if isinstance(line, Run)]
    for run in runs[-1:]:
        for instrument in run.environment.instruments:
            if instrument.reason is not None:
                yield instrument.name, instrument.reason
        for planned in run.passes:
            if planned.reason is not None:
                yield f"{planned.name} pass", planned.reason


def _of_nvml(lines: Sequence[Line]) -> Iterator[tuple[str, str]]:
    loops = energy_loops(lines)
    energies = [line for line in lines if isinstance(line, Energy)]
    if not energies:
        yield "NVML counters", NO_SAMPLES
    sampled = {id(line) for line, _ in loops}
    for line in energies:
        if id(line) not in sampled:
            what = "NVML counters of some configurations" if loops else "NVML counters"
            yield what, str(line.counter_j.absence or NO_SAMPLES)
    for _, telemetry in loops:
        for series, absence in telemetry.absences.items():
            if series == "slowdowns":
                yield "throttling", str(absence)
            elif series in shown_series(telemetry):
                yield COUNTERS[series][0], str(absence)
