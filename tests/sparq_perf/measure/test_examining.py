"""What a machine can measure, and what is missing: on this one, without a GPU, and on others that are simulated."""

import json
from typing import Any

import pytest

from sparq_perf.measure import examining
from sparq_perf.measure.examining import _counted, _dram, _failure_of_trial, examine, missing
from sparq_perf.records.dram import Rung
from sparq_perf.records.reading import Absence


@pytest.fixture(scope="module")
def here() -> Any:
    return examine()


def of(found: Any, name: str) -> Any:
    return next(finding for finding in found.findings if finding.name == name)


def test_every_instrument_is_here_or_says_why_not(here: Any) -> None:
    assert len({finding.name for finding in here.findings}) == len(here.findings) == 11
    for finding in here.findings:
        assert finding.tells
        assert finding.available == (finding.detail is not None)
        assert finding.available or finding.mend is not None or finding.absence.kind == "not_supported"


def test_what_needs_no_gpu_is_here(here: Any) -> None:
    for name in ("cpu", "profiler-cpu", "counted", "compiled", "report"):
        assert of(here, name).available, of(here, name)


def test_required_instruments_that_are_missing_are_told(here: Any) -> None:
    assert list(missing(here, ("cpu", "report"))) == []
    absent = [finding.name for finding in here.findings if not finding.available]
    assert [finding.name for finding in missing(here, ("cpu", *absent))] == absent


def test_a_trial_that_fails_is_told_by_its_last_words() -> None:
    assert "Expecting value" in str(_failure_of_trial("no plan"))
    assert "unknown implementation" in str(_failure_of_trial(json.dumps([trial("sparq-tritium")])))


def test_counts_that_differ_from_the_formulas_are_no_working_instrument(monkeypatch: pytest.MonkeyPatch) -> None:
    step = {"step": "score", "counted_bytes": 1, "analytic_bytes": 2}
    done = type("Done", (), {"returncode": 0, "stdout": json.dumps({"steps": [step]}), "stderr": ""})
    monkeypatch.setattr(examining.subprocess, "run", lambda *_, **__: done)
    finding = _counted()
    assert not finding.available
    assert "counts of score differ from the formulas" in str(finding.absence)


def trial(name: str) -> dict[str, Any]:
    return {
        "implementation": name,
        "shape": {"batch": 1, "seq_len": 64, "n_heads": 2, "n_kv_heads": 1, "head_dim": 64, "dtype": "float16"},
        "config": None,
        "k_layout": "two_copies",
    }


def test_each_way_of_counting_dram_bytes_is_told() -> None:
    no_right = Absence(kind="no_permission", detail="ERR_NVGPUCTRPERM")
    old = Absence(kind="not_supported", detail="no GPM before Hopper")
    others = (Rung(name="cupti", absence=old), Rung(name="gpm", absence=old))
    finding = _dram((Rung(name="ncu", absence=no_right), *others))
    assert str(finding.absence) == (
        "no permission: ncu: no permission: ERR_NVGPUCTRPERM; cupti: not supported: no GPM before Hopper; "
        "gpm: not supported: no GPM before Hopper"
    )
    assert "NVreg_RestrictProfilingToAdminUsers=0" in str(finding.mend)
    some = _dram((Rung(name="ncu", absence=no_right), Rung(name="cupti", absence=old), Rung(name="gpm")))
    assert some.available
    assert some.detail == "would try gpm"
