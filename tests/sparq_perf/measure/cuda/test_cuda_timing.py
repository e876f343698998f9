"""Timing decode calls on a simulated GPU: what is queued in which order, and what the samples say."""

from typing import Any

import pytest
import torch

from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.cuda_machine import CudaMachine
from sparq_perf.measure.cuda_timing import buffers_wanted
from sparq_perf.measure.inputs import build_cache
from sparq_perf.measure.stopping import StoppingRule
from sparq_perf.measure.timing import WARMUPS, Rounds
from sparq_profiles import AttentionShape, SparqConfig

SHAPE = AttentionShape(2, 300, 4, 2, 32, "float16")
DENSE, SPARQ = Contender("dense-sdpa", None), Contender("sparq-torch", SparqConfig(8, 64))


def three_samples() -> StoppingRule:
    return StoppingRule(minimum_samples=3, minimum_time_s=0.0, timeout_s=1e9)


def time(machine: CudaMachine, gpu: Any, cache_state: str, *contenders: Contender) -> Any:
    rounds = Rounds(machine, build_cache(SHAPE, "two_copies", 1), SHAPE, cache_state, 7)  # type: ignore[arg-type]
    machine.settle = lambda work: gpu.queued.append("settled")  # type: ignore[method-assign]
    return rounds.time(contenders, three_samples)


def rounds_of(gpu: Any) -> list[str]:
    """What was queued after settling."""
    return gpu.queued[gpu.queued.index("settled") + 1 :]


def test_a_captured_call_is_replayed(machine: CudaMachine, gpu: Any) -> None:
    gpu.call_s = lambda contender, cache: 40e-6 if contender == DENSE else 9e-6
    dense, sparq = time(machine, gpu, "cold", DENSE, SPARQ)
    assert (dense.timer, sparq.timer) == ("cuda_graph", "cuda_graph")
    assert dense.samples_s == pytest.approx((40e-6,) * 3)
    assert sparq.samples_s == pytest.approx((9e-6,) * 3)
    assert (dense.n_starved, sparq.n_starved) == (0, 0)
    # Eagerly it never ran: once for the capture, and then only as a graph.
    assert "dense-sdpa" not in gpu.queued


def test_cold_samples_come_after_a_read_of_the_flush(machine: CudaMachine, gpu: Any) -> None:
    timings = time(machine, gpu, "cold", DENSE, SPARQ)
    flush = ["block", "event", "flush", "event"]
    assert rounds_of(gpu) == [
        *flush, "block", "event", "replay dense-sdpa", "event",
        *flush, "block", "event", "replay sparq-torch", "event",
    ] * 3  # fmt: skip
    assert [timing.read_bandwidth_bytes_per_s for timing in timings] == pytest.approx([0.95 * 3e12] * 2)


def test_warm_samples_come_after_the_same_call(machine: CudaMachine, gpu: Any) -> None:
    timings = time(machine, gpu, "warm", DENSE, SPARQ)
    assert rounds_of(gpu) == [
        "replay dense-sdpa", "block", "event", "replay dense-sdpa", "event",
        "replay sparq-torch", "block", "event", "replay sparq-torch", "event",
    ] * 3  # fmt: skip
    assert [timing.read_bandwidth_bytes_per_s for timing in timings] == [None, None]


@pytest.mark.parametrize("cache_state", ["cold", "warm"])
@pytest.mark.parametrize("refusal", [None, "it waits"])
def test_every_call_finds_a_query_of_its_own(
    machine: CudaMachine, gpu: Any, cache_state: str, refusal: str | None
) -> None:
    gpu.refusal = refusal
    time(machine, gpu, cache_state, DENSE, SPARQ)
    # Calls that prepare a lane find the query of the stopwatch; all others one that no call has seen.
    calls = gpu.seen_queries[-2 * 3 * (1 if cache_state == "cold" else 2) :]
    assert {tuple(query.shape) for query in calls} == {(2, 4, 32)}
    assert len({query.numpy().tobytes() for query in calls}) == len(calls)


