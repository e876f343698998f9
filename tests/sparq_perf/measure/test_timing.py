"""What is called in which order while timing, with a clock that moves only where the test says."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from sparq_perf.measure import cpu_timing
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.cpu_timing import PRIMER_SEQ_LEN, CpuStopwatch
from sparq_perf.measure.stopping import StoppingRule
from sparq_perf.measure.timing import WARMUPS, Rounds
from sparq_profiles import AttentionShape, SparqConfig

DENSE, SPARQ = Contender("dense-cpu", None), Contender("sparq-cpu", SparqConfig(8, 64))
CONTENDERS = (DENSE, SPARQ)
SHAPE = AttentionShape(2, 9000, 4, 2, 32, "float32")
FLUSH_S = 0.5


@dataclass
class Machine:
    """Records every call; a decode on the measured cache takes what `seconds` yields for its implementation."""

    seconds: dict[str, list[float]]
    now: float = 100.0
    calls: list[tuple[str, str]] = field(default_factory=list)
    queries: list[Any] = field(default_factory=list)
    primer_shapes: list[AttentionShape] = field(default_factory=list)
    cache: Any = field(default_factory=lambda: SimpleNamespace(k_layout="row_major"))
    primer: Any = None
    rates: list[float] = field(default_factory=list)
    device: str = "cpu"
    settled: list[int] = field(default_factory=list)
    throttled: list[tuple[str, ...]] = field(default_factory=list)

    def stopwatch(self, cache: Any, shape: AttentionShape, seed: int) -> CpuStopwatch:
        return CpuStopwatch(cache, shape, self.flush, seed, clock=self.clock)  # type: ignore[arg-type]

    def settle(self, work: Any) -> None:
        self.settled.append(len(self.calls))

    def slowdowns(self) -> tuple[str, ...]:
        return self.throttled.pop(0) if self.throttled else ()

    def clock(self) -> float:
        return self.now

    def build_cache(self, shape: AttentionShape, k_layout: str, seed: int) -> Any:
        self.primer_shapes.append(shape)
        self.primer = SimpleNamespace(k_layout=k_layout)
        return self.primer

    def bind(self, cache: Any, config: Any, implementation: str) -> Any:
        return lambda query: self.decode(query, cache, config, implementation)

    def decode(self, query: Any, cache: Any, config: Any, implementation: str) -> None:
        assert config == {c.implementation: c.config for c in CONTENDERS}[implementation]
        if cache is self.primer:
            self.calls.append(("primer", implementation))
            self.now += 50.0  # must never be part of a sample
            return
        assert cache is self.cache
        self.calls.append(("decode", implementation))
        self.queries.append(query.clone())
        times = self.seconds[implementation]
        self.now += times.pop(0) if len(times) > 1 else times[0]

    def flush(self) -> float:
        self.calls.append(("flush", ""))
        self.now += FLUSH_S
        self.rates.append(1e9 * (1 + len(self.rates) % 3))
        return self.rates[-1]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine({"dense-cpu": [0.1], "sparq-cpu": [0.02]})
    monkeypatch.setattr(cpu_timing, "bind", machine.bind)
    monkeypatch.setattr(cpu_timing, "build_cache", machine.build_cache)
    return machine


def rounds(machine: Machine, cache_state: str) -> Rounds:
    return Rounds(machine, machine.cache, SHAPE, cache_state, 7, clock=machine.clock)  # type: ignore[arg-type]


def three_samples() -> StoppingRule:
    return StoppingRule(minimum_samples=3, minimum_time_s=0.0, timeout_s=1e9)


def test_cold_rounds_interleave(machine: Machine) -> None:
    dense, sparq = rounds(machine, "cold").time(CONTENDERS, three_samples)
    warmups = [("decode", "dense-cpu")] * WARMUPS + [("decode", "sparq-cpu")] * WARMUPS
    one_round = [
        ("flush", ""),
        ("primer", "dense-cpu"),
        ("decode", "dense-cpu"),
        ("flush", ""),
        ("primer", "sparq-cpu"),
        ("decode", "sparq-cpu"),
    ]
    assert machine.calls == warmups + one_round * 3
    assert dense.samples_s == pytest.approx((0.1,) * 3)
    assert sparq.samples_s == pytest.approx((0.02,) * 3)
    assert (dense.stop_reason, sparq.stop_reason) == ("noise", "noise")


def test_warm_rounds_never_flush(machine: Machine) -> None:
    timings = rounds(machine, "warm").time(CONTENDERS, three_samples)
    kinds = {kind for kind, _ in machine.calls}
    assert kinds == {"decode"}
    # Before each sample the same contender reads the cache once, unsampled.
    sampled = machine.calls[WARMUPS * 2 :]
    assert sampled == ([("decode", "dense-cpu")] * 2 + [("decode", "sparq-cpu")] * 2) * 3
    assert [timing.read_bandwidth_bytes_per_s for timing in timings] == [None, None]


def test_warmups_are_not_sampled(machine: Machine) -> None:
    machine.seconds["dense-cpu"] = [9.0] * WARMUPS + [0.1]
    dense, _ = rounds(machine, "cold").time(CONTENDERS, three_samples)
    assert WARMUPS >= 1
    assert dense.samples_s == pytest.approx((0.1,) * 3)


def test_a_warm_sample_is_not_the_call_before_it(machine: Machine) -> None:
    machine.seconds["dense-cpu"] = [9.0] * WARMUPS + [7.0, 0.1, 7.0, 0.1, 7.0, 0.1, 99.0]
    dense, _ = rounds(machine, "warm").time(CONTENDERS, three_samples)
    assert dense.samples_s == pytest.approx((0.1,) * 3)


@pytest.mark.parametrize("cache_state", ["cold", "warm"])
def test_every_query_is_fresh(machine: Machine, cache_state: str) -> None:
    rounds(machine, cache_state).time(CONTENDERS, three_samples)
    assert len(machine.queries) >= 10
    assert {tuple(query.shape) for query in machine.queries} == {(2, 4, 32)}
    assert len({query.numpy().tobytes() for query in machine.queries}) == len(machine.queries)


@pytest.mark.parametrize("seq_len", [100, 9000])
def test_the_primer_is_a_small_cache_of_the_same_heads(machine: Machine, seq_len: int) -> None:
    shape = AttentionShape(2, seq_len, 4, 2, 32, "float32")
    Rounds(machine, machine.cache, shape, "cold", 7, clock=machine.clock)  # type: ignore[arg-type]
    assert machine.primer_shapes == [AttentionShape(1, min(seq_len, PRIMER_SEQ_LEN), 4, 2, 32, "float32")]
    assert machine.primer.k_layout == machine.cache.k_layout == "row_major"


def test_bandwidth_is_the_median_of_the_flushes(machine: Machine) -> None:
    timings = rounds(machine, "cold").time(CONTENDERS, three_samples)
    assert sorted(machine.rates) == [1e9, 1e9, 2e9, 2e9, 3e9, 3e9]
    assert [timing.read_bandwidth_bytes_per_s for timing in timings] == [2e9, 2e9]


def test_a_noisy_contender_keeps_all_sampling_until_the_timeout(machine: Machine) -> None:
    machine.seconds["sparq-cpu"] = [0.02, 0.04, 0.09] * 200

    def rule() -> StoppingRule:
        return StoppingRule(minimum_samples=9, minimum_time_s=0.0, timeout_s=20 * 101.2)

    dense, sparq = rounds(machine, "cold").time(CONTENDERS, rule)
    assert (dense.stop_reason, sparq.stop_reason) == ("noise", "timeout")
    assert len(dense.samples_s) == len(sparq.samples_s)
    # A round takes two flushes, two primers and two decodes: 101.1 s and a little.
    assert len(dense.samples_s) in (20, 21)


def test_a_contender_that_grows_noisy_again_is_not_done(machine: Machine) -> None:
    machine.seconds["dense-cpu"] = [0.1] * (WARMUPS + 3) + [0.5, 0.9, 0.1, 0.7] * 100
    machine.seconds["sparq-cpu"] = [0.02] * WARMUPS + [0.02, 0.04, 0.06] * 200

    def rule() -> StoppingRule:
        return StoppingRule(minimum_samples=3, minimum_time_s=0.0, timeout_s=3000.0)

    dense, sparq = rounds(machine, "cold").time(CONTENDERS, rule)
    assert (dense.stop_reason, sparq.stop_reason) == ("timeout", "timeout")


def test_on_round_is_told_of_each_round(machine: Machine) -> None:
    told: list[int] = []
    timings = rounds(machine, "cold").time([DENSE], three_samples, on_round=lambda: told.append(1))
    assert len(told) == len(timings[0].samples_s) == 3


def test_flushes_and_primers_are_outside_the_samples(machine: Machine) -> None:
    (dense,) = rounds(machine, "cold").time([DENSE], three_samples)
    assert max(dense.samples_s) < FLUSH_S


def test_the_machine_settles_between_warming_up_and_sampling(machine: Machine) -> None:
    rounds(machine, "cold").time(CONTENDERS, three_samples)
    assert machine.settled == [WARMUPS * 2]


def test_the_timer_is_told(machine: Machine) -> None:
    timings = rounds(machine, "cold").time(CONTENDERS, three_samples)
    assert [(timing.timer, timing.n_starved, timing.slowdowns) for timing in timings] == [("perf_counter", 0, {})] * 2


def test_samples_of_throttled_rounds_are_discarded_and_counted(machine: Machine) -> None:
    machine.seconds = {"dense-cpu": [0.0] * WARMUPS + [0.1, 7.0, 0.1, 8.0, 0.1], "sparq-cpu": [0.02]}
    machine.throttled = [(), ("heat",), (), ("heat", "power"), ()]
    dense, sparq = rounds(machine, "cold").time(CONTENDERS, three_samples)
    assert dense.samples_s == pytest.approx((0.1,) * 3)
    assert sparq.samples_s == pytest.approx((0.02,) * 3)
    assert dense.n_throttled == sparq.n_throttled == 2
    assert dense.slowdowns == sparq.slowdowns == {"heat": 2 / 5, "power": 1 / 5}


def test_where_every_round_is_throttled_the_samples_are_kept_to_be_judged(machine: Machine) -> None:
    machine.throttled = [("heat",)] * 1000

    def until_five_minutes() -> StoppingRule:
        return StoppingRule(minimum_samples=3, minimum_time_s=0.0, timeout_s=300.0)

    (dense,) = rounds(machine, "cold").time([DENSE], until_five_minutes)
    assert dense.slowdowns == {"heat": 1.0}
    assert dense.n_throttled == 0
    assert len(dense.samples_s) >= 3
