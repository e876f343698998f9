"""Facts that processes of their own find, with their answers replaced."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_kernels.gpu.compiling.record import CompiledKernel
from sparq_kernels.gpu.compiling.table import Table
from sparq_perf.gate.deterministic import child, compiled, counted
from sparq_perf.gate.deterministic.compiled import compiled_facts, not_compiled, outdated_rows
from sparq_perf.gate.deterministic.compiled_child import wanted
from sparq_perf.gate.deterministic.counted import as_facts
from sparq_perf.gate.errors import GateError

COUNTED = {
    **{"implementation": "sparq-triton", "step": "score", "k_layout": "two_copies", "architecture": "sm_90"},
    **{"batch": 1, "seq_len": 512, "n_heads": 4, "n_kv_heads": 2, "head_dim": 64, "dtype": "float16"},
    **{"rank": 16, "top_k": 64, "local_window": 8, "mean_value": False, "group_score": "logits"},
    **{"counted_read_bytes": 300, "counted_write_bytes": 40, "analytic_bytes": 340.0},
    **{"moved_read_bytes": 200, "moved_write_bytes": 40, "unique_sector_bytes": 320, "sector_requests": 11},
    "out_of_bounds": [{"lanes": 3}, {"lanes": 2}],
    "launches": [
        {
            "kernel": "score",
            "grid": [4, 2],
            "tensors": [
                {"parameter": "k", "read_bytes": 100, "write_bytes": 0},
                {"parameter": "y", "read_bytes": 0, "write_bytes": 40},
            ],
        },
        {"kernel": "merge", "grid": [4], "tensors": [{"parameter": "k", "read_bytes": 200, "write_bytes": 0}]},
    ],
}


def test_a_counted_step_becomes_its_totals_launches_and_bytes_a_tensor() -> None:
    ((name, row),) = as_facts([COUNTED])
    assert name == (
        "sparq-triton score · B=1 S=512 heads 4/2 d=64 float16 · r=16 k=64 l=8 logits no mean · two_copies · sm_90"
    )
    assert row["launches"] == 2
    assert row["programs"] == "score 4×2; merge 4"
    assert row["out_of_bounds_lanes"] == 5
    assert (row["read k"], row["write y"]) == (300, 40)
    assert "read y" not in row
    assert row["counted_read_bytes"] == 300


def test_a_dense_step_is_told_once_whatever_it_stood_beside() -> None:
    settings = dict.fromkeys(("rank", "top_k", "local_window", "mean_value", "group_score"))
    dense = {**COUNTED, "implementation": "dense-triton", "step": "attend", **settings}
    assert len(list(as_facts([dense, dense]))) == 1
    with pytest.raises(GateError, match="two facts are about"):
        # Two counts of the same thing that differ are no fact at all.
        counted.collect("counted", as_facts([dense, {**dense, "counted_read_bytes": 301}]))


ROW = CompiledKernel("score", "sparq g4", "sm_90", 8, 1, 64, None, 1024, 0, 0, None, 4, "registers")
TITLE = "score [sparq g4] sm_90"
NEEDS = {name: getattr(ROW, name) for name in compiled.NEEDS}
ACCEPTED = {TITLE: {"code": "aa", **NEEDS}}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """answers(triton, code, needs) sets what the child says; returns the questions that it is asked."""

    def _answers(triton: str, code: str, needs: dict[str, Any] | None) -> list[Any]:
        asked: list[Any] = []

        def ask(module: str, *, question: Any, interpret: bool) -> Any:
            assert not interpret
            asked.append(question)
            kernel = {"name": TITLE, "code": code, "needs": needs}
            return {"triton": triton, "launches": [{"name": "a launch", "grid": "4"}], "kernels": [kernel]}

        monkeypatch.setattr(compiled, "ask", ask)
        return asked

    return _answers


def test_a_kernel_whose_code_is_the_accepted_one_keeps_its_accepted_numbers(answers: Callable[..., Any]) -> None:
    asked = answers("3.9.0", "aa", None)
    found = compiled_facts(ACCEPTED, "3.9.0", "changed")
    assert found.kernels == ACCEPTED
    assert found.launches == {"a launch": {"grid": "4"}}
    assert found.n_compiled == 0
    assert asked == [{"triton": "3.9.0", "known": {TITLE: "aa"}, "compile": "changed", "renew": False}]


def test_a_kernel_whose_code_changed_is_unknown_until_it_is_compiled(answers: Callable[..., Any]) -> None:
    answers("3.9.0", "bb", None)
    found = compiled_facts(ACCEPTED, "3.9.0", "never")
    assert not_compiled(found.kernels[TITLE])
    answers("3.9.0", "bb", {**NEEDS, "registers": 80})
    found = compiled_facts(ACCEPTED, "3.9.0", "changed")
    assert found.kernels[TITLE] == {"code": "bb", **NEEDS, "registers": 80}
    assert found.n_compiled == 1


def test_another_triton_is_not_compared_but_may_be_accepted(answers: Callable[..., Any]) -> None:
    answers("3.8.0", "aa", None)
    with pytest.raises(GateError, match=r"the baseline is of Triton 3\.9\.0 and this is 3\.8\.0"):
        compiled_facts(ACCEPTED, "3.9.0", "changed")
    answers("3.8.0", "aa", {**NEEDS, "registers": 80})
    assert compiled_facts(ACCEPTED, "3.9.0", "changed", renew=True).triton == "3.8.0"
    assert compiled_facts({}, None, "changed").triton == "3.8.0"


@pytest.mark.parametrize(
    ("question", "compiles"),
    [
        ({"triton": "3.9.0", "known": {TITLE: "aa"}, "compile": "changed", "renew": False}, False),
        ({"triton": "3.9.0", "known": {TITLE: "bb"}, "compile": "changed", "renew": False}, True),
        ({"triton": "3.9.0", "known": {"other": "aa"}, "compile": "changed", "renew": False}, True),
        ({"triton": "3.9.0", "known": {TITLE: "bb"}, "compile": "never", "renew": True}, False),
        ({"triton": "3.9.0", "known": {TITLE: "aa"}, "compile": "all", "renew": False}, True),
        ({"triton": None, "known": {}, "compile": "changed", "renew": False}, True),
        ({"triton": "3.8.0", "known": {TITLE: "bb"}, "compile": "changed", "renew": False}, False),
        ({"triton": "3.8.0", "known": {TITLE: "aa"}, "compile": "changed", "renew": True}, True),
    ],
)
def test_which_kernels_are_compiled(question: dict[str, Any], compiles: bool) -> None:
    assert wanted(TITLE, "aa", question, "3.9.0") is compiles


def test_the_table_of_compiled_kernels_must_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "compiled-kernels.json"
    assert outdated_rows(ACCEPTED, path) == []
    path.write_text(Table.of("3.9.0", [ROW]).as_json())
    assert outdated_rows(ACCEPTED, path) == []
    changed = {TITLE: {**ACCEPTED[TITLE], "registers": 80}}
    assert outdated_rows(changed, path) == [f"{TITLE}: registers 64, found 80"]
    assert outdated_rows({"other": ACCEPTED[TITLE]}, path) == [
        f"{TITLE}: not compiled any more",
        "other: not in the table",
    ]


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("import sys; sys.exit('no room left')", "ended with exit code 1: no room left"),
        ("import sys; sys.exit(3)", "ended with exit code 3: it said nothing"),
        ("print('{')", "its answer is not JSON"),
        ("", "its answer is not JSON"),
        ("import os; os.kill(os.getpid(), 9)", "ended with exit code -9"),
    ],
)
def test_a_child_that_fails_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, complaint: str
) -> None:
    (tmp_path / "a_child.py").write_text(script)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(GateError, match="python -m a_child: ") as refused:
        child.ask("a_child", interpret=False)
    assert complaint in str(refused.value)


def test_a_child_is_told_whether_it_interprets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a_child.py").write_text(
        "import json, os, sys\n"
        "print(json.dumps([os.environ.get('TRITON_INTERPRET'), json.load(sys.stdin), sys.argv[1:]]))"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert child.ask("a_child", ["-x"], {"a": 1}, interpret=True) == ["1", {"a": 1}, ["-x"]]
    assert child.ask("a_child", interpret=False) == [None, None, []]
