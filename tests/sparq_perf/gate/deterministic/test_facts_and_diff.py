"""Facts are collected without losing one, and every difference is found."""

import pytest

from sparq_perf.gate.deterministic.analytic import analytic_facts
from sparq_perf.gate.deterministic.baseline import Baseline
from sparq_perf.gate.deterministic.compiled import REGISTERS, UNKNOWN
from sparq_perf.gate.deterministic.diff import Change, differences
from sparq_perf.gate.deterministic.facts import collect
from sparq_perf.gate.errors import GateError


def test_nothing_found_and_two_of_a_name_are_faults() -> None:
    assert collect("code", [("a", {"digest": "1"})]) == {"a": {"digest": "1"}}
    with pytest.raises(GateError, match="nothing was found"):
        collect("code", [])
    with pytest.raises(GateError, match="two facts are about 'a'"):
        collect("code", [("a", {"digest": "1"}), ("a", {"digest": "1"})])


ROW = {"read_bytes": 1000, "share": 0.1, "rule": "logits", "mean": True, "none": None}
BASE = Baseline({"analytic": {"kept": ROW, "gone": ROW}})


def test_equal_facts_do_not_differ() -> None:
    assert differences(BASE, {"analytic": {"kept": dict(ROW), "gone": dict(ROW)}}) == []
    # Another C library's last digits are no change.
    nearly = {**ROW, "share": 0.1 * (1 + 1e-12)}
    assert differences(BASE, {"analytic": {"kept": nearly, "gone": ROW}}) == []


@pytest.mark.parametrize(
    ("fact", "after", "relative"),
    [
        ("read_bytes", 1001, 0.001),
        ("read_bytes", 999.0, -0.001),
        ("read_bytes", 1000 + 1e-5, 1e-8),
        ("share", 0.2, 1.0),
        ("share", float("nan"), None),
        ("rule", "softmax", None),
        ("mean", False, None),
        ("mean", 1, None),  # JSON's true and 1 are different facts
        ("none", 0, None),
        ("read_bytes", None, None),
    ],
)
def test_any_other_value_is_a_change(fact: str, after: float | str | None, relative: float | None) -> None:
    (change,) = differences(BASE, {"analytic": {"kept": {**ROW, fact: after}, "gone": ROW}})
    assert (change.section, change.name, change.kind, change.fact) == ("analytic", "kept", "changed", fact)
    assert change.before == ROW[fact]
    if relative is not None:
        assert change.relative == pytest.approx(relative)


def test_what_came_and_what_went_is_told() -> None:
    without = {name: value for name, value in ROW.items() if name != "none"}
    found = differences(BASE, {"analytic": {"kept": {**without, "new": 5}, "come": ROW}})
    assert found == [
        Change("analytic", "gone", "removed"),
        Change("analytic", "kept", "changed", "none", None, None),
        Change("analytic", "kept", "changed", "new", None, 5),
        Change("analytic", "come", "added"),
    ]


def test_sections_that_were_not_looked_at_are_left_alone() -> None:
    assert differences(BASE, {"counted": {"x": {"a": 1}}}) == [Change("counted", "x", "added")]


def test_a_kernels_digest_alone_is_no_change_and_one_not_compiled_is_told_elsewhere() -> None:
    base = Baseline({"compiled": {"k": {"code": "a", REGISTERS: 64}}})
    assert differences(base, {"compiled": {"k": {"code": "b", REGISTERS: 64}}}) == []
    assert differences(base, {"compiled": {"k": {"code": "b", REGISTERS: UNKNOWN}}}) == []
    (change,) = differences(base, {"compiled": {"k": {"code": "b", REGISTERS: 72}}})
    assert (change.fact, change.before, change.after, change.relative) == (REGISTERS, 64, 72, 0.125)


def test_the_papers_bytes_are_among_the_analytic_facts() -> None:
    facts = analytic_facts()
    # B=64, S=4096, 32 heads, d=128, fp16: 2·S·d·b of K and V, and q (output and append are writes).
    dense = facts["algorithm dense attend · B=64 S=4096 heads 32/32 d=128 · float16"]
    assert dense["read_bytes"] == 64 * 32 * (2 * 4096 * 128 * 2 + 128 * 2)
    score = facts[
        "algorithm SparQ score · B=64 S=4096 heads 32/32 d=128 · r=32 k=128 l=32 logits · two_copies · float16"
    ]
    assert score["read_bytes"] == 64 * 32 * (4096 * 32 * 2 + 128 * 2)
    # Every implementation, and launch parameters of every architecture.
    for name in ("dense-triton gfx942 attend", "sparq-triton sm_80 score", "sparq-cpu", "dense-cpu", "sparq-torch"):
        assert any(fact.startswith(name) for fact in facts), name
