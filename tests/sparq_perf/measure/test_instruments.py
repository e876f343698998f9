"""What a run says of the instruments that it could ask."""

import sys
from typing import Any

import pynvml
import pytest

from sparq_perf.measure.dram import cpu_rungs
from sparq_perf.measure.instruments import ask_instruments, ask_nvml, dram_instrument
from sparq_perf.records.dram import Rung
from sparq_perf.records.reading import Absence


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A driver with two GPUs; names of the functions called."""
    calls: list[str] = []

    def answering(name: str, value: Any) -> None:
        def call() -> Any:
            calls.append(name)
            return value

        monkeypatch.setattr(pynvml, name, call)

    answering("nvmlInit", None)
    answering("nvmlShutdown", None)
    answering("nvmlDeviceGetCount", 2)
    answering("nvmlSystemGetDriverVersion", "570.86.15")
    return calls


def refusing(code: int) -> Any:
    def call() -> None:
        raise pynvml.NVMLError(code)

    return call


@pytest.mark.parametrize(
    ("function", "code", "reason"),
    [
        ("nvmlInit", 12, "driver missing: libnvidia-ml.so.1 was not found on this machine"),
        ("nvmlInit", 9, "driver missing: NVML did not start: Driver Not Loaded"),
        ("nvmlDeviceGetCount", 15, "gpu lost: the list of GPUs: nvmlDeviceGetCount: GPU is lost"),
        (
            "nvmlSystemGetDriverVersion",
            4,
            "no permission: the driver's version: nvmlSystemGetDriverVersion: Insufficient Permissions",
        ),
    ],
)
def test_why_nvml_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, calls: list[str], function: str, code: int, reason: str
) -> None:
    monkeypatch.setattr(pynvml, function, refusing(code))
    nvml = ask_nvml()
    assert (nvml.available, nvml.reason) == (False, reason)
    # What was started is stopped, and nothing else is.
    assert ("nvmlInit" in calls) == ("nvmlShutdown" in calls)


def test_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert ask_nvml().reason == "library missing: nvidia-ml-py is not installed"


def test_without_a_device(monkeypatch: pytest.MonkeyPatch, calls: list[str]) -> None:
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 0)
    assert ask_nvml().reason == "no device: NVML sees no NVIDIA GPU"


def test_nvml_with_devices(calls: list[str]) -> None:
    nvml = ask_nvml()
    assert (nvml.available, nvml.reason, nvml.detail) == (True, None, "driver 570.86.15, 2 device(s)")
    assert calls == ["nvmlInit", "nvmlDeviceGetCount", "nvmlSystemGetDriverVersion", "nvmlShutdown"]


def test_every_instrument_answers_or_says_why(calls: list[str]) -> None:
    answers = {instrument.name: instrument.available for instrument in ask_instruments()}
    assert answers == {"nvml": True, "torch.profiler": True, "dram_counters": False}


NO_PROGRAM = Absence(kind="library_missing", detail="ncu is not installed")
NO_PERMISSION = Absence(kind="no_permission", detail="profiling is for administrators only")


def test_ways_of_counting_that_would_be_tried() -> None:
    rungs = (
        Rung(name="ncu", absence=NO_PROGRAM),
        Rung(name="cupti", detail="cupti-python 13.0"),
        Rung(name="gpm"),
    )
    found = dram_instrument(rungs)
    assert (found.available, found.detail) == (True, "cupti (cupti-python 13.0), then gpm")


def test_no_way_of_counting() -> None:
    rungs = (
        Rung(name="ncu", absence=NO_PROGRAM),
        Rung(name="cupti", absence=NO_PERMISSION),
        Rung(name="gpm", absence=NO_PERMISSION),
    )
    found = dram_instrument(rungs)
    assert not found.available
    assert found.reason == (
        "ncu: library missing: ncu is not installed; "
        "cupti: no permission: profiling is for administrators only; "
        "gpm: no permission: profiling is for administrators only"
    )


def test_one_reason_for_all_is_said_once() -> None:
    rungs = cpu_rungs()
    assert dram_instrument(rungs).reason == str(rungs[0].absence)
