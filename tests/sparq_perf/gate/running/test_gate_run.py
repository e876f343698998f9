"""`gate run` on revisions of a project in git: verdicts, processes, what is left, and what is never a pass."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from sparq_perf.gate.checking import check
from sparq_perf.gate.outcome import read_outcome
from sparq_profiles import load_suite

Project = Said = Any  # of the fixtures `project` and `call`
DENSE, SPARQ = "dense/dense-cpu", "r8-k64-l16-mean-logits/sparq-cpu"


def key(seq_len: int, contender: str) -> str:
    return f"tiny/B1-S{seq_len}-h4x2x32-float32/cold/two_copies/{contender}"


GateRun = Callable[..., Any]


def verdicts(out: Path) -> dict[str, str]:
    return {one.key: one.verdict for one in read_outcome(out / "outcome.json").judgements}


def test_the_same_code_is_green_after_eight_pairs_in_turn(gate_run: GateRun, project: Project, tmp_path: Path) -> None:
    said = gate_run("--base", "main")
    assert said.code == 0, said
    assert project.order == ["base", "cand", "cand", "base"] * 4
    assert verdicts(tmp_path / "out") == dict.fromkeys(
        [key(seq_len, contender) for seq_len in (512, 1024) for contender in (DENSE, SPARQ)], "SAME"
    )
    assert said.out.splitlines()[-1] == "No regression in 4 tests."
    assert "pair 8 of 8: candidate 0 s, base 0 s; about 0 s left" in said.err.replace("1 s", "0 s")
    # Nothing is left in the repository or of the trees.
    assert project.git("worktree", "list").count("\n") == 0
    assert project.git("status", "--porcelain") == ""
    assert not (tmp_path / "out" / "trees").exists()


def test_a_slow_working_tree_is_red_after_fresh_pairs_of_what_is_slow(
    gate_run: GateRun, project: Project, tmp_path: Path
) -> None:
    project.speed.write_text("1.05")
    said = gate_run("--base", "main", "--candidate", ".")
    assert said.code == 1, said
    assert len(project.order) == 32
    out = tmp_path / "out"
    assert verdicts(out) == {
        key(512, DENSE): "SAME",
        key(1024, DENSE): "SAME",
        key(512, SPARQ): "REGRESSED",
        key(1024, SPARQ): "REGRESSED",
    }
    assert "working tree (" in said.out
    assert " + 1 changed files)" in said.out
    assert project.speed.read_text() == "1.05"
    # The records that are left say the same to who judges them again.
    again = check(out / "base.jsonl", out / "candidate.jsonl")
    assert {one.key: one.verdict for one in again.judgements} == verdicts(out)


def test_only_groups_in_doubt_are_measured_again(gate_run: GateRun, project: Project, tmp_path: Path) -> None:
    main = project.root / "sparq_perf" / "__main__.py"
    text = main.read_text()
    one_length = 'startswith("sparq") and line["shape"]["seq_len"] == 1024'
    main.write_text(text.replace('startswith("sparq")', one_length))
    project.speed.write_text("1.05")
    assert gate_run("--base", "main").code == 1
    out = tmp_path / "out"
    fresh = load_suite(out / "fresh-suite.toml")
    assert [grid.seq_len for grid in fresh.grids] == [(1024,)]
    assert fresh.grids[0].implementations == ("dense-cpu", "sparq-cpu")
    measured = [json.loads(line) for line in (out / "pairs/09/base/records.jsonl").read_text().splitlines()]
    assert {one["key"] for one in measured if one["record"] == "measurement"} == {key(1024, DENSE), key(1024, SPARQ)}
    assert verdicts(out)[key(1024, SPARQ)] == "REGRESSED"
    assert verdicts(out)[key(512, SPARQ)] == "SAME"


def test_bad_luck_in_the_first_pairs_is_not_red(
    gate_run: GateRun, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NOISE", "16")  # all of the first eight pairs
    said = gate_run("--base", "main")
    assert said.code == 0, said
    assert set(verdicts(tmp_path / "out").values()) == {"SAME"}
    assert len(project.order) == 32
    assert "4 configurations are not settled: measuring 8 fresh pairs of them" in said.err


def test_a_revision_is_compared_with_another(gate_run: GateRun, project: Project, tmp_path: Path) -> None:
    before = project.git("rev-parse", "HEAD")
    project.commit("0.9")
    project.speed.write_text("crash")  # the working tree has no part in it
    assert gate_run("--base", before[:10], "--candidate", "HEAD").code == 0
    assert verdicts(tmp_path / "out")[key(512, SPARQ)] == "IMPROVED"
    assert gate_run("--base", "HEAD", "--candidate", before, out="back").code == 1


@pytest.mark.parametrize(
    ("speed", "complaint"),
    [
        ("crash", "candidate: its process ended with exit code 1, saying: the kernel is broken: no verdict; see "),
        ("silent", "candidate: its process ended with exit code 0, "),
        ("torn", "candidate: its process ended with exit code 0, "),
        ("hang", "candidate: its process took more than 4 s: no verdict"),
    ],
)
def test_a_process_that_fails_is_never_a_pass(
    gate_run: GateRun, project: Project, tmp_path: Path, speed: str, complaint: str
) -> None:
    project.speed.write_text(speed)
    junit, page = tmp_path / "junit.xml", tmp_path / "page.md"
    said = gate_run(
        "--base", "main", "--process-timeout-s", 4 if speed == "hang" else 60, "--junit", junit, "--markdown", page
    )
    assert said.code == 2, said
    last = said.err.splitlines()[-1]
    assert last.startswith(f"sparq-perf: {complaint}")
    assert "log.txt" in last
    assert not (tmp_path / "out" / "outcome.json").exists()
    assert 'type="INVALID"' in junit.read_text()
    assert "no verdict" in page.read_text()
    assert project.git("worktree", "list").count("\n") == 0


def test_what_is_missing_in_the_candidate_is_not_the_same(gate_run: GateRun, project: Project, tmp_path: Path) -> None:
    main = project.root / "sparq_perf" / "__main__.py"
    main.write_text(main.read_text().replace("not in lengths:", 'not in lengths or line["shape"]["seq_len"] == 512:'))
    said = gate_run("--base", "main")
    assert said.code == 2, said
    assert verdicts(tmp_path / "out")[key(512, SPARQ)] == "INVALID"
    assert verdicts(tmp_path / "out")[key(1024, SPARQ)] == "SAME"


def test_processes_are_told_the_same_and_leave_out_what_both_can(
    gate_run: GateRun, project: Project, tmp_path: Path
) -> None:
    options = ("--seed", 7, "--threads", 1, "--timeout-s", 2, "--implementation", "sparq-cpu", "--device", "cpu")
    gate_run("--base", "main", *options, "--pairs", 6)
    told = [json.loads(path.read_text()) for path in sorted((tmp_path / "out").glob("pairs/*/*/arguments.json"))]
    assert len(told) == 12
    without_out = [[word for word in words if "/pairs/" not in word] for words in told]
    assert all(words == without_out[0] for words in without_out)
    assert " ".join(without_out[0][2:]) == (
        "--out --no-report --seed 7 --device cpu --no-profile --no-predict --threads 1 --timeout-s 2.0 "
        "--implementation sparq-cpu"
    )
    gate_run("--base", "main", "--predict", out="predicted")
    told = json.loads((tmp_path / "predicted" / "pairs" / "01" / "base" / "arguments.json").read_text())
    assert "--no-predict" not in told


def test_a_base_that_knows_no_shortcut_is_measured_like_the_candidate(
    gate_run: GateRun, project: Project, tmp_path: Path
) -> None:
    main = project.root / "sparq_perf" / "__main__.py"
    now = main.read_text()
    main.write_text(now.replace("--no-profile --no-predict", "--no-profile"))
    project.git("commit", "-qam", "before the option")
    main.write_text(now)
    said = gate_run("--base", "main")
    assert said.code == 0
    assert "a revision knows no --no-predict: every process finds ceilings and calibrates" in said.err
    for arm in ("base", "candidate"):
        told = json.loads((tmp_path / "out" / "pairs" / "01" / arm / "arguments.json").read_text())
        assert "--no-predict" not in told


def test_a_killed_run_is_gone_on_with(gate_run: GateRun, project: Project, tmp_path: Path) -> None:
    assert gate_run("--base", "main").code == 0
    out = tmp_path / "out"
    ids = {path.parent.parent.name: path.read_bytes() for path in out.glob("pairs/*/base/records.jsonl")}
    # As a kill leaves it: pair 5 has one whole arm and one torn, what follows is not there.
    torn = out / "pairs" / "05" / "candidate" / "records.jsonl"
    torn.write_bytes(torn.read_bytes()[:-40])
    for number in ("06", "07", "08"):
        for path in sorted((out / "pairs" / number).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
    project.log.write_text("")
    assert gate_run("--base", "main", "--resume").code == 0
    assert len(project.order) == 8
    now = {path.parent.parent.name: path.read_bytes() for path in out.glob("pairs/*/base/records.jsonl")}
    assert {number for number in ids if ids[number] == now[number]} == {"01", "02", "03", "04"}
    project.log.write_text("")
    assert gate_run("--base", "main", "--resume").code == 0
    assert project.order == []


def test_another_run_is_not_gone_on_with_but_kept(gate_run: GateRun, project: Project, tmp_path: Path) -> None:
    assert gate_run("--base", "main").code == 0
    said = gate_run("--base", "main", "--resume", "--seed", 3)
    assert said.code == 2
    assert "cannot be resumed: measuring is " in said.err
    project.speed.write_text("1.001")
    said = gate_run("--base", "main", "--resume")
    assert said.code == 2
    assert "cannot be resumed: candidate is " in said.err
    assert gate_run("--base", "main").code == 0
    (kept,) = tmp_path.glob("out-2*Z")
    assert (kept / "outcome.json").exists()
    assert (kept / "pairs" / "08").exists()


def test_a_termination_ends_the_process_that_measures_and_leaves_what_there_is(
    project: Project, tmp_path: Path
) -> None:
    project.speed.write_text("hang")
    out = tmp_path / "out"
    arguments = ["--base", "main", "--suite", project.suite, "--repo", project.root, "--out", out]
    gate = subprocess.Popen(
        [sys.executable, "-m", "sparq_perf", "gate", "run", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stderr=subprocess.PIPE,
        text=True,
    )
    waiting = out / "pairs" / "01" / "candidate" / "arguments.json"
    deadline = time.monotonic() + 60
    while not waiting.exists():
        assert time.monotonic() < deadline
        assert gate.poll() is None, gate.communicate()
        time.sleep(0.02)
    gate.send_signal(signal.SIGTERM)
    gate.communicate(timeout=30)
    assert gate.returncode == 130
    assert (out / "pairs" / "01" / "base" / "records.jsonl").exists()
    assert (out / "trees" / "cand").exists()  # for --resume
    assert not [one.pid for one in psutil.process_iter(["cmdline"]) if str(out) in " ".join(one.info["cmdline"] or ())]


def test_two_runs_do_not_share_a_folder(gate_run: GateRun, project: Project, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        said = gate_run("--base", "main")
    assert said.code == 2
    assert "another gate run fills it: wait for it, or name another --out" in said.err


def test_every_output_says_the_same(gate_run: GateRun, project: Project, tmp_path: Path) -> None:
    project.speed.write_text("1.05")
    files = [tmp_path / name for name in ("page.md", "junit.xml", "page.html")]
    said = gate_run(
        "--base",
        "main",
        "--json",
        "--annotations",
        *[word for pair in zip(("--markdown", "--junit", "--html"), files, strict=True) for word in pair],
    )
    told: dict[str, Any] = json.loads(said.out)
    assert told["exit_code"] == said.code == 1
    assert told["counts"]["REGRESSED"] == 2
    assert all("REGRESSED" in path.read_text() for path in files)
    assert said.err.count("::error ") == 2
