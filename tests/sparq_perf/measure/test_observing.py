"""The loop and the observer: neither knows how the other works."""

from typing import Any

import pytest

from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.observing import Loop, Place, Watched, watch
from sparq_perf.measure.passes import NOT_WATCHED, ObserverPass, Site
from sparq_perf.measure.plan import Group
from sparq_perf.measure.resume import RunState
from sparq_perf.records.reading import Absence
from sparq_perf.records.schema import Dram
from sparq_profiles import AttentionShape

DENSE = Contender("dense-cpu", None)
SHAPE = AttentionShape(1, 64, 2, 2, 8, "float32")


def place(cache_state: Any = "cold", *, watched: bool = False) -> Place:
    return Place(Group("tiny", SHAPE, cache_state, "two_copies", (DENSE,), watched), DENSE)


class Device:
    """Calls that take a second each, on a clock of their own; what happens is written into ``log``."""

    def __init__(self, log: list[Any], fail_at: int = 0) -> None:
        self.log, self.now, self.fail_at, self.n = log, 0.0, fail_at, 0

    def call(self) -> None:
        self.n += 1
        if self.n == self.fail_at:
            raise RuntimeError("lost")
        self.now += 1.0
        self.log.append("call")

    def cool(self) -> None:
        self.log.append("cool")

    def wait(self) -> None:
        self.log.append("wait")


class Instrument:
    """Writes down when it is asked what."""

    line: Any = Dram
    on_request = False

    def __init__(self, log: list[Any], loop: Loop, why: Absence | None = None) -> None:
        self.log, self.loop, self.why = log, loop, why

    def refusal(self) -> Absence | None:
        return self.why

    def absent(self, why: Absence) -> Any:
        return {"absent": why}

    def before(self, place: Place) -> None:
        self.log.append("before")

    def during(self) -> None:
        self.log.append("during")

    def after(self, watched: Watched) -> Any:
        self.log.append("after")
        return {"watched": watched}


def test_before_during_after() -> None:
    log: list[Any] = []
    device = Device(log)
    fields = watch(Instrument(log, Loop(calls=2)), place(), device, clock=lambda: device.now)
    # What is compiled at first use is not seen.
    each = ["call", "during", "wait"]
    assert log == ["call", "wait", "before", *each, *each, "wait", "after"]
    assert fields == {"watched": Watched(2, 2.0)}


def test_a_loop_lasts_as_long_as_asked() -> None:
    log: list[Any] = []
    device = Device(log)
    fields = watch(Instrument(log, Loop(calls=1, time_s=3.5)), place(), device, clock=lambda: device.now)
    assert fields == {"watched": Watched(4, 4.0)}


@pytest.mark.parametrize(
    ("cache_state", "flushed", "cools"), [("cold", True, 2), ("cold", False, 0), ("warm", True, 0)]
)
def test_caches_are_cooled_where_cold_calls_are_timed_and_the_instrument_bears_it(
    cache_state: str, flushed: bool, cools: int
) -> None:
    log: list[Any] = []
    watch(Instrument(log, Loop(calls=2, flushed=flushed)), place(cache_state), Device(log), clock=lambda: 0.0)
    assert log.count("cool") == cools


def test_calls_are_queued_ahead_but_not_for_long() -> None:
    log: list[Any] = []
    device = Device(log)
    ticks = iter(x * 1e-3 for x in range(10_000))
    watch(Instrument(log, Loop(calls=60)), place(), device, clock=lambda: next(ticks))
    waits = log[log.index("before") :].count("wait")
    assert 5 < waits < 20


def test_an_instrument_is_detached_where_a_call_fails() -> None:
    log: list[Any] = []
    with pytest.raises(RuntimeError, match="lost"):
        watch(Instrument(log, Loop(calls=5)), place(), Device(log, fail_at=3), clock=lambda: 0.0)
    assert log[-1] == "after"


class TestPass:
    def make(self, instrument: Instrument, group: Group) -> list[Any]:
        written: list[Any] = []
        machine: Any = type("Machine", (), {"calls": lambda self, *_, **__: Device(instrument.log)})()
        site = Site(machine, RunState(), None, lambda kind, **fields: written.append((kind, fields)), 0)  # type: ignore[arg-type]
        one = ObserverPass("counters", instrument, site)
        one.make(group, None)  # type: ignore[arg-type]
        one.make(group, None)  # type: ignore[arg-type]
        return written

    def test_each_contender_once(self) -> None:
        ((kind, fields),) = self.make(Instrument([], Loop(calls=1)), place().group)
        assert kind is Dram
        assert fields["key"] == place().key
        assert fields["watched"].n_calls == 1

    def test_an_instrument_that_refuses_says_why_and_no_call_is_made(self) -> None:
        why, log = Absence(kind="no_device", detail="none"), []  # type: ignore[var-annotated]
        ((_, fields),) = self.make(Instrument(log, Loop(calls=1), why), place().group)
        assert fields["absent"] == why
        assert log == []

    @pytest.mark.parametrize("watched", [True, False])
    def test_what_takes_long_is_made_on_request(self, watched: bool) -> None:
        instrument = Instrument([], Loop(calls=1))
        instrument.on_request = True
        ((_, fields),) = self.make(instrument, place(watched=watched).group)
        assert ("watched" in fields, fields.get("absent")) == ((True, None) if watched else (False, NOT_WATCHED))
