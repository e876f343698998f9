"""NVML's different ways not to be there, each with its own reason."""

import sys
from types import ModuleType

import pytest

from sparq_perf.measure.instruments import ask_instruments, ask_nvml, energy_reason


class FakeNvml(ModuleType):
    """pynvml as far as it is asked; `fails` maps a function to the error it raises."""

    class NVMLError(Exception):
        pass

    class NVMLError_LibraryNotFound(NVMLError):
        pass

    def __init__(self, count: int = 0, fails: dict[str, Exception] | None = None) -> None:
        super().__init__("pynvml")
        self.count, self.fails, self.calls = count, fails or {}, []

    def answer(self, name: str, value: object = None) -> object:
        self.calls.append(name)
        if name in self.fails:
            raise self.fails[name]
        return value

    def nvmlInit(self) -> object:
        return self.answer("init")

    def nvmlShutdown(self) -> object:
        return self.answer("shutdown")

    def nvmlDeviceGetCount(self) -> object:
        return self.answer("count", self.count)

    def nvmlSystemGetDriverVersion(self) -> object:
        return self.answer("driver", "570.86.15")


@pytest.mark.parametrize(
    ("fake", "reason"),
    [
        (None, "library missing: nvidia-ml-py is not installed"),
        (
            FakeNvml(fails={"init": FakeNvml.NVMLError_LibraryNotFound()}),
            "driver missing: libnvidia-ml.so.1 was not found on this machine",
        ),
        (FakeNvml(fails={"init": FakeNvml.NVMLError("Driver Not Loaded")}), "NVML did not start: Driver Not Loaded"),
        (FakeNvml(fails={"count": FakeNvml.NVMLError("GPU is lost")}), "NVML gave no device list: GPU is lost"),
        (FakeNvml(fails={"driver": FakeNvml.NVMLError("No Permission")}), "NVML gave no device list: No Permission"),
        (FakeNvml(count=0), "no device: NVML sees no NVIDIA GPU"),
    ],
)
def test_why_nvml_is_unavailable(monkeypatch: pytest.MonkeyPatch, fake: FakeNvml | None, reason: str) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    nvml = ask_nvml()
    assert not nvml.available
    assert nvml.reason == reason
    assert energy_reason(nvml) == f"NVML: {reason}"
    if fake is not None and "count" in fake.calls:
        assert fake.calls[-1] == "shutdown"


def test_nvml_with_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml(count=1)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    nvml = ask_nvml()
    assert nvml.available
    assert nvml.reason is None
    assert nvml.detail == "driver 570.86.15, 1 device(s)"
    assert fake.calls == ["init", "count", "driver", "shutdown"]
    assert energy_reason(nvml) == "measured on the CPU: NVML reads the energy of GPUs only"


def test_every_instrument_answers_or_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(count=2))
    answers = {instrument.name: instrument.available for instrument in ask_instruments()}
    assert answers == {"nvml": True, "torch.profiler": True, "dram_counters": False}
