"""`history` on the command line: what it adds and says, and bad input."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.records.store import RecordWriter


@pytest.fixture
def records(lines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A record file of one run."""
    monkeypatch.chdir(tmp_path)  # whose settings are the defaults
    with RecordWriter(tmp_path / "records.jsonl") as writer:
        for line in (lines.run(), lines.measurement(), lines.end()):
            writer.append(line)
    return tmp_path / "records.jsonl"


def test_adding_and_looking(call: Callable[..., Any], records: Path) -> None:
    said = call("history", "past", "--add", records, "--html", "page.html")
    assert said.code == 0
    assert said.out.splitlines()[0].startswith(f"added       {records} as past/records/")
    assert "searched    1 series of 1 point on 1 kind of machine: 0 series changed" in said.out
    assert Path("page.html").read_text().startswith("<!doctype html>")
    (row,) = json.loads(call("history", "past", "--json").out)
    assert (row["metric"], len(row["points"])) == ("time", 1)


def test_a_history_that_is_not_there_is_not_made(refused: Callable[..., str], records: Path) -> None:
    assert "pats: no such folder: add records to it with --add" in refused("history", "pats")
    assert not Path("pats").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("records.jsonl", "--add", "records.jsonl"), "records.jsonl: cannot be used as a history's folder"),
        (("past", "--add", "none.jsonl"), "none.jsonl: no such file"),
        (("past", "--add", "foreign.jsonl"), "foreign.jsonl, line 1: is not JSON"),
        (("past", "--add", "cut.jsonl"), "run run-1 has no end: it was killed or its records are cut off"),
        (("past", "--add", "records.jsonl", "--metric", "speed"), "no metric is called 'speed': choose time, energy"),
        (("past", "--add", "records.jsonl", "--config", "none.toml"), "none.toml: no such file"),
        (("past", "--add", "records.jsonl", "--html", "records.jsonl/page.html"), "cannot be written"),
        (("past", "--colour", "red"), "--colour"),
        ((), "folder"),
    ],
)
def test_bad_input(refused: Callable[..., str], records: Path, arguments: tuple[str, ...], complaint: str) -> None:
    Path("foreign.jsonl").write_text("key,time_s\n")
    Path("cut.jsonl").write_bytes(b"".join(records.read_bytes().splitlines(keepends=True)[:-1]))
    assert complaint in refused("history", *arguments)
