"""The whole timeline of some records, and its file."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparq_perf import __version__
from sparq_perf.records.schema import Line, Run
from sparq_perf.records.store import RecordError
from sparq_perf.report.wording import count
from sparq_perf.timeline.absent import Absent, absent_track, find_absent
from sparq_perf.timeline.calls import Call, call_tracks, end_to_end, profiled_calls
from sparq_perf.timeline.events import to_events
from sparq_perf.timeline.nvml import energy_loops, nvml_process
from sparq_perf.timeline.passes import passes_track
from sparq_perf.timeline.predictions import predicted_ns, predictions_track
from sparq_perf.timeline.spans import Process, TimelineError, moment_at

TRACE_NAME = "trace.json"
VIEWER = "https://ui.perfetto.dev"
CALLS = "profiled calls and predicted steps"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a timeline holds.

    Attributes:
        n_calls: profiled calls; n_loops: energy loops with samples of NVML.
        absent: what it does not hold, and why.
    """

    n_calls: int
    n_loops: int
    absent: tuple[Absent, ...]

    @property
    def lines(self) -> list[str]:
        """For people."""
        held = f"{count(self.n_calls, 'profiled call')}, {count(self.n_loops, 'energy loop')} sampled by NVML"
        return [f"holds   {held}", *(f"absent  {each}" for each in self.absent)]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {"profiled_calls": self.n_calls, "energy_loops": self.n_loops, "absent": _as_rows(self.absent)}


def contents(lines: Sequence[Line]) -> Contents:
    """What the timeline of some records holds."""
    calls = profiled_calls(lines)
    return Contents(len(calls), len(energy_loops(lines)), find_absent(lines, calls))


def has_timeline(lines: Sequence[Line]) -> bool:
    """Whether there is anything to show: a profiled call, or a sample of NVML."""
    return bool(profiled_calls(lines) or energy_loops(lines))


def build_trace(lines: Sequence[Line], *, calls_only: bool = False) -> dict[str, Any]:
    """A trace-event file's content; time 0 is that of the first event.

    Args:
        lines: of one record file.
        calls_only: the profiled calls and their predictions alone, moved together: not on the run's clock.

    Raises:
        TimelineError: there is nothing to show, or a number is none.
    """
    calls = profiled_calls(lines)
    absent = find_absent(lines, calls)
    if not (calls if calls_only else has_timeline(lines)):
        reasons = "; ".join(map(str, absent)) or "no reason is recorded"
        raise TimelineError(f"the records hold nothing for a timeline: {reasons}")
    if calls_only:
        lengths_ns = [max(call.duration_ns, predicted_ns(call)) for call in calls]
        processes = [_calls_process(end_to_end(calls, lengths_ns))]
        origin_ns, clock = 0, "none: the calls are moved together"
    else:
        processes = _processes(lines, calls, absent)
        origin_ns = min(moment for process in processes for moment in process.moments_ns)
        clock = f"0 is {moment_at(origin_ns).isoformat()}"
    return {
        "displayTimeUnit": "ns",
        "otherData": _about(lines, absent, clock),
        "traceEvents": to_events(processes, origin_ns),
    }


def write_trace(lines: Sequence[Line], path: Path, *, calls_only: bool = False) -> Path:
    """Write it, whole or not at all: a viewer never finds half of it.

    Raises:
        TimelineError: see `build_trace`.
        RecordError: the file cannot be written.
    """
    trace = build_trace(lines, calls_only=calls_only)
    beside = path.with_name(f"{path.name}.tmp")
    try:
        # Not as ASCII: Perfetto shows the escapes of a counter's name as they stand.
        beside.write_text(json.dumps(trace, ensure_ascii=False, allow_nan=False, separators=(",", ":")), "utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise RecordError(f"{path}: cannot be written: {error.strerror or error}") from None
    return path


def _processes(lines: Sequence[Line], calls: Sequence[Call], absent: Sequence[Absent]) -> list[Process]:
    """Those of a run's clock; the run itself first, as wide as all that happened in it."""
    others = [process for process in (_calls_process(calls), nvml_process(lines)) if process and process.tracks]
    passes = passes_track(lines, calls)
    moments_ns = [*passes.moments_ns, *(moment for process in others for moment in process.moments_ns)]
    tracks = (passes, absent_track(absent, min(moments_ns), max(moments_ns)))
    run = Process(_run_name(lines), tuple(track for track in tracks if track.spans))
    return [run, *others] if run.tracks else others


def _calls_process(calls: Sequence[Call]) -> Process:
    """Predictions below the profiles in one process: Perfetto puts other processes between two that belong together."""
    predictions = predictions_track(calls)
    return Process(CALLS, (*call_tracks(calls), *((predictions,) if predictions.spans else ())))


def _run_name(lines: Sequence[Line]) -> str:
    runs = [line for line in lines if isinstance(line, Run)]
    return f"run of {runs[0].suite} on {runs[0].environment.device}" if runs else "run"


def _about(lines: Sequence[Line], absent: Sequence[Absent], clock: str) -> dict[str, Any]:
    runs = [line for line in lines if isinstance(line, Run)]
    return {
        "program": f"sparq-perf {__version__}",
        "clock": clock,
        "runs": [
            {"run_id": run.run_id, "suite": run.suite, "device": run.environment.device, "time": run.time.isoformat()}
            for run in runs
        ],
        "absent": _as_rows(absent),
    }


def _as_rows(absent: Sequence[Absent]) -> list[dict[str, Any]]:
    return [{"what": list(each.what), "reason": each.reason, "times": each.times} for each in absent]
