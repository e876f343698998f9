"""GPM on a simulated GPU whose counters are refreshed every 100 ms, through nvidia-ml-py's own structs."""

import ctypes
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pynvml
import pytest

from sparq_perf.measure.dram import DramSubject
from sparq_perf.measure.dram.gpm import LEAD_S, PAIRS, WINDOW_S, Gpm
from sparq_perf.measure.dram.subjects import DramCounts
from sparq_perf.records.reading import Absence, Reading

REFRESH_S = 0.1
MEMORY_CLOCK_HZ, BUS_BITS = 2619e6, 5120
PEAK = 3.35232e12  # 2619 MHz · 2 · 5120 bit / 8
SUCCESS, NOT_SUPPORTED, GPU_IS_LOST, NO_PERMISSION = 0, 3, 15, 4

Make = Callable[..., DramSubject]


class FakeGpu(ModuleType):
    """nvidia-ml-py as far as GPM goes, and NVML's GPU beside it; time and bytes are those of the calls made.

    Attributes:
        fails: NVML's return code, by function.
        metric_code: the return code within the answer; percent_is: the answer, where it is not what was moved.
        supported: whether the device has GPM.
        memory_clocks: read in turn, the last for ever.
        live: samples allocated and not freed; started: starts of NVML without a shutdown.
    """

    NVMLError = pynvml.NVMLError
    NVMLError_LibraryNotFound = pynvml.NVMLError_LibraryNotFound
    c_nvmlGpmMetricsGet_t = pynvml.c_nvmlGpmMetricsGet_t
    NVML_GPM_METRICS_GET_VERSION = pynvml.NVML_GPM_METRICS_GET_VERSION
    NVML_GPM_METRIC_DRAM_BW_UTIL = pynvml.NVML_GPM_METRIC_DRAM_BW_UTIL

    def __init__(self, calls: Any) -> None:
        super().__init__("pynvml")
        self.calls = calls
        self.fails: dict[str, int] = {}
        self.metric_code, self.supported = SUCCESS, 1
        self.percent_is: float | None = None
        self.memory_clocks = [MEMORY_CLOCK_HZ]
        self.uuid, self.driver, self.sliced = "GPU-1234", "580.1", False
        self.live: dict[int, tuple[float, float]] = {}
        self.started = self.allocated = 0
        self._history = [(0.0, 0.0)]
        take = calls._take

        def watched(name: str, moved: float, seconds: float) -> None:
            take(name, moved, seconds)
            if calls.now >= self._history[-1][0] + REFRESH_S:
                self._history.append((calls.now, calls.bytes))

        calls._take = watched

    # NVML's GPU, as `open_gpu` gives it.
    def read(self, names: tuple[str, ...]) -> dict[str, Reading[float]]:
        assert names == ("memory_clock_hz",)
        clocks = self.memory_clocks
        return {"memory_clock_hz": Reading.of(clocks.pop(0) if len(clocks) > 1 else clocks[0])}

    # The library.
    def _answer(self, name: str) -> None:
        if name in self.fails:
            raise pynvml.NVMLError(self.fails[name])

    def nvmlInit(self) -> None:
        self.started += 1

    def nvmlShutdown(self) -> None:
        self.started -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        assert uuid == self.uuid
        return "handle"

    def nvmlDeviceGetMemoryBusWidth(self, handle: str) -> int:
        return BUS_BITS

    def nvmlGpmQueryDeviceSupport(self, handle: str) -> Any:
        self._answer("nvmlGpmQueryDeviceSupport")
        return SimpleNamespace(isSupportedDevice=self.supported)

    def nvmlGpmSampleAlloc(self) -> Any:
        self.allocated += 1
        self.live[self.allocated] = (0.0, 0.0)
        return ctypes.cast(self.allocated, pynvml.c_nvmlGpmSample_t)

    def nvmlGpmSampleGet(self, handle: str, sample: Any) -> Any:
        self._answer("nvmlGpmSampleGet")
        self.live[address(sample)] = self._history[-1]
        return sample

    def nvmlGpmSampleFree(self, sample: Any) -> None:
        del self.live[address(sample)]

    def nvmlGpmMetricsGet(self, asked: Any) -> Any:
        self._answer("nvmlGpmMetricsGet")
        assert (asked.version, asked.numMetrics) == (1, 1)
        metric = asked.metrics[0]
        assert metric.metricId == 10
        (began, before), (ended, after) = self.live[address(asked.sample1)], self.live[address(asked.sample2)]
        metric.nvmlReturn = self.metric_code
        metric.value = 100 * (after - before) / (ended - began) / PEAK if self.percent_is is None else self.percent_is
        return asked


def address(sample: Any) -> int:
    return int(ctypes.cast(sample, ctypes.c_void_p).value or 0)


@pytest.fixture
def gpu(calls: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGpu]:
    gpu = FakeGpu(calls)
    monkeypatch.setitem(sys.modules, "pynvml", gpu)
    yield gpu
    assert (gpu.live, gpu.started) == ({}, 0)


@pytest.fixture
def gpm(gpu: FakeGpu, calls: Any) -> Gpm:
    return Gpm("GPU-1234", clock=lambda: calls.now, gpu=lambda uuid: gpu)  # type: ignore[arg-type, return-value]


def test_warm_calls(gpm: Gpm, calls: Any, subject: Make) -> None:
    found = gpm.count(subject(cache_state="warm"), calls)
    assert isinstance(found, DramCounts)
    assert found.total_bytes == pytest.approx(40e6, rel=1e-3)
    assert (found.read_bytes, found.write_bytes, found.kernels) == (None, None, ())
    assert "cool" not in calls.asked
    assert calls.now == pytest.approx(PAIRS * (LEAD_S + WINDOW_S), rel=0.01)


