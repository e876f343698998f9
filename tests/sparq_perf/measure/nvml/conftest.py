"""A simulated libnvidia-ml.so.1 under the real nvidia-ml-py.

Simulated one layer below Python, so that the binding's own argument order, structs, constants and error classes take
part: what the driver's C functions would fill in and return is scripted here.
"""

import ctypes
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pynvml as binding
import pytest

from sparq_perf.measure.nvml import NvmlGpu, open_gpu
from sparq_perf.measure.nvml.sampler import Sampler

GPU_UUID, MIG_UUID = "GPU-1234", "MIG-5678"
HANDLES = {GPU_UUID: 0x1000, MIG_UUID: 0x2000}
NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, FUNCTION_NOT_FOUND, GPU_IS_LOST = 3, 4, 6, 13, 15
UINT, ULL = 1, 3
WORDS = {25: b"Argument version mismatch", 26: b"Deprecated"}  # the binding knows the words of older codes itself


class Driver:
    """The library as a healthy H100 at work answers; tests change what differs.

    Attributes:
        codes: what functions return instead of success, by name.
        lacks: functions that this driver does not have.
        fields: type and value of each field, or its own return code.
        lost: the GPU fell off the bus.
        asked: names of the functions called; fields_asked: ids and scopes of field values.
    """

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.lacks: set[str] = set()
        self.lost = False
        self.asked: list[str] = []
        self.fields_asked: list[tuple[int, int]] = []
        self.n_started = 0
        self.uuids = [GPU_UUID]
        self.mig_mode = 0
        self.fields: dict[int, tuple[int, int] | int] = {
            186: (UINT, 412_000),
            185: (UINT, 398_500),
            74: (ULL, 2_500_000_000),
            75: (ULL, 0),
        }
        self.energy_mj = 81_234_567
        self.clocks, self.max_clocks = {1: 1755, 2: 2619}, {1: 1980, 2: 2619}
        self.temperature, self.margin = 54, 33
        self.thresholds = {1: 89, 3: 85}
        self.reasons = 0
        self.ecc_errors = {0: 3, 1: 1}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name == "nvmlErrorString":
            return lambda code: WORDS[code]
        fill = type(self).__dict__.get("_" + name.removesuffix("_v2"))
        if fill is None or name.removesuffix("_v2") in self.lacks:
            raise AttributeError(name)

        def call(*arguments: Any) -> int:
            return self._call(name.removesuffix("_v2"), fill, arguments)

        return call

    def _call(self, name: str, fill: Callable[..., int | None], arguments: tuple[Any, ...]) -> int:
        self.asked.append(name)
        if self.lost and name.startswith("nvmlDeviceGet"):
            return GPU_IS_LOST
        if name in self.lacks:  # the binding keeps what it has found once
            return FUNCTION_NOT_FOUND
        if name in self.codes:
            return self.codes[name]
        return fill(self, *arguments) or 0

    def _nvmlInitWithFlags(self, flags: int) -> None:
        self.n_started += 1

    def _nvmlShutdown(self) -> None:
        self.n_started -= 1

    def _nvmlSystemGetDriverVersion(self, text: Any, length: Any) -> None:
        text.value = b"580.65.06"

    def _nvmlDeviceGetCount(self, out: Any) -> None:
        put(out, len(self.uuids))

    def _nvmlDeviceGetHandleByIndex(self, index: Any, out: Any) -> None:
        point(out, HANDLES[self.uuids[index.value]])

    def _nvmlDeviceGetHandleByUUID(self, uuid: Any, out: Any) -> int | None:
        if uuid.value.decode() not in self.uuids:
            return NOT_FOUND
        point(out, HANDLES[uuid.value.decode()])
        return None

    def _nvmlDeviceGetUUID(self, handle: Any, text: Any, length: Any) -> None:
        text.value = next(uuid for uuid, address in HANDLES.items() if address == address_of(handle)).encode()

    def _nvmlDeviceGetFieldValues(self, handle: Any, count: Any, values: Any) -> int | None:
        for value in values._obj:
            self.fields_asked.append((value.fieldId, value.scopeId))
            told = self.fields.get(value.fieldId, NOT_SUPPORTED)
            if isinstance(told, int):
                value.nvmlReturn = told
                value.value.ullVal = 0xDEAD_BEEF  # undefined, as nvml.h says
                continue
            value.nvmlReturn, value.valueType = 0, told[0]
            # The rest of the union is what the stack held before.
            value.value.ullVal = 0x1234_5678_0000_0000 | told[1] if told[0] == UINT else told[1]
        return None

    def _nvmlDeviceGetPowerUsage(self, handle: Any, out: Any) -> None:
        put(out, 398_500)

    def _nvmlDeviceGetEnforcedPowerLimit(self, handle: Any, out: Any) -> None:
        put(out, 700_000)

    def _nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, out: Any) -> None:
        put(out, self.energy_mj)

    def _nvmlDeviceGetClockInfo(self, handle: Any, which: Any, out: Any) -> None:
        put(out, self.clocks[which.value])

    def _nvmlDeviceGetMaxClockInfo(self, handle: Any, which: Any, out: Any) -> None:
        put(out, self.max_clocks[which.value])

    def _nvmlDeviceGetTemperature(self, handle: Any, sensor: Any, out: Any) -> None:
        assert sensor.value == 0
        put(out, self.temperature)

    def _nvmlDeviceGetTemperatureV(self, handle: Any, out: Any) -> None:
        assert out._obj.sensorType == 0
        out._obj.temperature = self.temperature

    def _nvmlDeviceGetMarginTemperature(self, handle: Any, out: Any) -> None:
        out._obj.marginTemperature = self.margin

    def _nvmlDeviceGetTemperatureThreshold(self, handle: Any, which: Any, out: Any) -> int | None:
        if which.value not in self.thresholds:
            return NOT_SUPPORTED
        put(out, self.thresholds[which.value])
        return None

    def _nvmlDeviceGetUtilizationRates(self, handle: Any, out: Any) -> None:
        out._obj.gpu, out._obj.memory = 97, 61

    def _nvmlDeviceGetMemoryInfo(self, handle: Any, out: Any) -> None:
        out._obj.used = 5_000_000_000 if address_of(handle) == HANDLES[MIG_UUID] else 12_345_678_336

    def _nvmlDeviceGetCurrentClocksEventReasons(self, handle: Any, out: Any) -> None:
        put(out, self.reasons)

    def _nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Any, out: Any) -> None:
        put(out, self.reasons)

    def _nvmlDeviceGetViolationStatus(self, handle: Any, policy: Any, out: Any) -> None:
        out._obj.violationTime = {0: 4_000_000_000, 1: 7_000_000}[policy.value]

    def _nvmlDeviceGetEccMode(self, handle: Any, current: Any, pending: Any) -> None:
        put(current, 1)
        put(pending, 0)

    def _nvmlDeviceGetTotalEccErrors(self, handle: Any, kind: Any, counter: Any, out: Any) -> None:
        assert counter.value == 0  # volatile
        put(out, self.ecc_errors[kind.value])

    def _nvmlDeviceGetMigMode(self, handle: Any, current: Any, pending: Any) -> None:
        put(current, self.mig_mode)
        put(pending, 0)


