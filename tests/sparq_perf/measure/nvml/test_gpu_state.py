"""One look at a GPU: every value by hand from what the driver's C functions gave, or the typed reason for none."""

from collections.abc import Callable
from typing import Any

import pynvml as binding
import pytest

from sparq_perf.measure.nvml import NvmlGpu
from sparq_perf.records.gpu_state import GpuState
from sparq_perf.records.reading import Absence

HEALTHY = {
    "power_instant_w": 412.0,
    "power_average_w": 398.5,
    "power_limit_w": 700.0,
    "energy_counter_j": 81_234.567,
    "sm_clock_hz": 1.755e9,
    "memory_clock_hz": 2.619e9,
    "sm_clock_max_hz": 1.98e9,
    "memory_clock_max_hz": 2.619e9,
    "temperature_c": 54.0,
    "temperature_margin_c": 33.0,
    "gpu_utilisation": 0.97,
    "memory_utilisation": 0.61,
    "memory_used_bytes": 12_345_678_336,
    "slowdowns": (),
    "power_violation_s": 2.5,
    "thermal_violation_s": 0.0,
    "ecc_enabled": True,
    "ecc_corrected": 3,
    "ecc_uncorrected": 1,
    "mig_enabled": False,
}


def values_of(state: GpuState) -> dict[str, Any]:
    return {name: getattr(state, name).value for name in GpuState.model_fields}


def kinds_of(state: GpuState) -> dict[str, str]:
    """Kind of each absence; only those that there are."""
    answers = {name: getattr(state, name).absence for name in GpuState.model_fields}
    return {name: absence.kind for name, absence in answers.items() if absence}


