"""What passes, what does not, what may be accepted: with facts that the test makes up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from sparq_perf.gate.deterministic import outputs
from sparq_perf.gate.deterministic.baseline import Baseline, read_baseline
from sparq_perf.gate.deterministic.compiled import REGISTERS, UNKNOWN
from sparq_perf.gate.deterministic.deciding import Decision, Request, decide
from sparq_perf.gate.deterministic.facts import Facts
from sparq_perf.gate.deterministic.wording import MOST_SHOWN, told
from sparq_perf.gate.errors import GateError

FACTS: Facts = {
    "analytic": {"dense attend": {"read_bytes": 1000, "flops": 64}},
    "counted": {"attend": {"read k": 512, "out_of_bounds_lanes": 0}},
    "compiled": {"attend [x] sm_90": {"code": "aa", REGISTERS: 64}},
}
SECTIONS = tuple(FACTS)


@pytest.fixture
def gate(tmp_path: Path) -> Callable[..., Decision]:
    """gate(facts, accept=…) decides about these facts; FACTS were accepted before."""
    path = tmp_path / "facts.json"
    Baseline(FACTS, "3.9.0").write(path)

    def _gate(facts: Facts, **fields: Any) -> Decision:
        def find(request: Request, accepted: Baseline) -> tuple[Facts, str | None, int]:
            return facts, "3.9.0", 0

        return decide(Request(**{"baseline": path, "sections": SECTIONS, **fields}), find)

    return _gate


def changed(**sections: Any) -> Facts:
    return {**FACTS, **sections}


MORE_BYTES = changed(counted={"attend": {"read k": 1024, "out_of_bounds_lanes": 0}})


def test_what_was_accepted_passes(gate: Callable[..., Decision]) -> None:
    decision = gate(FACTS)
    assert decision.passes
    assert list(told(decision)) == ["SAME     none of 6 facts changed"]
    assert outputs.annotations(decision) == []


def test_a_change_fails_and_says_what_from_what_to_what_and_by_how_much(gate: Callable[..., Decision]) -> None:
    decision = gate(MORE_BYTES)
    assert not decision.passes
    assert list(told(decision)) == [
        "counted: bytes, sectors and launches, counted",
        "  ~ attend",
        "      read k  512 → 1,024  (+100.0%)",
        "CHANGED  1 of 6 facts are not as accepted: mend the code, or accept them on purpose: sparq-perf gate --accept",
    ]
    assert read_baseline(decision.baseline).facts == FACTS


def test_fewer_bytes_are_a_change_too(gate: Callable[..., Decision]) -> None:
    assert not gate(changed(counted={"attend": {"read k": 256, "out_of_bounds_lanes": 0}})).passes


def test_a_fact_that_is_gone_fails(gate: Callable[..., Decision]) -> None:
    decision = gate(changed(analytic={"other": {"read_bytes": 1000, "flops": 64}}))
    assert not decision.passes
    assert list(told(decision))[1:3] == ["  - dense attend: gone", "  + other: new"]


def test_accepting_shows_the_change_and_writes_it(gate: Callable[..., Decision]) -> None:
    decision = gate(MORE_BYTES, accept=True)
    assert decision.passes
    said = list(told(decision))
    assert "      read k  512 → 1,024  (+100.0%)" in said
    assert said[-1].startswith("ACCEPTED 1 changes of 6 facts: ")
    assert read_baseline(decision.baseline).facts == MORE_BYTES
    assert gate(MORE_BYTES).passes
    assert not gate(FACTS).passes


def test_accepting_some_sections_leaves_the_others(gate: Callable[..., Decision]) -> None:
    decision = gate({"counted": MORE_BYTES["counted"]}, accept=True, sections=("counted",))
    assert read_baseline(decision.baseline).facts == MORE_BYTES


@pytest.mark.parametrize(
    ("facts", "fault"),
    [
        (
            changed(counted={"attend": {"read k": 512, "out_of_bounds_lanes": 7}}),
            "counted: attend: 7 accesses outside its tensors",
        ),
        (
            changed(compiled={"attend [x] sm_90": {"code": "bb", REGISTERS: UNKNOWN}}),
            "compiled: attend [x] sm_90: its code is not the accepted one, and it was not compiled: "
            "give '--compile changed'",
        ),
    ],
)
def test_what_must_not_be_accepted_is_not(gate: Callable[..., Decision], facts: Facts, fault: str) -> None:
    for accept in (False, True):
        decision = gate(facts, accept=accept)
        assert not decision.passes
        assert decision.faults == (fault,)
        assert f"FAULT    {fault}" in list(told(decision))
        assert read_baseline(decision.baseline).facts == FACTS


def test_a_kernel_compiled_to_the_same_passes_and_says_that_it_cost_time(gate: Callable[..., Decision]) -> None:
    decision = gate(changed(compiled={"attend [x] sm_90": {"code": "bb", REGISTERS: 64}}))
    assert decision.passes
    assert decision.recompiled == ("attend [x] sm_90",)
    assert next(told(decision)).startswith("1 kernels were compiled again: their code changed, what they need did")


def test_a_table_that_says_otherwise_fails(gate: Callable[..., Decision], tmp_path: Path) -> None:
    (tmp_path / "compiled-kernels.json").write_text('{"triton": "3.9.0", "rows": []}')
    decision = gate(FACTS)
    assert not decision.passes
    assert list(told(decision)) == [
        "OUTDATED compiled-kernels.json: attend [x] sm_90: not in the table: run 'make compiled'",
        "FAILED   none of 6 facts changed, but see above",
    ]


def test_a_long_story_is_cut_short_unless_all_is_asked_for(gate: Callable[..., Decision]) -> None:
    many = {f"step {index}": {"read_bytes": index} for index in range(MOST_SHOWN + 5)}
    decision = gate(changed(analytic=many))
    assert "  … and 6 more: --all shows them" in list(told(decision))  # one went
    assert not [line for line in told(decision, everything=True) if "more" in line and "…" in line]


def test_without_a_baseline_there_is_no_verdict_but_a_beginning(gate: Callable[..., Decision], tmp_path: Path) -> None:
    with pytest.raises(GateError, match="nothing was accepted yet"):
        gate(FACTS, baseline=tmp_path / "none.json")
    assert gate(FACTS, baseline=tmp_path / "new.json", accept=True).passes
    assert gate(FACTS, baseline=tmp_path / "new.json").passes


def test_a_section_that_was_never_accepted_is_no_verdict(gate: Callable[..., Decision]) -> None:
    with pytest.raises(GateError, match="nothing was accepted of code"):
        gate({**FACTS, "code": {"a": {"digest": "1"}}}, sections=(*SECTIONS, "code"))
    with pytest.raises(GateError, match="no section to look at"):
        gate({}, sections=())


def test_an_error_while_looking_is_never_a_pass(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    Baseline(FACTS, "3.9.0").write(path)

    def find(request: Request, accepted: Baseline) -> tuple[Facts, str | None, int]:
        raise GateError("the interpreter broke")

    with pytest.raises(GateError, match="the interpreter broke"):
        decide(Request(path, SECTIONS, accept=True), find)
    assert read_baseline(path).facts == FACTS


def test_ci_outputs_say_the_same(gate: Callable[..., Decision]) -> None:
    decision = gate(MORE_BYTES)
    suite = ElementTree.fromstring(outputs.junit(decision))
    assert (suite.get("tests"), suite.get("failures")) == ("4", "1")
    (failure,) = suite.findall("testcase/failure")
    assert failure.text == "attend: read k 512 → 1,024 +100.0%"
    page = outputs.markdown(decision)
    assert "| attend | read k | 512 | 1,024 | +100.0% |" in page
    (line,) = outputs.annotations(decision)
    assert line == "::error title=sparq-perf gate%3A facts%3A counted::attend: read k 512 → 1,024 +100.0%25"
    accepted = outputs.junit(gate(MORE_BYTES, accept=True))
    assert ElementTree.fromstring(accepted).get("failures") == "0"


def test_json_has_all_of_it(gate: Callable[..., Decision]) -> None:
    told_json = gate(MORE_BYTES).as_json()
    assert told_json["passes"] is False
    assert told_json["sections"] == ["analytic", "counted", "compiled"]
    assert told_json["changes"] == [
        {
            "section": "counted",
            "name": "attend",
            "kind": "changed",
            "fact": "read k",
            "before": 512,
            "after": 1024,
            "relative": 1.0,
        }
    ]
