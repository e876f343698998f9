"""What a GPU says of itself, when it has settled, and NVML's ways not to be there."""

import sys
from dataclasses import replace
from typing import Any

import pytest

from sparq_perf.measure.cuda_machine import CudaMachine
from sparq_perf.measure.cuda_settling import LEAST_S, MOST_S, WITHOUT_NVML_S, settle
from sparq_perf.measure.environment import usable_cores
from sparq_perf.measure.machine import choose_device
from sparq_perf.measure.nvml import NvmlGpu, open_gpu
from sparq_profiles import ConfigError, SparqPerfError


def test_environment(machine: CudaMachine) -> None:
    environment = machine.environment
    assert (environment.device, environment.device_kind) == ("NVIDIA H100 80GB HBM3 (simulated)", "gpu")
    gpu = environment.gpu
    assert gpu is not None
    assert (gpu.uuid, gpu.driver, gpu.compute_capability, gpu.cuda) == ("GPU-1234", "580.1", "9.0", "13.0")
    assert (gpu.n_multiprocessors, gpu.memory_bytes, gpu.l2_bytes) == (132, 80e9, 256 * 2**10)
    assert gpu.host
    assert (environment.n_threads, environment.n_cores) == (1, usable_cores())
    answers = {instrument.name: instrument.available for instrument in environment.instruments}
    assert answers == {"nvml": True, "torch.profiler": True, "dram_counters": False}
    assert environment.gpu_state is not None
    assert environment.gpu_state.sm_clock_hz.value == 1.98e9


def test_without_nvml(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    machine = CudaMachine(1, driver=gpu)
    assert machine.environment.gpu is not None
    assert machine.environment.gpu.driver is None
    assert str(machine.nvml) == "library missing: nvidia-ml-py is not installed"
    assert machine.slowdowns() == ()


@pytest.mark.parametrize("n_threads", [0, -1, 10**6])
def test_impossible_thread_counts(gpu: Any, n_threads: int) -> None:
    with pytest.raises(SparqPerfError, match=f"--threads is {n_threads}: this machine allows 1 to {usable_cores()}"):
        CudaMachine(n_threads, driver=gpu)


@pytest.mark.parametrize(
    ("code", "uuid", "reason"),
    [
        (12, "GPU-1234", "driver missing: libnvidia-ml.so.1 was not found on this machine"),
        (4, "GPU-1234", "no permission: NVML did not start: Insufficient Permissions"),
        (None, "GPU-9", "no device: NVML sees no GPU GPU-9"),
        (
            None,
            None,
            "not supported: torch does not tell the GPU's UUID: NVML cannot be asked for the same one",
        ),
    ],
)
def test_why_nvml_is_unavailable(gpu: Any, pynvml: Any, code: int | None, uuid: str | None, reason: str) -> None:
    if code is not None:
        pynvml.fails["init"] = pynvml.NVMLError(code)
    gpu.described = replace(gpu.described, uuid=uuid)
    machine = CudaMachine(1, driver=gpu)
    assert str(machine.nvml) == reason
    nvml = next(instrument for instrument in machine.environment.instruments if instrument.name == "nvml")
    assert (nvml.available, nvml.reason) == (False, reason)


@pytest.mark.parametrize(
    ("bits", "names"),
    [
        (0x0, ()),
        (0x1, ()),  # idle
        (0x2, ()),  # clocks that somebody set
        (0x10 | 0x100, ()),  # in step with other boards; a display
        (0x4, ("software power cap",)),
        (0x8 | 0x40, ("hardware slowdown", "hardware thermal slowdown")),
        (0x20 | 0x80, ("software thermal slowdown", "hardware power brake")),
    ],
)
def test_slowdowns(machine: CudaMachine, pynvml: Any, bits: int, names: tuple[str, ...]) -> None:
    pynvml.reasons = [bits]
    assert machine.slowdowns() == names


def test_slowdowns_by_their_old_name(machine: CudaMachine, pynvml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(type(pynvml), "nvmlDeviceGetCurrentClocksEventReasons")
    pynvml.nvmlDeviceGetCurrentClocksThrottleReasons = lambda handle: 0x40
    assert machine.slowdowns() == ("hardware thermal slowdown",)


def test_what_nvml_does_not_tell_is_not_known(machine: CudaMachine, pynvml: Any) -> None:
    pynvml.fails = {"reasons": pynvml.NVMLError(3), "clock": pynvml.NVMLError(3)}
    assert machine.slowdowns() == ()
    nvml = open_gpu("GPU-1234")
    assert isinstance(nvml, NvmlGpu)
    assert nvml.sm_clock_hz() is None


def settling_time(gpu: Any, clocks: list[int] | None, pynvml: Any) -> float:
    nvml = None
    if clocks is not None:
        pynvml.clocks = clocks
        nvml = open_gpu("GPU-1234")
    began = gpu.now
    settle(gpu, nvml, lambda: gpu.work("call", 1e-3))
    return float(gpu.now - began)


def test_a_flat_clock_is_enough(gpu: Any, pynvml: Any) -> None:
    assert LEAST_S <= settling_time(gpu, [1980], pynvml) < LEAST_S + 0.03
    assert gpu.queued.count("call") >= 100


def test_a_clock_that_ramps_up_is_waited_for(gpu: Any, pynvml: Any) -> None:
    ramp = [345 + 100 * n for n in range(16)]
    took = settling_time(gpu, [*ramp, 1980], pynvml)
    assert 0.02 * len(ramp) < took < MOST_S


def test_a_clock_that_never_settles_is_not_waited_for_for_ever(gpu: Any, pynvml: Any) -> None:
    assert MOST_S <= settling_time(gpu, [1000, 1980] * 100, pynvml) < MOST_S + 0.05


@pytest.mark.parametrize("told", [True, False])
def test_without_a_clock_a_fixed_time(gpu: Any, pynvml: Any, told: bool) -> None:
    pynvml.fails = {"clock": pynvml.NVMLError(3)}
    took = settling_time(gpu, [1980] if told else None, pynvml)
    assert WITHOUT_NVML_S <= took < WITHOUT_NVML_S + 0.03


def test_memory_is_given_back(machine: CudaMachine, gpu: Any) -> None:
    assert machine.memory_available_bytes() == gpu.free
    machine.release()
    assert gpu.emptied == 1


@pytest.mark.parametrize(
    ("asked", "meant_for", "there", "chosen"),
    [
        ("auto", "any", True, "cuda"),
        ("auto", "gpu", True, "cuda"),
        ("auto", "cpu", True, "cpu"),
        ("auto", "any", False, "cpu"),
        ("cpu", "gpu", True, "cpu"),
        ("cuda", "cpu", True, "cuda"),
    ],
)
def test_choosing_the_device(
    monkeypatch: pytest.MonkeyPatch, asked: str, meant_for: str, there: bool, chosen: str
) -> None:
    monkeypatch.setattr("sparq_perf.measure.machine.sees_gpu", lambda: there)
    assert choose_device(asked, meant_for) == chosen


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparq_perf.measure.machine.sees_gpu", lambda: False)
    with pytest.raises(ConfigError, match=r"--device is 'cuda': torch .* sees no CUDA device: use --device cpu"):
        choose_device("cuda")
    with pytest.raises(ConfigError, match="--device is 'tpu': choose auto, cpu or cuda"):
        choose_device("tpu")


def test_facts_without_a_uuid(gpu: Any) -> None:
    gpu.described = replace(gpu.described, uuid=None)
    machine = CudaMachine(1, driver=gpu)
    assert machine.environment.gpu is not None
    assert machine.environment.gpu.uuid is None