def test_cold_calls_without_their_flushes(gpm: Gpm, calls: Any, subject: Make) -> None:
    """256 MB a flush beside 40 MB a call: what is left is the call's."""
    found = gpm.count(subject(), calls)
    assert isinstance(found, DramCounts)
    assert found.total_bytes == pytest.approx(40e6, rel=0.01)
    assert calls.now == pytest.approx(2 * PAIRS * (LEAD_S + WINDOW_S), rel=0.01)
    # Never more than eight turns, of a flush and a call at most, ahead of the device.
    runs = "".join("w" if one == "wait" else "." for one in calls.asked).split("w")
    assert max(map(len, runs)) == 16


def test_a_call_lost_in_its_flush_has_no_figure(gpm: Gpm, calls: Any, subject: Make) -> None:
    """1 kB beside 256 MB, on flushes that vary by 0.1 %."""
    calls.call_bytes = 1e3
    exact, calls.cool_bytes = 256e6, 0.0
    cool, n = calls.cool, 0

    def varying() -> None:
        nonlocal n
        n += 1
        calls.cool_bytes = exact * (1 + 1e-3 * ((n // 9_000) % 3))
        cool()

    calls.cool = varying
    found = gpm.count(subject(), calls)
    assert isinstance(found, Absence)
    assert (found.kind, "differ too much" in found.detail) == ("failed", True)


def test_no_bytes_at_all(gpm: Gpm, gpu: FakeGpu, calls: Any, subject: Make) -> None:
    calls.call_bytes = 0.0
    found = gpm.count(subject(cache_state="warm"), calls)
    assert isinstance(found, Absence)
    assert found.kind == "no_change"


def test_the_share_is_of_the_bandwidth_at_the_clock_of_the_time(
    gpm: Gpm, gpu: FakeGpu, calls: Any, subject: Make
) -> None:
    """At half the clock the same percentage is half the bytes."""
    gpu.memory_clocks = [MEMORY_CLOCK_HZ / 2]
    found = gpm.count(subject(cache_state="warm"), calls)
    assert isinstance(found, DramCounts)
    assert found.total_bytes == pytest.approx(20e6, rel=1e-3)


def test_a_clock_that_changes_is_no_base(gpm: Gpm, gpu: FakeGpu, calls: Any, subject: Make) -> None:
    gpu.memory_clocks = [405e6, MEMORY_CLOCK_HZ]
    found = gpm.count(subject(cache_state="warm"), calls)
    assert isinstance(found, Absence)
    assert (found.kind, "memory clock changed" in found.detail) == ("failed", True)


@pytest.mark.parametrize(
    ("function", "code", "kind"),
    [
        ("nvmlGpmQueryDeviceSupport", NOT_SUPPORTED, "not_supported"),
        ("nvmlGpmSampleGet", NO_PERMISSION, "no_permission"),
        ("nvmlGpmSampleGet", GPU_IS_LOST, "gpu_lost"),
        ("nvmlGpmMetricsGet", NOT_SUPPORTED, "not_supported"),
    ],
)
def test_refusals(function: str, code: int, kind: str, gpm: Gpm, gpu: FakeGpu, calls: Any, subject: Make) -> None:
    gpu.fails[function] = code
    found = gpm.count(subject(cache_state="warm"), calls)
    assert isinstance(found, Absence)
    assert (found.kind, function in found.detail) == (kind, True)


def test_a_refusal_inside_the_answer(gpm: Gpm, gpu: FakeGpu, calls: Any, subject: Make) -> None:
    gpu.metric_code = NOT_SUPPORTED
    found = gpm.count(subject(cache_state="warm"), calls)
    assert isinstance(found, Absence)
    assert found.kind == "not_supported"


def test_an_answer_that_is_no_number(gpm: Gpm, gpu: FakeGpu, calls: Any, subject: Make) -> None:
    gpu.percent_is = float("nan")
    found = gpm.count(subject(cache_state="warm"), calls)
    assert isinstance(found, Absence)
    assert found.kind == "failed"


def test_before_hopper(gpm: Gpm, gpu: FakeGpu, calls: Any, subject: Make) -> None:
    gpu.supported = 0
    refusal = gpm.refusal()
    assert refusal is not None
    assert (refusal.kind, "before Hopper" in refusal.detail) == ("not_supported", True)
    assert gpm.count(subject(), calls) == refusal
    assert calls.asked == []


def test_a_slice_is_asked_nothing(gpm: Gpm, gpu: FakeGpu) -> None:
    """A sample of a partitioned GPU was seen to leave NVML's other functions unusable."""
    gpu.sliced = True
    gpu.fails["nvmlGpmQueryDeviceSupport"] = GPU_IS_LOST
    refusal = gpm.refusal()
    assert refusal is not None
    assert refusal.kind == "mig"


def test_probing(gpm: Gpm, calls: Any) -> None:
    assert gpm.refusal() is None
    assert gpm.detail == "NVML, driver 580.1"
    assert calls.asked == []


def test_no_nvml(calls: Any, subject: Make) -> None:
    missing = Absence(kind="driver_missing", detail="libnvidia-ml.so.1 was not found")
    gpm = Gpm("GPU-1", gpu=lambda uuid: missing)
    assert gpm.refusal() == gpm.count(subject(), calls) == missing
    assert gpm.detail is None
