"""What a run did when: the time up to each record, whose wide spans lead to calls of microseconds."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby, pairwise
from typing import Any

from sparq_perf.records.schema import (
    CalibrationLine,
    CeilingsLine,
    Counted,
    Dram,
    Energy,
    Line,
    Measurement,
    StepProfile,
    Subject,
)
from sparq_perf.timeline.calls import Call
from sparq_perf.timeline.naming import configuration, short_name
from sparq_perf.timeline.spans import Span, Track, moment_ns

TRACK = "time up to each record"
# With this span selected, Perfetto follows its arrow on ], and fills the screen with what it leads to on F.
TO_THE_CALL = "until the call shown begins (press ], then F)"

PASSES: dict[type[Subject], str] = {
    Energy: "energy",
    StepProfile: "profile",
    Dram: "DRAM counters",
    Counted: "counted bytes",
}


def passes_track(lines: Sequence[Line], calls: Sequence[Call]) -> Track:
    """A span for each record, or for those that were written together, from the one before in the same run.

    Within the span of a profile lies another that ends where the call shown begins, with an arrow to it.
    """
    call_of = {id(call.profile): call for call in calls}
    spans = []
    for before, line, name, args in _stages(lines):
        began_ns, ended_ns = moment_ns(before.time), moment_ns(line.time)
        if began_ns > ended_ns:  # somebody set the clock
            continue
        spans.append(Span(name, began_ns, ended_ns - began_ns, args))
        call = call_of.get(id(line))
        if call is not None and began_ns < call.began_ns <= ended_ns:
            spans.append(Span(TO_THE_CALL, began_ns, call.began_ns - began_ns, args, leads_to=call.number))
    return Track(TRACK, tuple(spans))


def _stages(lines: Sequence[Line]) -> Iterator[tuple[Line, Line, str, dict[str, Any]]]:
    """The record before, the last record of a stage, its name and arguments; nothing across two runs."""
    stages = [list(stage) for _, stage in groupby(lines, key=_stage)]
    for earlier, stage in pairwise(stages):
        before, line = earlier[-1], stage[-1]
        name, args = _describe(stage)
        if before.run_id == line.run_id and name:
            yield before, line, name, args


def _stage(line: Line) -> Hashable:
    """Equal for records of implementations that took turns and were written together when all were through."""
    if isinstance(line, Measurement):
        return line.run_id, line.model, line.shape, line.cache_state
    return (line.run_id, "calibration") if isinstance(line, CalibrationLine) else id(line)


def _describe(stage: list[Line]) -> tuple[str, dict[str, Any]]:
    line = stage[-1]
    together = dict.fromkeys(each.implementation for each in stage if isinstance(each, Measurement | CalibrationLine))
    of_several = {"implementation": ", ".join(together)}
    if isinstance(line, Measurement):
        shape = line.shape
        name = f"timing {line.model} B={shape.batch} S={shape.seq_len} {line.cache_state}"
        return name, {**of_several, "model": line.model, **asdict(shape), "cache_state": line.cache_state}
    if isinstance(line, CalibrationLine):
        return "calibration", of_several
    if isinstance(line, Subject):
        return f"{PASSES[type(line)]} {short_name(line)}", configuration(line)
    return (f"ceilings at the {line.phase} of the run", {}) if isinstance(line, CeilingsLine) else ("", {})
