"""`gate aa`: a revision against itself, how often that alarms, and the spreads that it leaves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.running.aa import read_spreads

Project = Said = Any  # of the fixtures `project` and `call`
DENSE, SPARQ = "dense/dense-cpu", "r8-k64-l16-mean-logits/sparq-cpu"


def key(seq_len: int, contender: str) -> str:
    return f"tiny/B1-S{seq_len}-h4x2x32-float32/cold/two_copies/{contender}"


@pytest.fixture
def aa(call: Callable[..., Said], project: Project, tmp_path: Path) -> Callable[..., Said]:
    def _aa(*arguments: object) -> Said:
        fixed = ("--suite", project.suite, "--repo", project.root, "--out", tmp_path / "aa", "--pairs", 6)
        return call("gate", "aa", *fixed, *arguments)

    return _aa


def test_quiet_runs_are_counted_with_the_bound_that_they_give(
    aa: Callable[..., Said], project: Project, tmp_path: Path
) -> None:
    said = aa("--runs", 3, "--markdown", tmp_path / "aa.md")
    assert said.code == 0, said
    assert len(project.order) == 3 * 12
    lines = said.out.splitlines()
    assert lines[:3] == [f"run {n}   quiet  4 SAME" for n in (1, 2, 3)]
    # 1 - 0.05 ** (1 / 3) = 63.2 %
    assert "false alarms   0 of 3 (0.0%; at most 63.2%, 95% confidence) of A/A comparisons" in lines
    page = (tmp_path / "aa.md").read_text()
    assert page == (tmp_path / "aa" / "aa.md").read_text()
    (third,) = [line for line in page.splitlines() if line.startswith("| 3 | 12 | ")]
    assert " | no | 0 | 0 | 0 | 0 | 4 | " in third
    assert "3 comparisons of 4 configurations and metrics each" in page
    spreads = read_spreads(tmp_path / "aa" / "spreads.json")
    assert set(spreads) == {(key(s, c), "time") for s in (512, 1024) for c in (DENSE, SPARQ)}
    assert all(0 <= spread < 0.01 for spread in spreads.values())
    assert (tmp_path / "aa" / "run-03" / "outcome.json").exists()


def test_more_runs_are_added_to_those_that_are_there(aa: Callable[..., Said], project: Project) -> None:
    assert aa("--runs", 1).code == 0
    said = aa("--runs", 2, "--resume", "--json")
    assert said.code == 0
    assert len(project.order) == 2 * 12
    told = json.loads(said.out)
    assert [run["exit_code"] for run in told["runs"]] == [0, 0]
    assert told["alarms"]["upper"] == pytest.approx(1 - 0.05**0.5)


def test_a_gate_that_alarms_where_nothing_changed_exits_with_1(
    aa: Callable[..., Said], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NOISE", "1000")  # the second arm is slower, whatever it runs
    said = aa("--runs", 1)
    assert said.code == 1, said
    assert said.out.startswith("run 1   ALARM  4 REGRESSED")


def test_spreads_of_this_machine_raise_the_floors(
    aa: Callable[..., Said], call: Callable[..., Said], project: Project, tmp_path: Path
) -> None:
    assert aa("--runs", 1).code == 0
    path = tmp_path / "aa" / "spreads.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([{**row, "spread": 0.03} for row in rows]))
    project.speed.write_text("1.05")
    fixed = ("--suite", project.suite, "--repo", project.root, "--out", tmp_path / "out", "--base", "main")
    said = call("gate", "run", *fixed, "--spreads", path)
    # 3 × 3 % is more than 5 %, and no more than the largest floor.
    assert said.code == 0, said


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "cannot be read as A/A spreads"),
        ("[]", "holds no spreads"),
        ("{}", "holds no spreads"),
        ('[{"key": "a"}]', "cannot be read as A/A spreads"),
        ('[{"key": "a", "metric": "speed", "spread": 0.1}]', "'a', 'speed' has the spread 0.1"),
        ('[{"key": "a", "metric": "time", "spread": -1}]', "has the spread -1"),
        ('[{"key": "a", "metric": "time", "spread": NaN}]', "has the spread nan"),
        ('[{"key": "a", "metric": "time", "spread": true}]', "has the spread True"),
    ],
)
def test_other_files_are_no_spreads(
    tmp_path: Path, one_line: Callable[[BaseException], str], text: str, complaint: str
) -> None:
    path = tmp_path / "spreads.json"
    path.write_text(text)
    with pytest.raises(GateError) as refused:
        read_spreads(path)
    assert complaint in one_line(refused.value)
    with pytest.raises(GateError, match="no such file"):
        read_spreads(tmp_path / "none.json")
