"""The seam for instruments: one loop makes decode calls, and an observer watches them from outside.

The loop knows nothing of what watches it, and an observer nothing of how calls are made, so that an instrument is
added without touching either. Latencies never come from here: timing is a pass of its own, with nothing attached.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.plan import Group
from sparq_perf.records.line import Subject
from sparq_perf.records.reading import Absence

# Calls are queued ahead of the device, so that it never waits for the host, but not for longer than this.
LONGEST_QUEUE_S = 0.01


@dataclass(frozen=True, slots=True)
class Place:
    """One contender on one KV cache."""

    group: Group
    contender: Contender

    @property
    def key(self) -> str:
        """Identifies it in the records."""
        return self.group.key(self.contender)


@dataclass(frozen=True, slots=True)
class Loop:
    """The calls that an observer wants to see.

    Attributes:
        calls, time_s: at least so many, for at least so long.
        flushed: caches are cooled before each call, where cold calls are timed; the flush is seen too.
        replayed: calls are replays of a recorded one where that can be, without the host's part of them; else each
            runs through the host's code, with its named ranges.
    """

    calls: int
    time_s: float = 0.0
    flushed: bool = False
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Watched:
    """What a loop did: its calls, and the time from before the first to the end of the last."""

    n_calls: int
    elapsed_s: float


class Calls(Protocol):
    """Makes decode calls of one contender on one KV cache, each with another query."""

    def call(self) -> None:
        """Make one, or queue it."""

    def cool(self) -> None:
        """Flush the caches."""

    def wait(self) -> None:
        """Until every call queued is done."""


class Observer(Protocol):
    """An instrument.

    Attributes:
        line: kind of record that it fills.
        loop: the calls that it wants to see.
        on_request: only where a suite asks to have a group watched: it takes seconds for each contender.
    """

    line: type[Subject]
    loop: Loop
    on_request: bool

    def refusal(self) -> Absence | None:
        """Why it cannot watch here; None where it can."""

    def absent(self, why: Absence) -> Mapping[str, Any] | None:
        """Fields of a record that says so; None where none is written."""

    def before(self, place: Place) -> None:
        """Attach; right before the first call."""

    def during(self) -> None:
        """After each call was queued."""

    def after(self, watched: Watched) -> Mapping[str, Any] | None:
        """Detach, and tell what was seen: fields of a record, or None where nothing was.

        Called even where a call failed, with what was done until then; nobody reads the answer in that case.
        """


def watch(
    observer: Observer, place: Place, calls: Calls, *, clock: Callable[[], float] = perf_counter
) -> Mapping[str, Any] | None:
    """Let an observer see as many calls as it wants; returns the fields of its record, or None."""
    loop, n_calls, elapsed_s = observer.loop, 0, 0.0
    cooled = loop.flushed and place.group.cache_state == "cold"
    calls.call()  # what is compiled or recorded at first use is not to be seen
    calls.wait()
    observer.before(place)
    try:
        began = waited = clock()
        while n_calls < loop.calls or clock() - began < loop.time_s:
            if cooled:
                calls.cool()
            calls.call()
            n_calls += 1
            observer.during()
            if clock() - waited > LONGEST_QUEUE_S:
                calls.wait()
                waited = clock()
        calls.wait()
        elapsed_s = clock() - began
    finally:
        fields = observer.after(Watched(n_calls, elapsed_s))
    return fields
