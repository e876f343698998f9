"""What held the clock down: bits now, and violation time that rose since somebody asked."""

from collections.abc import Callable
from typing import Any

import pytest

from sparq_perf.measure.nvml import NvmlGpu
from sparq_perf.measure.nvml.slowdowns import BITS, POWER_CAP, names_of

ULL = 3


@pytest.mark.parametrize(
    ("bits", "names"),
    [
        (0x0, ()),
        (0x1 | 0x2, ()),  # idle; clocks that somebody set
        (0x10 | 0x100, ()),  # in step with other boards; a display
        (0x200 | 0x400, ()),  # limits of the board at full boost
        (0x4, ("software power cap",)),
        (0x8 | 0x40, ("hardware slowdown", "hardware thermal slowdown")),
        (0x20 | 0x80, ("software thermal slowdown", "hardware power brake")),
    ],
)
def test_bits(opened: Callable[[], NvmlGpu], driver: Any, bits: int, names: tuple[str, ...]) -> None:
    driver.reasons = bits
    gpu = opened()
    assert gpu.state().slowdowns.value == names_of(bits) == names
    assert gpu.slowdowns() == names


def test_bits_are_those_of_the_binding() -> None:
    import pynvml

    known = {name: getattr(pynvml, f"nvmlClocksEventReason{name}") for name in dir_of(pynvml)}
    assert {known[name] for name in ("SwPowerCap", "HwSlowdown", "SwThermalSlowdown")} <= set(BITS)
    assert {known[name] for name in ("HwThermalSlowdown", "HwPowerBrakeSlowdown")} <= set(BITS)
    assert set(BITS).isdisjoint({known["GpuIdle"], known["ApplicationsClocksSetting"], known["SyncBoost"]})


def dir_of(module: Any) -> list[str]:
    prefix = "nvmlClocksEventReason"
    return [name.removeprefix(prefix) for name in dir(module) if name.startswith(prefix)]


def test_violation_time_that_rose_between_two_looks(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    gpu = opened()
    assert gpu.slowdowns() == ()  # 2.5 s since the driver was loaded: before anybody asked
    driver.fields[74] = (ULL, 2_500_000_001)
    assert gpu.slowdowns() == (POWER_CAP,)
    assert gpu.slowdowns() == ()
    driver.fields[74], driver.fields[75] = (ULL, 2_600_000_000), (ULL, 1_000_000)
    assert gpu.slowdowns() == (POWER_CAP, "thermal slowdown")
    assert gpu.slowdowns() == ()


def test_bits_and_time_for_the_same_cause_are_one_name(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    gpu = opened()
    gpu.slowdowns()
    driver.reasons = 0x4 | 0x20
    driver.fields[74], driver.fields[75] = (ULL, 2_600_000_000), (ULL, 1_000_000)
    assert gpu.slowdowns() == ("software power cap", "software thermal slowdown")


def test_violation_time_that_begins_anew(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    gpu = opened()
    gpu.slowdowns()
    driver.fields[74] = (ULL, 1_000)
    assert gpu.slowdowns() == ()
    driver.fields[74] = (ULL, 2_000)
    assert gpu.slowdowns() == (POWER_CAP,)


def test_two_watches_do_not_hide_it_from_each_other(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    gpu = opened()
    other = gpu.watch()
    gpu.slowdowns(), other.look()
    driver.fields[75] = (ULL, 5)
    assert gpu.slowdowns() == ("thermal slowdown",)
    assert other.look().value == ("thermal slowdown",)


def test_what_is_not_supported_is_asked_once(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    driver.lacks, driver.fields = {"nvmlDeviceGetViolationStatus"}, {}
    gpu = opened()
    gpu.slowdowns()
    driver.asked.clear()
    driver.reasons = 0x4
    assert gpu.slowdowns() == (POWER_CAP,)
    assert driver.asked == ["nvmlDeviceGetCurrentClocksEventReasons"]


def test_time_alone_tells_where_bits_do_not(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    driver.lacks = {"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"}
    watch = opened().watch()
    assert watch.look().value == ()
    driver.fields[74] = (ULL, 3_000_000_000)
    assert watch.look().value == (POWER_CAP,)


def test_nothing_tells(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    driver.lacks, driver.fields = {"nvmlDeviceGetViolationStatus"}, {}
    driver.codes["nvmlDeviceGetCurrentClocksEventReasons"] = 4
    watch = opened().watch()
    for _ in range(2):
        absence = watch.look().absence
        assert absence is not None
        assert absence.kind == "no_permission"
        assert absence.detail.startswith("what holds the clock down: nvmlDeviceGetCurrentClocksEventReasons")


def test_a_refusal_that_passes(opened: Callable[[], NvmlGpu], driver: Any) -> None:
    gpu = opened()
    driver.codes["nvmlDeviceGetCurrentClocksEventReasons"] = 10  # timeout
    driver.reasons = 0x4
    assert gpu.slowdowns() == ()
    driver.codes.clear()
    assert gpu.slowdowns() == (POWER_CAP,)