def test_healthy_h100(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    state = opened().state()
    assert set(GpuState.model_fields) == set(HEALTHY)
    for name, value in HEALTHY.items():
        assert getattr(state, name).value == (pytest.approx(value) if isinstance(value, float) else value), name
    assert kinds_of(state) == {}
    # Power of the GPU alone (scope 0), and all fields in one call.
    assert driver.fields_asked == [(186, 0), (185, 0), (74, 0), (75, 0)]
    assert driver.asked.count("nvmlDeviceGetFieldValues") == 1
    assert GpuState.model_validate_json(state.model_dump_json()) == state


def test_geforce_without_scoped_power(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    driver.fields = {74: (3, 0), 75: (3, 0)}
    driver.codes = dict.fromkeys(("nvmlDeviceGetEccMode", "nvmlDeviceGetTotalEccErrors", "nvmlDeviceGetMigMode"), 3)
    state = opened().state()
    assert state.power_instant_w.absence == Absence(
        kind="not_supported", detail="instant power: NVML_FI_DEV_POWER_INSTANT: Not Supported"
    )
    assert state.power_average_w.value == 398.5
    assert kinds_of(state) == dict.fromkeys(
        ("power_instant_w", "ecc_enabled", "ecc_corrected", "ecc_uncorrected", "mig_enabled"), "not_supported"
    )
    assert state.ecc_enabled.absence == Absence(kind="not_supported", detail="ECC: nvmlDeviceGetEccMode: Not Supported")


def test_old_driver(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    """One that lacks functions, and one whose field values are no use: their older ways answer."""
    driver.lacks = {
        "nvmlDeviceGetFieldValues",
        "nvmlDeviceGetMarginTemperature",
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetTotalEnergyConsumption",
    }
    driver.reasons = 0x40
    state = opened().state()
    assert state.power_average_w.value == 398.5
    assert (state.power_violation_s.value, state.thermal_violation_s.value) == (4.0, 0.007)
    assert state.temperature_margin_c.value == 85 - 54  # the nearer of 85 and 89
    assert state.slowdowns.value == ("hardware thermal slowdown",)
    assert kinds_of(state) == {"power_instant_w": "not_supported", "energy_counter_j": "not_supported"}
    assert str(state.energy_counter_j.absence) == (
        "not supported: energy counter: nvmlDeviceGetTotalEnergyConsumption: Function Not Found"
    )


def test_old_binding(opened: Callable[[], NvmlGpu], driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nvmlDeviceGetMarginTemperature", "nvmlDeviceGetTemperatureV1", "NVML_FI_DEV_POWER_INSTANT"):
        monkeypatch.delattr(binding, name, raising=False)
    gpu = opened()
    assert gpu.read(["temperature_c", "temperature_margin_c"])["temperature_margin_c"].value == 31
    instant = gpu.read(["power_instant_w"])["power_instant_w"].absence
    assert instant == Absence(
        kind="not_supported", detail="instant power: this nvidia-ml-py has no NVML_FI_DEV_POWER_INSTANT"
    )
    driver.lacks = {"nvmlDeviceGetTemperature"}
    assert str(gpu.state().temperature_c.absence) == (
        "not supported: temperature: this nvidia-ml-py has no nvmlDeviceGetTemperatureV1"
    )


def test_new_driver_without_the_old_temperature(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    if not hasattr(binding, "nvmlDeviceGetTemperatureV1"):
        pytest.skip("this nvidia-ml-py has no nvmlDeviceGetTemperatureV1")
    driver.codes = {"nvmlDeviceGetTemperature": 26}
    assert opened().state().temperature_c.value == 54


@pytest.mark.parametrize(
    ("thresholds", "margin"),
    [({1: 89, 3: 85}, 31.0), ({1: 89}, 35.0), ({3: 50}, -4.0)],
)
def test_margin_from_thresholds(
    opened: Callable[[], NvmlGpu], driver: Any, thresholds: dict[int, int], margin: float
) -> None:
    driver.codes, driver.thresholds = {"nvmlDeviceGetMarginTemperature": 3}, thresholds
    assert opened().state().temperature_margin_c.value == margin


def test_no_margin_at_all(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    driver.codes, driver.thresholds = {"nvmlDeviceGetMarginTemperature": 25}, {}
    assert opened().state().temperature_margin_c.absence == Absence(
        kind="not_supported",
        detail="margin to slowdown: nvmlDeviceGetMarginTemperature: Argument version mismatch",
    )


def test_permission_denied(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    driver.fields[186] = driver.fields[74] = 4
    driver.codes = {
        "nvmlDeviceGetTotalEnergyConsumption": 4,
        "nvmlDeviceGetViolationStatus": 4,
        "nvmlDeviceGetTemperature": 17,  # blocked by the operating system
    }
    state = opened().state()
    assert kinds_of(state) == dict.fromkeys(
        ("power_instant_w", "energy_counter_j", "power_violation_s", "temperature_c"), "no_permission"
    )
    assert state.power_instant_w.absence is not None
    assert state.power_instant_w.absence.detail.endswith("NVML_FI_DEV_POWER_INSTANT: Insufficient Permissions")
    assert state.power_average_w.value == 398.5


def test_a_slice_has_its_memory_only(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    """NVML answers about a slice with the whole GPU's power here, as some drivers do: it must not be asked."""
    driver.uuids = ["MIG-5678"]
    gpu = opened()
    driver.asked.clear()
    state = gpu.state()
    assert (state.memory_used_bytes.value, state.mig_enabled.value) == (5_000_000_000, True)
    assert kinds_of(state) == dict.fromkeys(set(HEALTHY) - {"memory_used_bytes", "mig_enabled"}, "mig")
    assert driver.asked == ["nvmlDeviceGetMemoryInfo"]
    assert (gpu.sm_clock_hz(), gpu.slowdowns(), gpu.sliced) == (None, (), True)
    assert gpu.energy_counter_j().absence == Absence(
        kind="mig", detail="energy_counter_j: NVML tells the whole GPU's only, and other slices share it"
    )


def test_a_partitioned_gpu_has_no_power_of_the_program_on_it(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    driver.mig_mode = 1
    state = opened().state()
    shared = (
        *("power_instant_w", "power_average_w", "energy_counter_j", "sm_clock_hz", "memory_clock_hz"),
        *("gpu_utilisation", "memory_utilisation", "slowdowns", "power_violation_s", "thermal_violation_s"),
    )
    assert kinds_of(state) == dict.fromkeys(shared, "mig")
    assert (state.temperature_c.value, state.power_limit_w.value, state.mig_enabled.value) == (54, 700, True)


def test_a_lost_gpu(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    gpu = opened()
    driver.lost = True
    assert kinds_of(gpu.state()) == dict.fromkeys(HEALTHY, "gpu_lost")
    assert gpu.sm_clock_hz() is None
    assert gpu.slowdowns() == ()
    assert str(gpu.energy_counter_j().absence) == (
        "gpu lost: energy counter: nvmlDeviceGetTotalEnergyConsumption: GPU is lost"
    )


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, "failed"),  # uninitialized
        (2, "failed"),  # invalid argument
        (3, "not_supported"),
        (4, "no_permission"),
        (9, "driver_missing"),
        (10, "failed"),  # timeout
        (13, "not_supported"),
        (15, "gpu_lost"),
        (16, "gpu_lost"),  # requires a reset
        (17, "no_permission"),
        (18, "failed"),  # driver and library of different versions
        (999, "failed"),
    ],
)
@pytest.mark.parametrize("of_a_field", [False, True])
def test_every_return_code_has_its_kind(
    opened: Callable[[], NvmlGpu], driver: Any, code: int, kind: str, of_a_field: bool
) -> None:
    driver.fields[186] = code
    driver.codes = {"nvmlDeviceGetEnforcedPowerLimit": code}
    name = "power_instant_w" if of_a_field else "power_limit_w"
    absence = opened().read([name])[name].absence
    assert absence is not None
    assert absence.kind == kind


@pytest.mark.parametrize(
    ("value_type", "member", "value", "watts"),
    [
        (0, "dVal", 1500.0, 1.5),
        (1, "uiVal", 412_000, 412.0),
        (2, "ulVal", 412_000, 412.0),
        (3, "ullVal", 5_000_000_000, 5e6),
        (4, "sllVal", 7000, 7.0),
        (5, "siVal", 7000, 7.0),
        (6, "usVal", 65_000, 65.0),
    ],
)
def test_a_field_is_read_as_its_type_says(
    opened: Callable[[], NvmlGpu],
    monkeypatch: pytest.MonkeyPatch,
    value_type: int,
    member: str,
    value: Any,
    watts: float,
) -> None:
    gpu = opened()

    def values(handle: Any, ids: list[tuple[int, int]]) -> Any:
        (filled,) = array = (binding.c_nvmlFieldValue_t * 1)()
        filled.value.ullVal = 2**64 - 1  # garbage around the member
        filled.valueType = value_type
        setattr(filled.value, member, value)
        return array

    monkeypatch.setattr(binding, "nvmlDeviceGetFieldValues", values)
    assert gpu.read(["power_instant_w"])["power_instant_w"].value == pytest.approx(watts)


def test_a_field_of_a_type_that_nobody_knows(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    driver.fields[186] = (42, 412_000)
    assert opened().read(["power_instant_w"])["power_instant_w"].absence == Absence(
        kind="failed", detail="instant power: NVML_FI_DEV_POWER_INSTANT: a value of the unknown type 42"
    )


def test_missing_is_missing_everywhere() -> None:
    state = GpuState.missing(Absence(kind="library_missing", detail="nvidia-ml-py is not installed"))
    assert kinds_of(state) == dict.fromkeys(HEALTHY, "library_missing")
    assert set(values_of(state).values()) == {None}
    assert GpuState.model_validate_json(state.model_dump_json()) == state
