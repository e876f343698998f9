"""The script of action.yml: what it calls, and that no exit code is lost on the way."""

import os
import shutil
import subprocess
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ACTION = Path(__file__).parents[4] / "action.yml"
DEFAULTS = {"MODE": "deterministic", "BASE": "", "CANDIDATE": "HEAD", "SUITE": "smoke", "PAIRS": "", "ARGS": ""}


@dataclass
class Step:
    code: int
    said: str
    summary: str
    outputs: str
    called: list[str]


def script(step: str) -> str:
    """What a step of the action runs."""
    _, _, rest = ACTION.read_text().partition(f"- name: {step}\n")
    _, _, block = rest.partition("      run: |\n")
    lines = []
    for line in block.splitlines(keepends=True):
        if line.strip() and not line.startswith(" " * 8):
            break
        lines.append(line)
    assert lines, f"no script in step {step}"
    return textwrap.dedent("".join(lines))


@pytest.fixture
def gate(tmp_path: Path) -> Callable[..., Step]:
    """gate(code, MODE=…) runs the step with a sparq-perf that exits with that code."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")

    def _gate(code: int = 0, **inputs: str) -> Step:
        binaries = tmp_path / "bin"
        binaries.mkdir(exist_ok=True)
        fake = binaries / "sparq-perf"
        fake.write_text(
            '#!/bin/sh\nprintf "%s\\n" "$@" > called\n'
            'while [ "$1" ]; do [ "$1" = --markdown ] && echo "## a page" > "$2"; shift; done\n'
            f"exit {code}\n"
        )
        fake.chmod(0o755)
        (tmp_path / "step.sh").write_text(script("Gate"))
        files = {name: str(tmp_path / name) for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
        path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
        # As GitHub runs a step whose shell is bash.
        done = subprocess.run(
            [bash, "--noprofile", "--norc", "-eo", "pipefail", str(tmp_path / "step.sh")],
            env={**DEFAULTS, "OUT": "an out folder", **inputs, **files, "PATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

        def read(name: str) -> str:
            return (tmp_path / name).read_text() if (tmp_path / name).exists() else ""

        called = read("called").splitlines()
        return Step(done.returncode, done.stdout, read("GITHUB_STEP_SUMMARY"), read("GITHUB_OUTPUT"), called)

    return _gate


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_the_gates_exit_code_is_the_steps(gate: Callable[..., Step], code: int) -> None:
    step = gate(code)
    assert step.code == code
    assert step.outputs == f"exit-code={code}\n"
    assert step.summary == "## a page\n"


def test_the_deterministic_gate_is_the_default(gate: Callable[..., Step]) -> None:
    outputs = ["--markdown", "an out folder/summary.md", "--junit", "an out folder/junit.xml", "--annotations"]
    assert gate().called == ["gate", *outputs]
    assert gate(ARGS="--section counted").called == ["gate", *outputs, "--section", "counted"]


def test_a_run_compares_with_the_base(gate: Callable[..., Step]) -> None:
    step = gate(MODE="run", BASE="0123abc", PAIRS="6", SUITE="my suite.toml", ARGS="--threads 2")
    assert " ".join(step.called[:9]) == ("gate run --base 0123abc --candidate HEAD --suite my suite.toml --out")
    assert step.called[-2:] == ["--threads", "2"]
    assert step.called[step.called.index("--pairs") + 1] == "6"
    assert "--pairs" not in gate(MODE="run", BASE="0123abc").called


def test_what_cannot_be_run_is_no_pass(gate: Callable[..., Step]) -> None:
    for inputs, complaint in (({"MODE": "run"}, "no base"), ({"MODE": "fast"}, "mode is 'fast'")):
        step = gate(**inputs)
        assert step.code == 2
        assert step.outputs.splitlines()[-1] == "exit-code=2"
        assert complaint in step.said
        assert step.called == []


def test_inputs_reach_scripts_through_the_environment_only() -> None:
    # An expression inside a script would let a branch's name run commands.
    for step in ("Install", "Gate"):
        assert "${{" not in script(step)
