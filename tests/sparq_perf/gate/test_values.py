"""The number that a process gives for each metric."""

from typing import Any

import pytest

from sparq_perf.gate.values import Configuration
from sparq_perf.records.dram import DramReading, Rung
from sparq_perf.records.reading import Absence, Reading

NO_GPU = Absence(kind="no_device", detail="no GPU")


def test_time_is_the_median(lines: Any) -> None:
    value = Configuration(lines.measurement((1e-3, 5e-3, 2e-3))).value("time")
    assert (value.state, value.value, value.by) == ("valid", 2e-3, "timer perf_counter")


def test_prediction_error_is_a_factor_either_way(lines: Any) -> None:
    over = lines.measurement((2e-3,) * 3, predicted=(1e-3, 4e-3, 8e-3))
    under = lines.measurement((2e-3,) * 3, predicted=(0.5e-3, 1e-3, 8e-3))
    assert Configuration(over).value("prediction_error").value == pytest.approx(2)
    assert Configuration(under).value("prediction_error").value == pytest.approx(2)


def test_energy(lines: Any) -> None:
    value = Configuration(lines.measurement(), lines.energy()).value("energy")
    assert (value.value, value.by) == (0.6, "energy counter, caches cold")
    integral = lines.energy(counter_j=Reading(absence=NO_GPU), idle_subtracted=True)
    value = Configuration(lines.measurement(), integral).value("energy")
    assert (value.value, value.by) == (0.59, "integral of power, less idle power, caches cold")


@pytest.mark.parametrize(
    ("throttled_s", "state"),
    [
        ({}, "valid"),
        ({"hardware thermal slowdown": 0.19}, "valid"),  # of 2 s
        ({"hardware thermal slowdown": 0.21}, "refused"),
        ({"software power cap": 0.9}, "valid"),
        ({"software power cap": 1.1}, "refused"),
    ],
)
def test_throttled_energy(lines: Any, throttled_s: dict[str, float], state: str) -> None:
    value = Configuration(lines.measurement(), lines.energy(throttled_s=throttled_s)).value("energy")
    assert value.state == state
    assert value.why.startswith("throttled: ") is (state == "refused")


def test_dram_bytes(lines: Any) -> None:
    rungs = (Rung(name="ncu", absence=NO_GPU), Rung(name="cupti", absence=NO_GPU), Rung(name="gpm", used=True))
    counted = lines.dram(DramReading.measured("gpm", total_bytes=1e6, rungs=rungs))
    value = Configuration(lines.measurement(), dram=counted).value("dram_bytes")
    assert (value.value, value.by) == (1e6, "counted by gpm")
    nothing = lines.dram(DramReading.measured("gpm", total_bytes=0, rungs=rungs))
    assert Configuration(lines.measurement(), dram=nothing).value("dram_bytes").state == "refused"


@pytest.mark.parametrize("metric", ["energy", "dram_bytes", "prediction_error"])
def test_what_was_not_measured_is_absent(lines: Any, metric: Any) -> None:
    value = Configuration(lines.measurement()).value(metric)
    assert (value.state, value.value) == ("absent", None)
    assert value.why
    absent = Configuration(lines.measurement(), lines.energy(absence=NO_GPU), lines.dram())
    assert absent.value(metric).state == "absent"


@pytest.mark.parametrize("metric", ["time", "energy", "dram_bytes", "prediction_error"])
def test_a_wrong_result_has_no_numbers(lines: Any, metric: Any) -> None:
    wrong = lines.measurement(max_error=1.0, error_tolerance=1e-3, status="invalid", reasons=("wrong",))
    failed = lines.measurement(status="failed", reasons=("out of memory",))
    for measurement in (wrong, failed):
        value = Configuration(measurement, lines.energy()).value(metric)
        assert (value.state, value.value) == ("wrong" if metric == "time" else "absent", None)
