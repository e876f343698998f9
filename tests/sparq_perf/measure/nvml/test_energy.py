"""Energy by counter and by integral, numbers by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from sparq_perf.measure.nvml import NvmlGpu
from sparq_perf.measure.nvml.energy import energy_of, idle_power_w
from sparq_perf.records.reading import Absence, Reading
from sparq_perf.records.telemetry import SERIES, Telemetry

NOT_SUPPORTED = Absence(kind="not_supported", detail="instant power: Not Supported")
LOST = Absence(kind="gpu_lost", detail="power: GPU is lost")
TIMES = (0.0, 0.5, 1.0, 1.5, 2.0)


def told(
    times_s: tuple[float, ...] = TIMES,
    slowdowns: tuple[tuple[str, ...], ...] | None = None,
    absences: dict[str, Absence] | None = None,
    **series: Any,
) -> Telemetry:
    """Telemetry with these series; the rest is not supported."""
    columns = {name: column for name, column in series.items() if column is not None}
    absent = {name: NOT_SUPPORTED for name in SERIES if name not in columns} | (absences or {})
    return Telemetry.model_validate(
        {
            "began": "2026-11-21T12:00:00Z",
            "interval_s": 0.5,
            "times_s": times_s,
            "series": columns,
            "slowdowns": slowdowns or ((),) * len(times_s),
            "absences": absent,
        }
    )


def joules(value: float) -> Reading[float]:
    return Reading.of(value)


POWER = (100.0, 300.0, 300.0, 300.0, 100.0)  # 0.5·(200 + 300 + 300 + 200) = 500 J


def test_counter_and_integral() -> None:
    telemetry = told(power_instant_w=POWER, power_average_w=(250.0,) * 5, sm_clock_hz=(1e9, 2e9, 2e9, 2e9, 1e9))
    energy = energy_of(joules(1000.0), joules(1510.0), telemetry, 2.0)
    assert energy.counter_j.value == 510
    assert energy.integral_j.value == pytest.approx(500)
    assert energy.power_source == "power_instant_w"
    assert energy.mean_power_w.value == 255  # the counter's
    assert energy.mean_sm_clock_hz.value == pytest.approx(1.75e9)  # 0.5·(1.5 + 2 + 2 + 1.5) / 2
    assert energy.throttled_s == {}


def test_a_window_within_the_telemetry() -> None:
    """From 0.25 s (200 W, half way up) to 1.75 s (200 W): 0.25·250 + 300 + 0.25·250 = 425 J."""
    times_s = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
    telemetry = told(times_s, power_instant_w=(100.0, 300.0, 300.0, 300.0, 300.0, 300.0, 100.0))
    energy = energy_of(joules(0.0), joules(430.0), telemetry, 1.5, start_s=0.25)
    assert energy.integral_j.value == pytest.approx(425)


def test_a_window_that_goes_beyond_the_samples() -> None:
    """The first value counts from the window's beginning, the last one to its end."""
    telemetry = told(power_instant_w=POWER)
    energy = energy_of(joules(0.0), joules(1.0), telemetry, 2.5, start_s=-0.2)
    assert energy.integral_j.value == pytest.approx(0.2 * 100 + 500 + 0.3 * 100)


def test_average_power_where_there_is_no_other() -> None:
    telemetry = told(power_average_w=(250.0,) * 5)
    energy = energy_of(joules(0.0), joules(0.0), telemetry, 2.0)
    assert energy.integral_j.value == pytest.approx(500)
    assert energy.power_source == "power_average_w"
    assert energy.mean_power_w.value == pytest.approx(250)  # the integral's: the counter stood still


def test_a_counter_that_stood_still_is_no_energy_of_zero() -> None:
    energy = energy_of(joules(81_234.5), joules(81_234.5), told(power_instant_w=POWER), 2.0)
    assert energy.counter_j.absence == Absence(
        kind="no_change", detail="the energy counter stayed at 81234.500 J for 2 s"
    )
    assert energy.integral_j.value == pytest.approx(500)


def test_a_counter_that_went_backwards() -> None:
    energy = energy_of(joules(4_294_967.2), joules(12.5), told(power_instant_w=POWER), 2.0)
    assert energy.counter_j.absence == Absence(
        kind="failed",
        detail="the energy counter went from 4294967.200 J to 12.500 J: it wrapped, or the driver was loaded anew",
    )
    assert energy.integral_j.value == pytest.approx(500)
    assert energy.mean_power_w.value == pytest.approx(250)


@pytest.mark.parametrize("first", [True, False])
def test_a_counter_that_was_not_read(first: bool) -> None:
    lost: Reading[float] = Reading(absence=LOST)
    before, after = (lost, joules(1.0)) if first else (joules(1.0), lost)
    assert energy_of(before, after, told(power_instant_w=POWER), 2.0).counter_j.absence == LOST


def test_no_power_at_all() -> None:
    missing: Reading[float] = Reading(absence=NOT_SUPPORTED)
    energy = energy_of(missing, missing, told(), 2.0)
    assert energy.power_source is None
    for answer in (energy.counter_j, energy.integral_j, energy.mean_power_w, energy.mean_sm_clock_hz):
        assert answer.absence == NOT_SUPPORTED


