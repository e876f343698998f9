"""Sampling in a thread while a script happens to the GPU; no time passes but the script's."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from sparq_perf.measure.nvml import NvmlGpu
from sparq_perf.measure.nvml import sampler as sampler_module
from sparq_perf.measure.nvml.sampler import Sampler
from sparq_perf.records.reading import Absence
from sparq_perf.records.telemetry import SERIES, Telemetry
from sparq_profiles import SparqPerfError

UINT, ULL = 1, 3


def setting(driver: Any, milliwatts: int, reasons: int = 0) -> Callable[[], None]:
    """A step in which power, the energy counter and what holds the clock down change."""

    def step() -> None:
        driver.fields[186] = (UINT, milliwatts)
        driver.energy_mj += milliwatts // 10
        driver.reasons = reasons

    return step


def test_columns(sample: Callable[..., Telemetry], driver: Any) -> None:
    driver.energy_mj = 1_000_000
    telemetry = sample(setting(driver, 300_000), setting(driver, 500_000, 0x4), rest_s=0.05)
    assert telemetry.began == datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    assert telemetry.interval_s == 0.1
    assert telemetry.times_s == pytest.approx((0, 0.1, 0.2, 0.25))
    assert set(telemetry.series) == set(SERIES)
    assert telemetry.series["power_instant_w"] == (412, 300, 500, 500)
    assert telemetry.series["power_average_w"] == (398.5,) * 4
    assert telemetry.series["energy_counter_j"] == (1000, 1030, 1080, 1080)
    assert telemetry.series["sm_clock_hz"] == (1.755e9,) * 4
    assert telemetry.series["memory_clock_hz"] == (2.619e9,) * 4
    assert telemetry.series["temperature_c"] == (54,) * 4
    assert telemetry.series["temperature_margin_c"] == (33,) * 4
    assert telemetry.series["gpu_utilisation"] == (0.97,) * 4
    assert telemetry.slowdowns == ((), (), ("software power cap",), ("software power cap",))
    assert telemetry.absences == {}
    assert Telemetry.model_validate_json(telemetry.model_dump_json()) == telemetry


def test_no_time_passed_since_the_last_sample(sample: Callable[..., Telemetry]) -> None:
    assert sample(lambda: None, rest_s=0.0).times_s == pytest.approx((0, 0.1))


@pytest.mark.parametrize("interval_s", [0.049, 0.0, -1.0, float("nan")])
def test_nobody_polls_faster_than_nvml_refreshes(opened: Callable[[], NvmlGpu], interval_s: float) -> None:
    with pytest.raises(SparqPerfError, match=r"every 0\.05 s at the fastest"):
        Sampler(opened(), interval_s)


def test_geforce_without_scoped_power(sample: Callable[..., Telemetry], driver: Any) -> None:
    driver.fields = {}
    telemetry = sample(lambda: None, lambda: None)
    assert "power_instant_w" not in telemetry.series
    assert telemetry.absences["power_instant_w"].kind == "not_supported"
    assert telemetry.series["power_average_w"] == (398.5,) * 3
    # Asked once, for the first sample. Average power is asked for by its field each time, then by the older way.
    assert [field for field, _ in driver.fields_asked].count(186) == 1


def test_a_slice(sample: Callable[..., Telemetry], driver: Any) -> None:
    driver.uuids = ["MIG-5678"]
    telemetry = sample(lambda: None)
    assert telemetry.series == {}
    assert {absence.kind for absence in telemetry.absences.values()} == {"mig"}
    assert set(telemetry.absences) == {*SERIES, "slowdowns"}
    assert telemetry.slowdowns == ((), ())


def test_a_gpu_lost_in_mid_run(sample: Callable[..., Telemetry], driver: Any) -> None:
    driver.codes["nvmlDeviceGetTotalEnergyConsumption"] = 4

    def lose() -> None:
        driver.lost = True

    def never() -> None:
        raise AssertionError("sampling went on")

    telemetry = sample(lambda: None, lose, never, rest_s=1.0)
    assert telemetry.times_s == pytest.approx((0, 0.1, 0.2))
    assert telemetry.series["power_instant_w"] == (412, 412, None)
    assert telemetry.series["temperature_c"] == (54, 54, None)
    assert telemetry.slowdowns == ((), (), ())
    kinds = {name: absence.kind for name, absence in telemetry.absences.items()}
    # What was refused before keeps its reason.
    assert kinds == dict.fromkeys((*SERIES, "slowdowns"), "gpu_lost") | {"energy_counter_j": "no_permission"}
    assert telemetry.absences["power_instant_w"].detail.endswith("GPU is lost")


def test_a_gpu_lost_before_the_first_sample(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    gpu = opened()
    driver.lost = True
    with Sampler(gpu, 0.1) as sampler:
        assert not any(thread.name == "nvml-sampler" for thread in threading.enumerate())
    assert sampler.telemetry is not None
    assert (sampler.telemetry.times_s, sampler.telemetry.series) == ((0.0,), {})
    assert {absence.kind for absence in sampler.telemetry.absences.values()} == {"gpu_lost"}


def test_a_refusal_that_passes_leaves_a_hole(sample: Callable[..., Telemetry], driver: Any) -> None:
    def time_out() -> None:
        driver.codes["nvmlDeviceGetTemperature"] = 10

    telemetry = sample(time_out, driver.codes.clear)
    assert telemetry.series["temperature_c"] == (54, None, 54)
    assert telemetry.absences == {}


def test_a_refusal_at_the_end_is_told(sample: Callable[..., Telemetry], driver: Any) -> None:
    def time_out() -> None:
        driver.codes["nvmlDeviceGetTemperature"] = 10

    telemetry = sample(lambda: None, time_out)
    assert telemetry.series["temperature_c"] == (54, 54, None)
    assert telemetry.absences == {
        "temperature_c": Absence(kind="failed", detail="temperature: nvmlDeviceGetTemperature: Timeout")
    }


def test_a_driver_that_never_answers(
    opened: Callable[[], NvmlGpu], driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler_module, "LONGEST_ANSWER_S", 0.02)
    gpu, stuck, free = opened(), threading.Event(), threading.Event()
    read = gpu.read

    def hang(names: Any) -> Any:
        if threading.current_thread().name == "nvml-sampler":
            stuck.set()
            free.wait(10)
        return read(names)

    monkeypatch.setattr(gpu, "read", hang)
    now = [0.0]
    sampler = Sampler(gpu, 0.1, clock=lambda: now[0], wait=lambda seconds: now.append(now.pop() + seconds) or False)
    sampler.start()
    assert stuck.wait(10)
    now[0] = 5.0
    telemetry = sampler.stop()
    free.set()
    assert telemetry.times_s == (0.0, 5.0)
    assert telemetry.series["power_instant_w"] == (412.0, None)
    assert telemetry.absences["power_instant_w"] == Absence(kind="failed", detail="NVML did not answer within 0.02 s")
    sampler._thread.join(10)
    assert not sampler._thread.is_alive()
    assert sampler.stop() == telemetry  # what it answered at last came too late


def test_real_clock_and_thread(opened: Callable[[], NvmlGpu]) -> None:
    with Sampler(opened()) as sampler:
        assert any(thread.name == "nvml-sampler" and thread.daemon for thread in threading.enumerate())
    telemetry = sampler.telemetry
    assert telemetry is not None
    assert len(telemetry.times_s) >= 2
    assert telemetry.times_s[0] == 0
    assert telemetry.began.tzinfo is not None
    assert not any(thread.name == "nvml-sampler" for thread in threading.enumerate())
