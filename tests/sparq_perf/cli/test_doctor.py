"""`sparq-perf doctor` on this machine, which may or may not have a GPU."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sparq_perf.cli.doctor import NAMES
from sparq_perf.measure import examining
from sparq_perf.measure.examining import Examination, Finding
from sparq_perf.records.dram import RUNGS, Rung
from sparq_perf.records.gpu_state import GpuState
from sparq_perf.records.reading import Absence, Reading

NO_DRIVER = Absence(kind="driver_missing", detail="no <driver> here [red]")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Examination:
    """A machine with everything but a GPU's driver."""
    findings = tuple(
        Finding(name, "something", absence=NO_DRIVER, mend="install it")
        if name in ("nvml", "energy")
        else Finding(name, "something", "by a library")
        for name in NAMES
    )
    state = GpuState.missing(NO_DRIVER)
    examination = Examination(findings, state, tuple(Rung(name=name, absence=NO_DRIVER) for name in RUNGS))
    monkeypatch.setattr(examining, "examine", lambda: examination)
    return examination


def test_each_instrument_is_told_with_its_reason_and_mend(call: Callable[..., Any], found: Examination) -> None:
    outcome = call("doctor")
    assert (outcome.code, outcome.err) == (0, "")
    words = " ".join(outcome.out.split())
    assert all(name in words for name in NAMES)
    assert "nvml no something driver missing: no <driver> here [red] to have it: install it" in words
    assert "NVML's 20 fields are all absent: driver missing: no <driver> here [red]" in words


def test_fields_of_a_gpu_are_told_one_by_one(call: Callable[..., Any], found: Examination) -> None:
    state = found.gpu_state.model_copy(update={"power_instant_w": Reading.of(312.5)})
    object.__setattr__(found, "gpu_state", state)
    lines = call("doctor").out.splitlines()
    assert "power_instant_w        312.5" in lines
    assert "sm_clock_hz            absent, driver missing: no <driver> here [red]" in " ".join(lines)


def test_json(call: Callable[..., Any], found: Examination) -> None:
    document = json.loads(call("doctor", "--json").out)
    by_name = {row["name"]: row for row in document["instruments"]}
    assert list(by_name) == list(NAMES)
    assert by_name["cpu"]["available"] is True
    assert by_name["nvml"]["absence"] == {"kind": "driver_missing", "detail": NO_DRIVER.detail}
    assert document["gpu_state"]["power_instant_w"]["value"] is None
    assert [rung["name"] for rung in document["dram"]] == list(RUNGS)


@pytest.mark.parametrize(("required", "code"), [((), 0), (("cpu",), 0), (("cpu", "energy"), 1)])
def test_what_is_required(call: Callable[..., Any], found: Examination, required: tuple[str, ...], code: int) -> None:
    options = [word for name in required for word in ("--require", name)]
    assert call("doctor", *options).code == code


def test_an_unknown_requirement(call: Callable[..., Any]) -> None:
    outcome = call("doctor", "--require", "sundial")
    assert outcome.code == 2
    assert outcome.err.startswith("sparq-perf: --require is 'sundial': choose of cpu, gpu, ")


def test_names_are_those_of_the_examination() -> None:
    assert tuple(finding.name for finding in examining.examine().findings) == NAMES
