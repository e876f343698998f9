"""The command line, called in this process (quick) or in one of its own (as a user does)."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.cli.main import main
from sparq_perf.records.store import RecordWriter


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """call("predict", "--json", ...) returns exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def _call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["sparq-perf", *(str(argument) for argument in arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    return _call


@pytest.fixture
def refused(call: Callable[..., Outcome]) -> Callable[..., str]:
    """The one line on stderr of a call that must be refused with exit code 2."""

    def _refused(*arguments: object) -> str:
        outcome = call(*arguments)
        assert outcome.code == 2, outcome
        assert outcome.out == ""
        assert len(outcome.err.splitlines()) == 1, outcome.err
        assert outcome.err.startswith("sparq-perf: ")
        return outcome.err

    return _refused


@pytest.fixture
def environment() -> dict[str, str]:
    """Environment of a child that imports what this process imports."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COLUMNS": "100"}


@pytest.fixture
def python(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a fresh interpreter."""

    def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    return _python


@pytest.fixture
def record_file(tmp_path: Path, every_kind: list[Any]) -> Path:
    """records.jsonl of a run that never happened, in a folder of its own."""
    path = tmp_path / "a run" / "records.jsonl"
    with RecordWriter(path) as writer:
        for line in every_kind:
            writer.append(line)
    return path
