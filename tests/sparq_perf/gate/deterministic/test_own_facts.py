"""The project's own facts are those that it accepted."""

import importlib.metadata
from pathlib import Path

import pytest

from sparq_perf.gate.deterministic.baseline import read_baseline
from sparq_perf.gate.deterministic.deciding import Request, decide
from sparq_perf.gate.deterministic.facts import SECTIONS, Section
from sparq_perf.gate.deterministic.wording import told

BASELINE = Path(__file__).parents[4] / "reports" / "baselines" / "deterministic.json"
BY_COMPILERS: tuple[Section, ...] = ("launches", "compiled")


def _check(*sections: Section) -> None:
    decision = decide(Request(BASELINE, sections))
    assert decision.passes, "\n".join(told(decision))


def test_formulas_counts_and_code() -> None:
    _check(*(section for section in SECTIONS if section not in BY_COMPILERS))


def test_launches_and_compiled_kernels() -> None:
    accepted, here = read_baseline(BASELINE).triton, importlib.metadata.version("triton")
    if accepted != here:
        pytest.skip(f"the baseline is of Triton {accepted}, this is {here}")
    _check(*BY_COMPILERS)
