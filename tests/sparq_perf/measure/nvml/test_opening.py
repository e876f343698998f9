"""NVML's different ways not to be there, and finding the right device."""

import sys
from collections.abc import Callable
from typing import Any

import pynvml as binding
import pytest

from sparq_perf.measure.instruments import ask_nvml, nvml_instrument
from sparq_perf.measure.nvml import NvmlGpu, first_gpu_state, open_gpu
from sparq_perf.records.gpu_state import GpuState
from sparq_perf.records.reading import Absence

LIBRARY_MISSING = Absence(kind="library_missing", detail="nvidia-ml-py is not installed")
DRIVER_MISSING = Absence(kind="driver_missing", detail="libnvidia-ml.so.1 was not found on this machine")


def without_library(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


def without_driver(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(binding, "nvmlLib", None)
    monkeypatch.setattr(binding, "CDLL", load)


def answering(function: str, code: int) -> Callable[[Any, pytest.MonkeyPatch], None]:
    def spoil(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        driver.codes[function] = code

    return spoil


STARTS = [
    (without_library, LIBRARY_MISSING),
    (without_driver, DRIVER_MISSING),
    (
        answering("nvmlInitWithFlags", 9),
        Absence(kind="driver_missing", detail="NVML did not start: Driver Not Loaded"),
    ),
    (
        answering("nvmlInitWithFlags", 18),
        Absence(kind="failed", detail="NVML did not start: RM has detected an NVML/RM version mismatch."),
    ),
    (
        answering("nvmlInitWithFlags", 4),
        Absence(kind="no_permission", detail="NVML did not start: Insufficient Permissions"),
    ),
]


@pytest.mark.parametrize(("spoil", "absence"), STARTS)
def test_nvml_that_does_not_start(
    driver: Any, monkeypatch: pytest.MonkeyPatch, spoil: Callable[..., None], absence: Absence
) -> None:
    spoil(driver, monkeypatch)
    assert open_gpu("GPU-1234") == absence
    assert first_gpu_state() == GpuState.missing(absence)
    instrument = ask_nvml()
    assert (instrument.available, instrument.reason) == (False, str(absence))
    assert instrument == nvml_instrument(absence)


def test_a_healthy_gpu_is_found(driver: Any) -> None:
    gpu = open_gpu("GPU-1234")
    assert isinstance(gpu, NvmlGpu)
    instrument = nvml_instrument(gpu)
    assert (gpu.uuid, gpu.driver, gpu.sliced, gpu.sm_clock_hz()) == ("GPU-1234", "580.65.06", False, 1.755e9)
    assert (instrument.available, instrument.detail) == (True, "driver 580.65.06, GPU-1234")
    assert driver.n_started == 1  # for as long as the process lives


@pytest.mark.parametrize(
    ("uuid", "code", "absence"),
    [
        ("GPU-9", 0, Absence(kind="no_device", detail="NVML sees no GPU GPU-9")),
        ("MIG-9", 0, Absence(kind="no_device", detail="NVML sees no GPU MIG-9")),
        (
            "GPU-1234",
            4,
            Absence(
                kind="no_permission",
                detail="the GPU GPU-1234: nvmlDeviceGetHandleByUUID: Insufficient Permissions",
            ),
        ),
        ("GPU-1234", 15, Absence(kind="gpu_lost", detail="the GPU GPU-1234: nvmlDeviceGetHandleByUUID: GPU is lost")),
    ],
)
def test_a_gpu_that_nvml_does_not_give(driver: Any, uuid: str, code: int, absence: Absence) -> None:
    if code:
        driver.codes["nvmlDeviceGetHandleByUUID"] = code
    assert open_gpu(uuid) == absence
    assert driver.n_started == 0


def test_torch_that_does_not_tell_the_uuid(driver: Any) -> None:
    assert open_gpu(None) == Absence(
        kind="not_supported", detail="torch does not tell the GPU's UUID: NVML cannot be asked for the same one"
    )


def test_a_slice_whose_uuid_torch_took_for_a_gpu(driver: Any) -> None:
    driver.uuids = ["GPU-1234", "MIG-5678"]
    gpu = open_gpu("GPU-5678")
    assert isinstance(gpu, NvmlGpu)
    assert (gpu.uuid, gpu.sliced) == ("MIG-5678", True)
    assert nvml_instrument(gpu).detail == (
        "driver 580.65.06, MIG-5678: partitioned (MIG), its power, energy and clocks are not told"
    )


def test_a_driver_without_mig_is_not_partitioned(driver: Any) -> None:
    driver.lacks = {"nvmlDeviceGetMigMode"}
    gpu = open_gpu("GPU-1234")
    assert isinstance(gpu, NvmlGpu)
    assert not gpu.sliced


def test_a_gpu_that_may_be_partitioned_is_not_trusted(driver: Any) -> None:
    driver.codes["nvmlDeviceGetMigMode"] = 10
    absence = Absence(kind="failed", detail="MIG: nvmlDeviceGetMigMode: Timeout")
    assert open_gpu("GPU-1234") == absence
    assert first_gpu_state() == GpuState.missing(absence)
    assert driver.n_started == 0


def test_state_of_the_first_gpu(driver: Any) -> None:
    state = first_gpu_state()
    assert (state.power_instant_w.value, state.sm_clock_hz.value) == (412.0, 1.755e9)
    assert driver.n_started == 0


@pytest.mark.parametrize(
    ("function", "code", "absence"),
    [
        (None, 0, Absence(kind="no_device", detail="NVML sees no NVIDIA GPU")),
        (
            "nvmlDeviceGetCount",
            17,
            Absence(
                kind="no_permission",
                detail="the list of GPUs: nvmlDeviceGetCount: The operating system has blocked the request.",
            ),
        ),
    ],
)
def test_no_first_gpu(driver: Any, function: str | None, code: int, absence: Absence) -> None:
    if function:
        driver.codes[function] = code
    else:
        driver.uuids = []
    assert first_gpu_state() == GpuState.missing(absence)
    assert ask_nvml().reason == str(absence)
    assert driver.n_started == 0


def test_a_first_gpu_that_is_hidden(driver: Any) -> None:
    driver.codes["nvmlDeviceGetHandleByIndex"] = 4
    assert first_gpu_state().power_instant_w.absence == Absence(
        kind="no_permission", detail="the first GPU: nvmlDeviceGetHandleByIndex: Insufficient Permissions"
    )
