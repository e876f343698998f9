"""Counting after a run, in a process of its own."""

from typing import Any

import pytest

from sparq_perf.measure import counted_pass
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.counted_pass import CountedPass
from sparq_perf.measure.passes import Site
from sparq_perf.measure.plan import Group
from sparq_perf.measure.resume import RunState
from sparq_profiles import AttentionShape, SparqConfig

SPARQ = Contender("sparq-triton", SparqConfig(8, 16))
DENSE = Contender("dense-triton", None)
TORCH = Contender("dense-sdpa", None)
H100 = ("sm_90", 132)


def group(*contenders: Contender, seq_len: int = 128, dtype: Any = "float16") -> Group:
    return Group("tiny", AttentionShape(1, seq_len, 2, 1, 64, dtype), "cold", "two_copies", contenders)


class Written:
    """What a pass writes down."""

    def __init__(self, architecture: tuple[str, int] | None) -> None:
        self.lines: list[dict[str, Any]] = []
        progress: Any = type("Progress", (), {"stage": lambda self, text: None})()
        site = Site(None, RunState(), progress, lambda kind, **fields: self.lines.append(fields), 0)  # type: ignore[arg-type]
        self.counting = CountedPass(site, architecture)

    def run(self, *groups: Group) -> list[dict[str, Any]]:
        for each in groups:
            self.counting.make(each, None)  # type: ignore[arg-type]
        self.counting.finish()
        return self.lines


def test_small_triton_contenders_are_counted_and_agree_with_the_formulas() -> None:
    dense, sparq = Written(H100).run(group(DENSE, SPARQ))
    assert (dense["implementation"], sparq["implementation"]) == ("dense-triton", "sparq-triton")
    assert [step.step for step in sparq["steps"]] == ["score", "select", "gather"]
    for step in (*dense["steps"], *sparq["steps"]):
        assert step.counted_bytes == step.analytic_bytes > 0
        assert step.requested_bytes >= step.sector_bytes > 0
    # By hand: K and V of 128 tokens, the query and the output, in 16 bits.
    (attend,) = dense["steps"]
    assert attend.counted_bytes >= 2 * 128 * 64 * 2 + 2 * 2 * 64 * 2
    assert sparq["architecture"] == "sm_90"


@pytest.mark.parametrize(
    ("architecture", "place", "kind", "words"),
    [
        (H100, group(TORCH), "not_supported", "Triton's interpreter"),
        (None, group(SPARQ), "not_supported", "launch parameters of a GPU"),
        (H100, group(SPARQ, seq_len=100_000), "not_asked", "the KV cache takes 40 MB"),
    ],
)
def test_the_rest_says_why_not(architecture: Any, place: Group, kind: str, words: str) -> None:
    (line,) = Written(architecture).run(place)
    assert line["absence"].kind == kind
    assert words in line["absence"].detail


def test_one_that_fails_does_not_take_the_others_with_it() -> None:
    first, second = Written(H100).run(group(DENSE, dtype="float64"), group(DENSE))
    assert first["absence"].kind == "failed"
    assert "float64" in first["absence"].detail
    assert second["steps"]


@pytest.mark.parametrize(
    ("printed", "ended", "detail"),
    [
        ([], "MemoryError", "counting stopped: MemoryError"),
        (['{"error": "no kernel"}'], "", "counting failed: no kernel"),
    ],
)
def test_a_child_that_ends_early_is_told(
    monkeypatch: pytest.MonkeyPatch, printed: list[str], ended: str, detail: str
) -> None:
    monkeypatch.setattr(counted_pass, "_ask_child", lambda *_: (printed, ended))
    (line,) = Written(H100).run(group(DENSE))
    assert (line["absence"].kind, line["absence"].detail) == ("failed", detail)


def test_a_child_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted_pass, "TIMEOUT_S", 0.01)
    (line,) = Written(H100).run(group(DENSE))
    assert line["absence"].detail == "counting stopped: it took more than 0.01 s"
