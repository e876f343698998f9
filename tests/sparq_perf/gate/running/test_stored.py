"""Stored medians of a user's callables: what is kept, and which files are believed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.running.stored import MOST_KEPT, read_stored, write_stored

HERE = {"processor": "Test CPU", "python": "3.11.2"}


def test_processes_are_added_and_the_oldest_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "stored.json"
    assert read_stored(path) == {}
    for index in range(MOST_KEPT + 2):
        write_stored(path, "a", HERE, 1e-3 + index * 1e-6)
    write_stored(path, "b", HERE, 2e-3)
    stored = read_stored(path)
    assert list(stored) == ["a", "b"]
    assert len(stored["a"].medians_s) == MOST_KEPT
    assert stored["a"].medians_s[0] == pytest.approx(1.002e-3)


def test_another_machine_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "stored.json"
    write_stored(path, "a", HERE, 1e-3)
    assert write_stored(path, "a", {**HERE, "python": "3.12.0"}, 2e-3).medians_s == (2e-3,)
    (unlike,) = read_stored(path)["a"].unlike(HERE)
    assert unlike == "python is 3.12.0 in the stored baseline and 3.11.2 in this process"


def stored(**row: object) -> str:
    return json.dumps({"schema_version": 1, "benchmarks": {"a": {"environment": HERE, "medians_s": [1e-3], **row}}})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "is no file of stored benchmarks of version 1"),
        ('{"schema_version": 2}', "is no file of stored benchmarks of version 1"),
        ('{"schema_version": 1, "benchmarks": []}', "benchmarks is []"),
        (stored(medians_s=[]), "'a': medians_s is []"),
        (stored(medians_s=[float("nan")]), "'a': medians_s is [nan]: it must be positive numbers"),
        (stored(medians_s=[0]), "'a': medians_s is [0]"),
        (stored(medians_s=[True]), "'a': medians_s is [True]"),
        (stored(environment={"python": 3}), "'a': environment is {'python': 3}"),
    ],
)
def test_refused(tmp_path: Path, one_line: Callable[[BaseException], str], text: str, complaint: str) -> None:
    path = tmp_path / "stored.json"
    path.write_text(text)
    with pytest.raises(GateError) as refused:
        read_stored(path)
    message = one_line(refused.value)
    assert complaint in message
    assert message.endswith("measure it again with --sparq-benchmark-save")
    with pytest.raises(GateError):
        write_stored(path, "a", HERE, 1e-3)
    assert path.read_text() == text