def put(reference: Any, value: int) -> None:
    """Write through a pointer to an integer."""
    reference._obj.value = value


def point(reference: Any, address: int) -> None:
    """Write through a pointer to a handle."""
    ctypes.cast(ctypes.pointer(reference._obj), ctypes.POINTER(ctypes.c_void_p))[0] = address


def address_of(handle: Any) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value


class Script:
    """Time that passes only while the sampler waits; before each sample something may happen to the GPU.

    Attributes:
        steps: what happens before the second sample, the third, and so on; the sampler is told to stop after them.
        rest_s: time from the last of these samples to the end.
    """

    def __init__(self, steps: list[Callable[[], None]], rest_s: float) -> None:
        self.steps, self.rest_s, self.now = steps, rest_s, 1000.0
        self.waited: list[float] = []

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        if not self.steps:
            self.now += self.rest_s
            return True
        self.waited.append(seconds)
        self.now += seconds
        self.steps.pop(0)()
        return False


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver()
    monkeypatch.setattr(binding, "nvmlLib", driver)
    monkeypatch.setattr(binding, "_nvmlLib_refcount", 0)
    monkeypatch.setattr(binding, "_nvmlGetFunctionPointer_cache", {})
    return driver


@pytest.fixture
def opened(driver: Driver) -> Callable[[], NvmlGpu]:
    """Opens the GPU, or the slice, as the driver is then."""

    def open_it() -> NvmlGpu:
        gpu = open_gpu(driver.uuids[0])
        assert isinstance(gpu, NvmlGpu), gpu
        return gpu

    return open_it


@pytest.fixture
def sample(opened: Callable[[], NvmlGpu]) -> Callable[..., Any]:
    """Samples the GPU while a script happens to it."""

    def run(*steps: Callable[[], None], interval_s: float = 0.1, rest_s: float = 0.0) -> Any:
        script = Script(list(steps), rest_s)
        began = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
        sampler = Sampler(opened(), interval_s, clock=script.clock, wait=script.wait, now=lambda: began)
        sampler.start()
        telemetry = sampler.stop()
        assert script.waited == [interval_s] * len(script.waited)
        return telemetry

    return run
