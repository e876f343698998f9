"""A GPU that is simulated: two clocks, the host's and the device's, and work that takes the time the test says.

Queueing costs the host `HOST_S`; the device does what is queued in order, and no sooner than it was queued. So work
that is queued too slowly starves the device here as it does on a real one.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from types import ModuleType, SimpleNamespace
from typing import Any

import pynvml as binding
import pytest
import torch
from torch.profiler import ProfilerActivity

from sparq_kernels import decode, find_implementation
from sparq_perf.measure import cuda_ceilings, cuda_flush, cuda_machine, cuda_probes, cuda_settling, cuda_timing
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.cuda_driver import CaptureError, CudaDriver, DeviceFacts
from sparq_perf.measure.cuda_machine import CudaMachine
from sparq_perf.measure.machine import CalibrationGrid
from sparq_perf.measure.tracing import Tracer

HOST_S = 5e-6
DRAM, L2, COPY = 3e12, 6e12, 2.8e12
L2_BYTES = 256 * 2**10
FACTS = DeviceFacts("NVIDIA H100 80GB HBM3 (simulated)", "GPU-1234", (9, 0), 132, L2_BYTES, 80 * 10**9, "13.0")


class FakeEvent:
    def __init__(self, gpu: "FakeCuda") -> None:
        self._gpu, self.at = gpu, 0.0

    def record(self) -> None:
        self._gpu.queued.append("event")
        self.at = self._gpu.queue(0.0)

    def query(self) -> bool:
        return self.at <= self._gpu.now

    def synchronize(self) -> None:
        self._gpu.now = max(self._gpu.now, self.at)

    def elapsed_time(self, end: "FakeEvent") -> float:
        return (end.at - self.at) * 1e3


class FakeCuda(CudaDriver):
    """A device whose tensors are the CPU's.

    Attributes:
        now, free_at: the host's clock, and when the device will have done all that is queued.
        queued: what was queued, by name.
        refusal: why no call can be captured, where none can.
        call_s: device time of a decode call, by implementation; n_launches: kernels that it consists of.
        waits: implementations whose call waits for the device inside.
        fails: what a decode call raises, by implementation.
        seen_queries, seen_caches: the query and the cache that each timed or untimed call found.
        profiled: whether the trace has kernels.
    """

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.now = self.free_at = 0.0
        self.queued: list[str] = []
        self.refusal: str | None = None
        self.call_s: Callable[[Contender, Any], float] = lambda contender, cache: 40e-6
        self.n_launches = 3
        self.waits: set[str] = set()
        self.fails: dict[str, Exception] = {}
        self.seen_queries: list[torch.Tensor] = []
        self.seen_caches: list[Any] = []
        self.described, self.free, self.profiled = FACTS, 70 * 10**9, True
        self.emptied = 0
        self._recorded: list[tuple[str, float]] | None = None
        self._during_replay: Callable[[], None] = lambda: None

    # What the simulation is made of.
    def queue(self, seconds: float) -> float:
        """Queue work; returns when the device will have done it."""
        self.now += HOST_S
        self.free_at = max(self.free_at, self.now) + seconds
        return self.free_at

    def work(self, name: str, seconds: float) -> None:
        if self._recorded is not None:
            self._recorded.append((name, seconds))
            return
        self.queued.append(name)
        self.queue(seconds)

    # The driver.
    def facts(self) -> DeviceFacts:
        return self.described

    def free_bytes(self) -> int:
        return self.free

    def empty_cache(self) -> None:
        self.emptied += 1

    def clock(self) -> float:
        return self.now

    def event(self) -> Any:
        return FakeEvent(self)

    def block(self, seconds: float) -> None:
        self.work("block", seconds)

    def synchronize(self) -> None:
        self.now = max(self.now, self.free_at)

    def capture(self, call: Callable[[], object]) -> Callable[[], None]:
        if self.refusal is not None:
            raise CaptureError(self.refusal)
        self._recorded, query = [], None
        try:
            call()
        finally:
            recorded, self._recorded = self._recorded, None
        query, self._during_replay = self._during_replay, lambda: None
        names, seconds = {name for name, _ in recorded}, sum(seconds for _, seconds in recorded)

        def replay() -> None:
            query()
            self.work(f"replay {' '.join(sorted(names))}", seconds)

        return replay

    def tracer(self) -> Any:
        """Traces the CPU, and adds a kernel of 7 µs launched in the middle of every step."""
        tracer = Tracer([ProfilerActivity.CPU])
        return SimpleNamespace(start=tracer.start, stop=lambda: self._with_kernels(dict(tracer.stop())))

    def _with_kernels(self, trace: dict[str, Any]) -> dict[str, Any]:
        steps = [event for event in trace["traceEvents"] if event.get("name", "").startswith("sparq::")]
        assert {event["cat"] for event in steps} == {"user_annotation"}
        for number, event in enumerate(steps if self.profiled else []):
            place = {"pid": event["pid"], "tid": event["tid"], "args": {"correlation": number}}
            middle = event["ts"] + event["dur"] / 2
            launch = {"ph": "X", "cat": "cuda_driver", "name": "cuLaunchKernelEx", "ts": middle, "dur": 0.1, **place}
            kernel = {"ph": "X", "cat": "kernel", "name": "k", "ts": middle + 9e3, "dur": 7.0}
            trace["traceEvents"] += [launch, {**kernel, "pid": 0, "tid": 7, "args": {"correlation": number}}]
        return trace

    # A decode call.
    def decode(self, query: torch.Tensor, cache: Any, config: Any, implementation: str) -> torch.Tensor:
        if implementation in self.fails:
            raise self.fails[implementation]
        seconds = self.call_s(Contender(implementation, config), cache)

        def look() -> None:
            self.seen_queries.append(query.clone())
            self.seen_caches.append(cache)

        self._during_replay = look
        if self._recorded is None:
            look()
        for _ in range(self.n_launches):
            if implementation in self.waits:
                self.synchronize()
            self.work(implementation, seconds / self.n_launches)
        return query


class FakePynvml(ModuleType):
    """nvidia-ml-py as far as a run asks it; ``reasons`` and ``clocks`` are given out in turn, the last for ever.

    Attributes:
        power_w: what the GPU draws, by its meter and its counter alike; None where it tells neither.
    """

    NVML_CLOCK_SM = 1

    NVMLError, NVMLError_LibraryNotFound = binding.NVMLError, binding.NVMLError_LibraryNotFound

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.reasons, self.clocks, self.uuids = [0], [1980], ["GPU-1234"]
        self.fails: dict[str, Exception] = {}
        self.power_w: float | None = None

    def _answer(self, name: str, values: list[Any]) -> Any:
        if name in self.fails:
            raise self.fails[name]
        return values.pop(0) if len(values) > 1 else values[0]

    def nvmlInit(self) -> None:
        self._answer("init", [None])

    def nvmlShutdown(self) -> None:
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid not in self.uuids:
            raise self.NVMLError(binding.NVML_ERROR_NOT_FOUND)
        return f"handle of {uuid}"

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.1"

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        if self.power_w is None:
            raise self.NVMLError(binding.NVML_ERROR_NOT_SUPPORTED)
        return int(self.power_w * 1e3)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        return int(self.nvmlDeviceGetPowerUsage(handle) * perf_counter())

    def nvmlDeviceGetClockInfo(self, handle: str, which: int) -> int:
        assert (handle, which) == ("handle of GPU-1234", self.NVML_CLOCK_SM)
        return int(self._answer("clock", self.clocks))

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:
        assert handle == "handle of GPU-1234"
        return int(self._answer("reasons", self.reasons))


@pytest.fixture
def pynvml(monkeypatch: pytest.MonkeyPatch) -> FakePynvml:
    library = FakePynvml()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    return library


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, pynvml: FakePynvml, tmp_path: Path) -> FakeCuda:
    """The device, small buffers, and probes that only take its time."""
    gpu = FakeCuda()

    def reader(share: float) -> Callable[[torch.Tensor, int], None]:
        def read(data: torch.Tensor, times: int) -> None:
            bandwidth = L2 if _bytes(data) <= L2_BYTES else DRAM
            gpu.work("read", _bytes(data) * times / (bandwidth * share))

        return read

    def copier(share: float) -> Callable[[torch.Tensor, torch.Tensor], None]:
        return lambda target, source: gpu.work("copy", 2 * _bytes(source) / (COPY * share))

    def flush(rows: torch.Tensor, sums: torch.Tensor) -> None:
        gpu.work("flush", _bytes(rows) / (0.95 * DRAM))

    def multiply(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        assert a.dtype == b.dtype == out.dtype
        gpu.work("multiply", 2 * a.shape[0] ** 3 / (800e12 if a.element_size() == 2 else 50e12))

    def touch(cell: torch.Tensor, times: int) -> None:
        for _ in range(times):
            gpu.work("touch", 1.25e-6)

    monkeypatch.setattr(cuda_probes, "READS", (reader(0.6), reader(1.0), reader(0.8)))
    monkeypatch.setattr(cuda_probes, "COPIES", (copier(1.0), copier(0.9)))
    for name, probe in {"read_flush": flush, "multiply": multiply, "touch": touch}.items():
        monkeypatch.setattr(cuda_probes, name, probe)
    monkeypatch.setattr(cuda_flush, "SMALLEST_BYTES", 2**20)
    monkeypatch.setattr(cuda_ceilings, "SMALLEST_BYTES", 64 * 2**10)
    monkeypatch.setattr(cuda_ceilings, "LARGEST_BYTES", 4 * 2**20)
    monkeypatch.setattr(cuda_ceilings, "LEAST_READ_BYTES", 2**20)
    monkeypatch.setattr(cuda_ceilings, "MATRIX_SIDES", dict.fromkeys(cuda_ceilings.MATRIX_SIDES, 64))
    monkeypatch.setattr(cuda_timing, "decode", gpu.decode)
    return gpu


@pytest.fixture
def machine(gpu: FakeCuda) -> Iterator[CudaMachine]:
    threads = torch.get_num_threads()
    yield CudaMachine(1, driver=gpu, note=gpu.queued.append)
    torch.set_num_threads(threads)


@pytest.fixture
def quick_gpu(gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """The device for whole runs: calls take what their bytes take, results are the real ones, calibration is short."""

    def seconds(contender: Contender, cache: Any) -> float:
        traffic = find_implementation(contender.implementation).traffic(cache.shape_for(4), contender.config)
        return sum(1.2 * step.moved_bytes / DRAM + 2e-6 for step in traffic.steps)

    fake_decode = gpu.decode

    def real_too(query: torch.Tensor, cache: Any, config: Any, implementation: str) -> torch.Tensor:
        fake_decode(query, cache, config, implementation)
        return decode(query, cache, config, implementation)

    gpu.call_s = seconds
    monkeypatch.setattr(cuda_machine, "gc", SimpleNamespace(collect=lambda: 0))  # 0.2 s, ten times a run
    monkeypatch.setattr(cuda_settling, "BETWEEN_READS_S", 1e-4)
    monkeypatch.setattr(cuda_settling, "LEAST_S", 5e-4)
    monkeypatch.setattr(cuda_timing, "decode", real_too)
    monkeypatch.setattr(cuda_machine, "CudaDriver", lambda: gpu)
    monkeypatch.setattr("sparq_perf.measure.machine.sees_gpu", lambda: True)
    shapes = tuple((1, seq_len, 4, 2, 32) for seq_len in (200, 300, 500, 700, 1100, 1500))
    monkeypatch.setattr(cuda_machine, "CALIBRATION", CalibrationGrid(shapes, ((8, 24), (16, 48), (24, 96))))
    quick = replace(
        cuda_machine.PACE,
        minimum_samples=9,
        minimum_time_s=0.0,
        calibration_samples=5,
        calibration_timeout_s=0.1,  # reached only where every round is throttled
    )
    monkeypatch.setattr(cuda_machine, "PACE", quick)
    return gpu
