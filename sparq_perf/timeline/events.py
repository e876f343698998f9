"""Processes as trace events: Chrome's JSON, whose microseconds Perfetto reads to the nanosecond."""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from sparq_perf.timeline.lanes import in_lanes
from sparq_perf.timeline.spans import Counter, Process, Span

Event = dict[str, Any]
# When, how long (negative), what: the order in which events stand in the file.
Placed = tuple[int, int, Event]


def to_events(processes: Iterable[Process], origin_ns: int) -> list[Event]:
    """Names first, then everything in the order in which it began; ``origin_ns`` becomes 0."""
    processes = list(processes)
    arrows = {span.leads_to for process in processes for track in process.tracks for span in track.spans}
    names: list[Event] = []
    placed: list[Placed] = []
    tid = 10  # above every process's number: Perfetto moves the thread that shares it to the top
    for pid, process in enumerate(processes, start=1):
        names += _named("process", process.name, pid, {"pid": pid})
        for track in process.tracks:
            for number, lane in enumerate(in_lanes(track.spans, nests=track.nests), start=1):
                tid += 1
                thread = {"pid": pid, "tid": tid}
                names += _named("thread", track.name if number == 1 else f"{track.name}, lane {number}", tid, thread)
                placed += (event for span in lane for event in _span_events(span, thread, origin_ns, arrows))
        for counter in process.counters:
            placed += _sample_events(counter, pid, origin_ns)
    # Of spans that begin together the longest first: Perfetto nests in the order of the file.
    return names + [event for _, _, event in sorted(placed, key=lambda each: each[:2])]


def _named(kind: str, name: str, index: int, owner: Mapping[str, int]) -> list[Event]:
    return [
        {"ph": "M", "name": f"{kind}_name", **owner, "args": {"name": name}},
        {"ph": "M", "name": f"{kind}_sort_index", **owner, "args": {"sort_index": index}},
    ]


def _span_events(
    span: Span, thread: Mapping[str, int], origin_ns: int, arrows: Container[int | None]
) -> Iterator[Placed]:
    began, order = span.began_ns - origin_ns, -span.duration_ns
    at = {**thread, "ts": _micro(began)}
    args = {name: value for name, value in span.args.items() if value is not None}
    yield began, order, {"ph": "X", "name": span.name, **at, "dur": _micro(span.duration_ns), "args": args}
    # An arrow belongs to the innermost span open at its moment: this one, for shorter ones come later in the file.
    if span.leads_to is not None:
        yield began, order, {"ph": "s", "name": "leads to", "cat": "arrow", "id": span.leads_to, **at}
    if span.reached_by is not None and span.reached_by in arrows:
        yield began, order, {"ph": "f", "bp": "e", "name": "leads to", "cat": "arrow", "id": span.reached_by, **at}


def _sample_events(counter: Counter, pid: int, origin_ns: int) -> Iterator[Placed]:
    """Perfetto names the track by the event's name and the key of its value."""
    for moment_ns, value in counter.samples:
        at_ns = moment_ns - origin_ns
        args = {counter.unit: value}
        yield at_ns, 0, {"ph": "C", "name": counter.name, "pid": pid, "ts": _micro(at_ns), "args": args}


def _micro(time_ns: int) -> float:
    """Microseconds with at most three decimals, which a double holds exactly enough for 104 days."""
    return time_ns / 1000
