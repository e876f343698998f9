"""Decode calls read out of a torch.profiler trace: what ran in each, when, for how long, and in which named step.

On a GPU the work is kernels, copies and fills. torch's own tables give a kernel to the torch operation around its
launch, and so lose kernels that were launched without one, as Triton's are. The trace has what it takes: each kernel
and the call that launched it carry one correlation number, and that call lies inside the ranges of its thread. Where a
call was not recorded, or clocks put it beside its range, the device's own annotations decide.

On a CPU the work is torch operations, and the compiled code between them, which the profiler sees only as the time of
a range that no operation inside it explains.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median_low
from typing import Any

CALL_RANGE = "sparq_perf::call"
STEP_PREFIX = "sparq::"
OWN_CODE = "own code"
DEVICE_WORK = ("kernel", "gpu_memcpy", "gpu_memset")
LAUNCHES = ("cuda_runtime", "cuda_driver")
MICRO = 1e-6

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """One kernel on a GPU; one operation or named range on a CPU, where pieces nest.

    Attributes:
        name: of the kernel, operation or step.
        step: the named step that it belongs to; None outside all of them.
        start_s: since the call began.
        duration_s: from its start to its end.
        work_s: what is its own: less the pieces inside it.
        is_range: a named range of the host, which is no work where it has no time of its own.
    """

    name: str
    step: str | None
    start_s: float
    duration_s: float
    work_s: float
    is_range: bool = False


@dataclass(frozen=True, slots=True)
class TracedCall:
    """One decode call.

    Attributes:
        total_s: on a GPU the sum of its kernels, on a CPU the time of the whole call.
        span_s: from the start of its first piece to the end of its last, gaps between kernels included.
        began_s: when, on the trace's own clock.
        pieces: in the order they began.
    """

    began_s: float
    total_s: float
    span_s: float
    pieces: tuple[Piece, ...]


def calls_on_device(trace: Mapping[str, Any]) -> list[TracedCall]:
    """The calls of a trace whose work ran on a GPU.

    Args:
        trace: what `torch.profiler.profile.export_chrome_trace` wrote; each call lies in a range `CALL_RANGE`.
    """
    events = [event for event in trace["traceEvents"] if event.get("ph") == "X"]
    launches = {_correlation(event): event for event in events if event.get("cat") in LAUNCHES}
    launches.pop(None, None)
    on_host = _ranges(events, "user_annotation")
    on_device = _ranges(events, "gpu_user_annotation")
    works: dict[_Range, list[tuple[Event, str | None]]] = defaultdict(list)
    for event in events:
        if event.get("cat") not in DEVICE_WORK:
            continue
        launch = launches.get(_correlation(event))
        call = _innermost(on_host, launch, CALL_RANGE) or _innermost(on_device, event, CALL_RANGE)
        if call is not None:
            step = _innermost(on_host, launch, STEP_PREFIX) or _innermost(on_device, event, STEP_PREFIX)
            works[call].append((event, step.name.removeprefix(STEP_PREFIX) if step else None))
    return [_device_call(works[call]) for call in sorted(works, key=lambda call: call.start)]


def calls_on_host(trace: Mapping[str, Any]) -> list[TracedCall]:
    """The calls of a trace whose work ran on a CPU; see `calls_on_device`."""
    events = [event for event in trace["traceEvents"] if event.get("ph") == "X"]
    works = [event for event in events if event.get("cat") in ("cpu_op", "user_annotation")]
    calls = [event for event in works if event["name"] == CALL_RANGE]
    found = []
    for call in sorted(calls, key=lambda event: float(event["ts"])):
        inside = [event for event in works if event is not call and _contains(call, event)]
        total_s = call["dur"] * MICRO
        found.append(TracedCall(call["ts"] * MICRO, total_s, total_s, tuple(_nested(call, inside))))
    return found


def usual_call(calls: list[TracedCall]) -> TracedCall:
    """The call of median time, of an even number the shorter one: one that really happened."""
    middle = median_low(call.total_s for call in calls)
    return next(call for call in calls if call.total_s == middle)


@dataclass(frozen=True, slots=True)
class Share:
    """What one kernel, or one step, takes of a call.

    Attributes:
        name: of the kernel, or of the step itself.
        step: of a kernel: the step that it belongs to.
        launches: a call.
        time_s: a call.
    """

    name: str
    step: str | None
    launches: float
    time_s: float


def kernel_shares(calls: list[TracedCall]) -> tuple[Share, ...]:
    """Launches and time of each kernel, means over the calls, in the order they first ran."""
    launches: dict[tuple[str, str | None], int] = defaultdict(int)
    times: dict[tuple[str, str | None], float] = defaultdict(float)
    for piece in _working(calls):
        name = OWN_CODE if piece.is_range else piece.name
        launches[name, piece.step] += 1
        times[name, piece.step] += piece.work_s
    return tuple(
        Share(name, step, launches[name, step] / len(calls), times[name, step] / len(calls)) for name, step in times
    )


def step_shares(calls: list[TracedCall]) -> tuple[Share, ...]:
    """Launches and time of each named step, means over the calls, in the order they first ran."""
    launches: dict[str, int] = defaultdict(int)
    times: dict[str, float] = defaultdict(float)
    for piece in _working(calls):
        if piece.step is not None:
            launches[piece.step] += 1
            times[piece.step] += piece.work_s
    return tuple(Share(step, step, launches[step] / len(calls), times[step] / len(calls)) for step in times)


def _working(calls: list[TracedCall]) -> Iterator[Piece]:
    return (piece for call in calls for piece in call.pieces if piece.work_s > 0)


@dataclass(frozen=True, slots=True)
class _Range:
    name: str
    place: tuple[Any, Any]  # process and thread, or device and stream
    start: float
    end: float

    def holds(self, event: Event, place: tuple[Any, Any]) -> bool:
        return self.place == place and self.start <= event["ts"] <= self.end


def _device_call(works: list[tuple[Event, str | None]]) -> TracedCall:
    ordered = sorted(works, key=lambda work: float(work[0]["ts"]))
    began = ordered[0][0]["ts"]
    ended = max(event["ts"] + event["dur"] for event, _ in ordered)
    pieces = []
    for event, step in ordered:
        duration_s = event["dur"] * MICRO
        pieces.append(Piece(str(event["name"]), step, (event["ts"] - began) * MICRO, duration_s, duration_s))
    total_s = sum(piece.work_s for piece in pieces)
    return TracedCall(began * MICRO, total_s, (ended - began) * MICRO, tuple(pieces))


def _nested(call: Event, inside: list[Event]) -> Iterator[Piece]:
    """Pieces of one call on a host, each with the step around it and the time that is its own."""
    ordered = sorted(inside, key=lambda event: (event["ts"], -event["dur"]))
    around: list[list[Event]] = []
    own = [float(event["dur"]) for event in ordered]
    open_now: list[int] = []
    for index, event in enumerate(ordered):
        while open_now and not _contains(ordered[open_now[-1]], event):
            open_now.pop()
        around.append([ordered[i] for i in open_now])
        if open_now:
            own[open_now[-1]] -= event["dur"]
        open_now.append(index)
    for event, outer, own_time in zip(ordered, around, own, strict=True):
        steps = [e["name"] for e in (*outer, event) if e["name"].startswith(STEP_PREFIX)]
        name = str(event["name"])
        yield Piece(
            name.removeprefix(STEP_PREFIX),
            steps[-1].removeprefix(STEP_PREFIX) if steps else None,
            (event["ts"] - call["ts"]) * MICRO,
            event["dur"] * MICRO,
            max(own_time, 0.0) * MICRO,
            is_range=name.startswith(STEP_PREFIX),
        )


def _contains(outer: Event, inner: Event) -> bool:
    same_thread = (outer.get("pid"), outer.get("tid")) == (inner.get("pid"), inner.get("tid"))
    return bool(same_thread and outer["ts"] <= inner["ts"] and inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"])


def _innermost(ranges: Iterable[_Range], event: Event | None, prefix: str) -> _Range | None:
    if event is None:
        return None
    place = (event.get("pid"), event.get("tid"))
    holding = [one for one in ranges if one.name.startswith(prefix) and one.holds(event, place)]
    return max(holding, key=lambda one: one.start, default=None)


def _ranges(events: Iterable[Event], category: str) -> list[_Range]:
    return [
        _Range(event["name"], (event.get("pid"), event.get("tid")), event["ts"], event["ts"] + event["dur"])
        for event in events
        if event.get("cat") == category
    ]


def _correlation(event: Event) -> Any:
    return event.get("args", {}).get("correlation")
