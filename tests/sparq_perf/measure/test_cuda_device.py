"""The real thing, briefly: what the simulated GPU of the other tests takes for granted."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch

from sparq_perf.measure import cuda_machine, cuda_probes
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.correctness import TOLERANCE, largest_error
from sparq_perf.measure.cuda_driver import CaptureError, CudaDriver
from sparq_perf.measure.cuda_flush import CudaFlush
from sparq_perf.measure.cuda_lane import Lane
from sparq_perf.measure.cuda_machine import CudaMachine
from sparq_perf.measure.dram import DramSubject
from sparq_perf.measure.energy_pass import EnergyObserver, measure_idle
from sparq_perf.measure.inputs import Queries, build_cache
from sparq_perf.measure.machine import CalibrationGrid
from sparq_perf.measure.observing import Place, watch
from sparq_perf.measure.plan import Group
from sparq_perf.measure.profiling import ProfileObserver
from sparq_perf.measure.run import RunOptions, run_suite
from sparq_perf.measure.timing import Rounds
from sparq_perf.records.reading import Absence
from sparq_perf.records.store import read_lines
from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.suite import Suite

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason=f"torch {torch.__version__} sees no CUDA device"),
]

MIB = 2**20
SHAPE = AttentionShape(2, 2000, 8, 2, 64, "float16")
DENSE, SPARQ = Contender("dense-sdpa", None), Contender("sparq-torch", SparqConfig(16, 64, 16))


@pytest.fixture
def driver() -> CudaDriver:
    return CudaDriver()


@pytest.fixture
def machine() -> CudaMachine:
    return CudaMachine()


def test_facts(driver: CudaDriver) -> None:
    facts = driver.facts()
    assert facts.name
    assert facts.compute_capability >= (7, 0)
    assert facts.n_multiprocessors > 1
    assert facts.l2_bytes is None or facts.l2_bytes >= MIB
    assert 0 < driver.free_bytes() <= facts.memory_bytes
    assert facts.uuid is None or facts.uuid.startswith(("GPU-", "MIG-"))


def test_a_blocker_blocks(driver: CudaDriver) -> None:
    driver.block(1e-3)
    driver.synchronize()
    start, end = driver.event(), driver.event()
    start.record()
    driver.block(2e-3)
    end.record()
    assert not end.query()
    end.synchronize()
    # Made for a clock of 2 GHz: at a lower one it lasts longer, down to idle's.
    assert 1.8e-3 <= start.elapsed_time(end) * 1e-3 < 40e-3


def test_a_captured_call_reads_what_is_in_its_buffers_now(driver: CudaDriver) -> None:
    source, target = (torch.zeros(1000, device=driver.device) for _ in range(2))
    replay = driver.capture(lambda: torch.mul(source, 2, out=target))
    for value in (1.0, 3.0):
        source.fill_(value)
        replay()
        assert target.sum().item() == 2000 * value


def test_a_call_that_waits_cannot_be_captured_and_spoils_nothing(driver: CudaDriver) -> None:
    cell = torch.ones(1, device=driver.device)
    with pytest.raises(CaptureError, match="synchroniz"):
        driver.capture(lambda: cell.item())
    replay = driver.capture(lambda: cell.add_(1))
    before = cell.item()
    replay()
    assert cell.item() == before + 1
    driver.empty_cache()


def test_a_capture_that_fails_inside_restores_the_stream(driver: CudaDriver) -> None:
    stream = torch.cuda.current_stream()
    calls: list[int] = []

    def fails_when_captured() -> None:
        calls.append(1)
        if torch.cuda.is_current_stream_capturing():
            raise RuntimeError("not while capturing")

    with pytest.raises(CaptureError, match="not while capturing"):
        driver.capture(fails_when_captured)
    assert torch.cuda.current_stream() == stream
    assert torch.ones(3, device=driver.device).sum().item() == 3


def test_a_lane_times_the_device(driver: CudaDriver) -> None:
    lane = Lane(driver, lambda: driver.block(1e-3))
    timed = [lane.time() for _ in range(5)]
    assert not any(sample.starved for sample in timed)
    assert 0.9e-3 < median(sample.time_s for sample in timed) < 20e-3


def test_a_lane_sees_work_that_waits(driver: CudaDriver) -> None:
    cell = torch.ones(1, device=driver.device)
    assert Lane(driver, lambda: cell.item()).time().starved


def test_a_flush_makes_reads_slower(driver: CudaDriver) -> None:
    facts = driver.facts()
    size = min((facts.l2_bytes or 4 * MIB) // 4, 8 * MIB) // (64 * 1024) * (64 * 1024)
    data, flush = torch.ones(size // 4, device=driver.device), CudaFlush(driver)
    read = cuda_probes.read_rows
    lane = Lane(driver, driver.capture(lambda: read(data, 1)))

    def usual(before: Any) -> float:
        return median(lane.time(before).time_s for _ in range(15))

    assert usual(flush.queue) > 1.1 * usual(lane.launch)
    assert flush() > 10e9


def test_ceilings(machine: CudaMachine) -> None:
    hardware = machine.find_ceilings(lambda _: None)
    curve = [point.read_bandwidth_bytes_per_s for point in hardware.bandwidth_by_footprint]
    dram = hardware.memory_bandwidth_bytes_per_s.value
    assert 50e9 < dram < 20e12
    assert max(curve) < 100e12
    assert hardware.copy_bandwidth_bytes_per_s is not None
    assert 0.5 < hardware.copy_bandwidth_bytes_per_s.value / dram < 1.2
    assert 1e12 < hardware.peak_flop_per_s["float16"].value < 10e15
    assert 0.2e-6 < hardware.launch_latency_s.value < 20e-6


def test_environment(machine: CudaMachine) -> None:
    environment = machine.environment
    assert environment.device_kind == "gpu"
    assert environment.gpu is not None
    assert environment.gpu.cuda == torch.version.cuda
    assert isinstance(machine.slowdowns(), tuple)


def test_the_cache_is_the_one_that_a_cpu_has(machine: CudaMachine) -> None:
    here, there = build_cache(SHAPE, "two_copies", 3, machine.device), build_cache(SHAPE, "two_copies", 3)
    assert here.values.is_cuda
    for on_gpu, on_cpu in ((here.any_keys, there.any_keys), (here.values, there.values)):
        assert torch.equal(on_gpu.cpu(), on_cpu)
    queries = Queries(SHAPE, 5, machine.device)
    first, second = queries.draw(), queries.draw()
    assert first.is_cuda
    assert first.dtype == torch.float16
    assert not torch.equal(first, second)
    assert torch.equal(first, Queries(SHAPE, 5, machine.device).draw())


@pytest.mark.parametrize("contender", [DENSE, SPARQ])
def test_the_implementations_are_right(machine: CudaMachine, contender: Contender) -> None:
    error = largest_error(SHAPE, contender.config, contender.implementation, 1, machine.device)
    assert error <= TOLERANCE["float16"]


@pytest.mark.parametrize("cache_state", ["cold", "warm"])
def test_rounds(machine: CudaMachine, cache_state: Any) -> None:
    cache = build_cache(SHAPE, "two_copies", 1, machine.device)
    rounds = Rounds(machine, cache, SHAPE, cache_state, 2)
    for timing in rounds.time([DENSE, SPARQ], lambda: machine.pace.rule(1.0)):
        assert timing.timer == "cuda_graph"
        assert timing.n_starved == 0
        assert 1e-6 < median(timing.samples_s) < 10e-3
        assert (timing.read_bandwidth_bytes_per_s is None) == (cache_state == "warm")


def observed(machine: CudaMachine, observer: Any, contender: Contender) -> Any:
    """Fields of an observer's record; SHAPE's cache stays in the L2 of a large GPU."""
    place = Place(Group("tiny", SHAPE, "cold", "two_copies", (contender,), watched=True), contender)
    cache = build_cache(SHAPE, "two_copies", 1, machine.device)
    return watch(observer, place, machine.calls(cache, place, 2, replayed=observer.loop.replayed))


def test_steps(machine: CudaMachine, lines: Any) -> None:
    observer = ProfileObserver(machine.tracer(), lambda _: lines.prediction(1e-6, 2e-6, 3e-6), note=print)
    found = observed(machine, observer, SPARQ)
    assert found is not None, "the profiler saw no kernels: may this user watch them?"
    steps = found["steps"]
    assert {step.name for step in steps} >= {"score", "select", "gather"}
    assert 0 < math.fsum(step.time_s for step in steps) <= found["total_s"] * 1.001 < 50e-3
    assert found["span_s"] >= found["total_s"] * 0.999
    assert all(kernel.launches >= 1 for kernel in found["kernels"])
    assert len(found["call"]) >= 3


def test_energy(machine: CudaMachine) -> None:
    if isinstance(machine.nvml, Absence):
        pytest.skip(f"NVML: {machine.nvml}")
    state = machine.nvml.state()
    if state.power_average_w.value is None:
        pytest.skip(f"power: {state.power_average_w.absence}")
    idle = measure_idle(machine.nvml)
    found = observed(machine, EnergyObserver(machine.nvml, idle, machine.l2_bytes, False), DENSE)
    assert 1 < found["power_w"].value < 2000
    if found["counter_j"].value is not None and found["integral_j"].value is not None:
        assert found["counter_j"].value == pytest.approx(found["integral_j"].value, rel=0.25)
    assert found["n_calls"] > 1000
    assert len(found["telemetry"].times_s) > 20


def test_dram_bytes(machine: CudaMachine) -> None:
    shape = AttentionShape(8, 16384, 32, 8, 128, "float16")  # 1 GB: far beyond any L2
    subject = DramSubject("dense", shape, None, "two_copies", "cold", "dense-sdpa")
    place = Place(Group("big", shape, "cold", "two_copies", (DENSE,), watched=True), DENSE)

    @contextmanager
    def open_calls(_: DramSubject) -> Iterator[Any]:
        cache = build_cache(shape, "two_copies", 1, machine.device)
        yield machine.calls(cache, place, 2, replayed=True)

    ((_, reading),) = machine.dram.measure([subject], open_calls)
    if reading.source is None:
        pytest.skip(str(reading.total_bytes.absence))
    assert reading.total_bytes.value == pytest.approx(shape.kv_bytes, rel=0.1)


def test_a_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = tuple((1, seq_len, 8, 2, 64) for seq_len in (500, 900, 1500, 3000, 6000, 12_000))
    monkeypatch.setattr(cuda_machine, "CALIBRATION", CalibrationGrid(shapes, ((16, 96), (32, 192), (48, 384))))
    monkeypatch.setattr(cuda_machine, "PACE", replace(cuda_machine.PACE, timeout_s=1.0, attempts=1))
    grid = {
        "model": "tiny",
        "shape": {"n_heads": 8, "n_kv_heads": 2, "head_dim": 64},
        "seq_len": [4096],
        "configs": [{"rank": 16, "top_k": 64}],
    }
    suite = Suite.model_validate({"name": "t", "title": "Tiny", "device": "gpu", "dtype": "float16", "grids": [grid]})

    class Quiet:
        def start(self, total_s: float) -> None: ...
        def stage(self, text: str) -> None: ...
        def advance(self, seconds: float) -> None: ...
        def note(self, text: str) -> None: ...

    only = ("dense-sdpa", "sparq-torch")
    path, outcome = run_suite(RunOptions(suite, tmp_path, device="cuda", implementations=only), Quiet())
    assert outcome == "complete"
    measurements: list[Any] = [line for line in read_lines(path) if line.record == "measurement"]  # type: ignore[attr-defined]
    assert {m.implementation for m in measurements} == set(only)
    for m in measurements:
        assert m.status != "failed"
        assert m.timer == "cuda_graph"
        assert not any(reason.startswith(("wrong", "starved")) for reason in m.reasons)