def test_too_few_samples() -> None:
    telemetry = told((0.0, 0.5, 1.0, 1.5), power_instant_w=(100.0,) * 4, power_average_w=(100.0, None, 90.0, 80.0))
    energy = energy_of(joules(0.0), joules(150.0), telemetry, 1.5)
    assert energy.integral_j.absence == Absence(
        kind="failed", detail="power_average_w: 3 samples in 1.5 s, the widest gap 1 s"
    )
    assert energy.power_source is None
    assert energy.mean_power_w.value == 100


def test_instant_power_with_a_hole_gives_way_to_the_average() -> None:
    holed = (100.0, 100.0, 100.0, None, None, None, 100.0, 100.0)  # 1 s of 1.75 s unseen
    telemetry = told(tuple(0.25 * n for n in range(8)), power_instant_w=holed, power_average_w=(90.0,) * 8)
    energy = energy_of(joules(0.0), joules(160.0), telemetry, 1.75)
    assert energy.power_source == "power_average_w"
    assert energy.integral_j.value == pytest.approx(90 * 1.75)


def test_a_gpu_lost_before_the_window_ended() -> None:
    lost: Reading[float] = Reading(absence=LOST)
    telemetry = told(
        power_instant_w=(100.0, 100.0, 100.0, 100.0, None),
        power_average_w=(100.0, 100.0, 100.0, 100.0, None),
        absences=dict.fromkeys(("power_instant_w", "power_average_w"), LOST),
    )
    energy = energy_of(joules(0.0), lost, telemetry, 4.0)
    assert energy.counter_j.absence == energy.integral_j.absence == energy.mean_power_w.absence == LOST


def test_power_of_zero_is_not_believed() -> None:
    energy = energy_of(joules(0.0), joules(0.0), told(power_instant_w=(0.0,) * 5), 2.0)
    assert energy.integral_j.absence is not None
    telemetry = told(power_average_w=(0.0,) * 5)
    assert energy_of(joules(0.0), joules(0.0), telemetry, 2.0).integral_j.absence == Absence(
        kind="failed", detail="power_average_w: every sample is 0"
    )


def test_throttled_time_of_each_cause() -> None:
    held = (("heat",), (), ("heat", "power"), ("power",), ())
    telemetry = told(slowdowns=held, power_instant_w=POWER)
    whole = energy_of(joules(0.0), joules(1.0), telemetry, 2.0)
    assert whole.throttled_s == pytest.approx({"heat": 0.5, "power": 1.0})
    part = energy_of(joules(0.0), joules(1.0), telemetry, 0.5, start_s=0.75)
    assert part.throttled_s == pytest.approx({"heat": 0.25, "power": 0.5})


def test_idle_power() -> None:
    """0.5·(74 + 72 + 71 + 70) = 143.5 J in 2 s."""
    idle = told(power_instant_w=(76.0, 72.0, 72.0, 70.0, 70.0), gpu_utilisation=(0.0, 0.0, 0.05, 0.0, 0.0))
    assert idle_power_w(idle).value == pytest.approx(71.75)


def test_idle_power_of_a_gpu_at_work() -> None:
    busy = told(power_instant_w=POWER, gpu_utilisation=(0.0, 0.0, 0.06, 0.0, 0.0))
    assert idle_power_w(busy).absence == Absence(
        kind="failed", detail="idle power: the GPU was at work, 6% of a sampling period"
    )


@pytest.mark.parametrize("times_s", [(), (0.0,)])
def test_idle_power_without_samples(times_s: tuple[float, ...]) -> None:
    assert idle_power_w(told(times_s)).absence == NOT_SUPPORTED
    if times_s:
        absence = idle_power_w(told(times_s, power_average_w=(70.0,))).absence
        assert absence is not None
        assert absence.detail == "power_average_w: 1 samples in 0 s, the widest gap 0 s"


def test_the_whole_path(opened: Callable[[], NvmlGpu], sample: Callable[..., Telemetry], driver: Any) -> None:
    """A loop of 0.5 s at 600 W, read by the counter and sampled each 0.1 s, the clock held down by power for 0.2 s."""
    gpu = opened()
    driver.fields[186] = (1, 600_000)

    def step(reasons: int) -> Callable[[], None]:
        def happen() -> None:
            driver.energy_mj += 60_000
            driver.reasons = reasons

        return happen

    before = gpu.energy_counter_j()
    telemetry = sample(*(step(reasons) for reasons in (0, 4, 4, 0, 0)))
    energy = energy_of(before, gpu.energy_counter_j(), telemetry, 0.5)
    assert energy.counter_j.value == pytest.approx(300)
    assert energy.integral_j.value == pytest.approx(300)
    assert energy.mean_power_w.value == pytest.approx(600)
    assert energy.mean_sm_clock_hz.value == pytest.approx(1.755e9)
    assert energy.throttled_s == pytest.approx({"software power cap": 0.2})