@pytest.mark.parametrize(
    ("kv_bytes", "l2_bytes", "free_bytes", "wanted"),
    [
        (100e6, 50e6, 70e9, 1),  # twice the L2: the cache itself pushes its beginning out
        (99e6, 50e6, 70e9, 3),
        (34e6, 50e6, 70e9, 4),
        (1e6, 50e6, 70e9, 4),  # never more
        (34e6, 50e6, 300e6, 3),  # two copies fit into a quarter
        (34e6, 50e6, 0.0, 1),
        (34e6, None, 70e9, 1),
    ],
)
def test_how_many_caches_are_taken_in_turn(
    kv_bytes: float, l2_bytes: float | None, free_bytes: float, wanted: int
) -> None:
    assert buffers_wanted(kv_bytes, l2_bytes, free_bytes) == wanted


def test_cold_samples_take_several_caches_in_turn_and_warm_ones_the_same(machine: CudaMachine, gpu: Any) -> None:
    (cold,) = time(machine, gpu, "cold", DENSE)
    assert cold.n_buffers == 4  # 154 KB in an L2 of 262 KB
    one, two, three = (id(cache) for cache in gpu.seen_caches[-3:])
    assert len({one, two, three}) == 3
    assert len({cache.keys.data_ptr() for cache in gpu.seen_caches[-3:]}) == 3
    gpu.seen_caches.clear()
    (warm,) = time(machine, gpu, "warm", DENSE)
    assert warm.n_buffers == 1
    assert len({id(cache) for cache in gpu.seen_caches[-6:]}) == 1


def test_warming_up(machine: CudaMachine, gpu: Any) -> None:
    time(machine, gpu, "cold", DENSE)
    before = gpu.queued[: gpu.queued.index("settled")]
    assert before[-WARMUPS:] == ["replay dense-sdpa"] * WARMUPS


def test_a_call_that_cannot_be_captured_is_timed_itself(machine: CudaMachine, gpu: Any) -> None:
    gpu.refusal = "called a synchronizing operation"
    (dense,) = time(machine, gpu, "cold", DENSE)
    assert dense.timer == "cuda_events"
    assert dense.samples_s == pytest.approx((40e-6,) * 3)
    assert dense.n_starved == 0
    assert rounds_of(gpu)[4:][:6] == ["block", "event", *["dense-sdpa"] * 3, "event"]
    notes = [text for text in gpu.queued if "CUDA graph" in text]
    assert notes == ["dense-sdpa is timed call by call: a CUDA graph cannot hold it: called a synchronizing operation"]


def test_the_same_note_is_made_once(machine: CudaMachine, gpu: Any) -> None:
    gpu.refusal = "no"
    for _ in range(2):
        time(machine, gpu, "cold", DENSE)
        gpu.queued.remove("settled")
    assert sum("CUDA graph" in text for text in gpu.queued) == 1


def test_samples_that_hold_host_time_are_counted(machine: CudaMachine, gpu: Any) -> None:
    gpu.refusal, gpu.waits = "it waits", {"sparq-torch"}
    dense, sparq = time(machine, gpu, "cold", DENSE, SPARQ)
    assert (dense.n_starved, sparq.n_starved) == (0, 3)


def test_memory_that_ends_while_capturing_is_told(machine: CudaMachine, gpu: Any) -> None:
    gpu.fails["sparq-torch"] = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
    with pytest.raises(torch.OutOfMemoryError):
        time(machine, gpu, "cold", DENSE, SPARQ)


def test_slowdowns_are_looked_for_every_round(machine: CudaMachine, gpu: Any, pynvml: Any) -> None:
    pynvml.reasons = [0x1, 0x40 | 0x4, 0x2]
    (dense,) = time(machine, gpu, "cold", DENSE)
    assert dense.slowdowns == {"software power cap": 0.25, "hardware thermal slowdown": 0.25}
    assert (dense.n_throttled, len(dense.samples_s)) == (1, 3)
