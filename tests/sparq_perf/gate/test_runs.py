"""Which record files are believed; all others are refused with one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.gate.checking import check
from sparq_perf.gate.runs import read_runs
from sparq_perf.records.line import SCHEMA_VERSION
from sparq_profiles import SparqPerfError

KEYS = {"a": 1e-3, "b": 2e-3}


def test_runs_in_the_order_of_time(runs: Any) -> None:
    first, second = runs.process(KEYS), runs.process(KEYS)
    path = runs.write("records.jsonl", second, first)
    found = read_runs(path.parent)  # a folder stands for its records.jsonl
    assert [run.run_id for run in found] == ["run-001", "run-002"]
    assert list(found[0].configurations) == ["a", "b"]
    assert found[0].ended < found[1].began


def test_a_resumption_is_part_of_its_run(runs: Any) -> None:
    cut = runs.process({"a": 1e-3})[:-1]
    rest = runs.process({"b": 2e-3}, run={"resumed": True})
    (found,) = read_runs(runs.write("records.jsonl", cut, rest))
    assert found.run_id == "run-001"
    assert list(found.configurations) == ["a", "b"]


def damaged(runs: Any, damage: Callable[[list[bytes]], list[bytes]]) -> Path:
    path = runs.write("damaged.jsonl", runs.process(KEYS))
    path.write_bytes(b"".join(damage(path.read_bytes().splitlines(keepends=True))))
    return path


def with_field(number: int, **fields: Any) -> Callable[[list[bytes]], list[bytes]]:
    def change(lines: list[bytes]) -> list[bytes]:
        changed = {**json.loads(lines[number]), **fields}
        return [*lines[:number], json.dumps(changed).encode() + b"\n", *lines[number:][1:]]

    return change


DAMAGES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "empty": (lambda lines: [], "holds no records"),
    "blank": (lambda lines: [b"\n"], "line 1: is not JSON"),
    "half a line": (lambda lines: [*lines[:-1], lines[-1][:40]], "the line is cut off"),
    "no end": (lambda lines: lines[:-1], "run run-001 has no end: it was killed or its records are cut off"),
    "interrupted": (
        with_field(-1, outcome="interrupted", n_missing=1),
        "ended interrupted, 1 configurations are missing",
    ),
    "failed": (with_field(-1, outcome="failed"), "ended failed"),
    "complete, and something missing": (with_field(-1, n_missing=2), "2 configurations are missing"),
    "no run line": (lambda lines: lines[1:], "stands before any line that says where"),
    "the end alone": (lambda lines: lines[-1:], "stands before any line"),
    "twice the same run": (lambda lines: lines + lines, "run run-001 is in it twice"),
    "a configuration twice": (lambda lines: [*lines[:2], *lines[1:]], "has two measurement lines of a"),
    "another run's line": (with_field(1, run_id="run-999"), "run run-999 stands before any line"),
    "a version that will be": (with_field(1, schema_version=99), "schema_version is 99"),
    "mixed versions": (with_field(2, schema_version=2), f"line 3: schema_version is 2 and {SCHEMA_VERSION} in line 1"),
    "no version": (with_field(1, schema_version=str(SCHEMA_VERSION)), "schema_version is '"),
    "a NaN": (with_field(1, samples_s=[float("nan")] * 5), "it should be a finite number"),
    "infinite": (with_field(1, samples_s=[float("inf")] * 5), "it should be a finite number"),
    "no time at all": (with_field(1, samples_s=[0.0] * 5), "it should be greater than 0"),
    "an unknown field": (with_field(1, colour="red"), "colour is not a known field"),
    "an unknown kind": (with_field(1, record="benchmark"), "record"),
    "another program's": (lambda lines: [b'{"machine_info": {}}\n'], "is not a sparq-perf record"),
    "a list": (lambda lines: [b"[1, 2]\n"], "is not a sparq-perf record"),
    "no JSON": (lambda lines: [b"key,time_s\n", b"a,1e-3\n"], "is not JSON"),
    "binary": (lambda lines: [b"\x89PNG\r\n\x1a\n\xff\xfe"], "is not"),
    "UTF-16": (lambda lines: ["{}".encode("utf-16")], "is not"),
    "deeper than Python goes": (lambda lines: [b"[" * 200_000 + b"\n"], "cannot be read as records"),
    "a number longer than Python reads": (lambda lines: [b"9" * 5_000 + b"\n"], "cannot be read as records"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_refused(runs: Any, one_line: Callable[[BaseException], str], name: str) -> None:
    damage, complaint = DAMAGES[name]
    path = damaged(runs, damage)
    with pytest.raises(SparqPerfError) as refused:
        read_runs(path)
    message = one_line(refused.value)
    assert complaint in message
    assert str(path) in message


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("candidate_is_damaged", [True, False])
def test_refused_on_either_side(runs: Any, name: str, candidate_is_damaged: bool) -> None:
    good = runs.write("good.jsonl", runs.process(KEYS))
    bad = damaged(runs, DAMAGES[name][0])
    with pytest.raises(SparqPerfError):
        check(*((good, bad) if candidate_is_damaged else (bad, good)))


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(SparqPerfError, match="no such file"):
        read_runs(tmp_path / "records.jsonl")
    with pytest.raises(SparqPerfError, match="no such file"):
        read_runs(tmp_path)  # an empty folder


def test_records_of_earlier_versions_are_read(runs: Any) -> None:
    path = runs.write("records.jsonl", runs.process(KEYS))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["schema_version"] = 2
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (found,) = read_runs(path)
    assert found.configurations["a"].value("time").value == pytest.approx(1e-3)


def test_what_others_measured_has_no_environment_to_compare(
    runs: Any, lines: Any, one_line: Callable[..., str]
) -> None:
    stamp = {"run_id": "import-1"}
    measured = lines.measurement(**stamp, key="a", timer="third_party")
    path = runs.write("records.jsonl", [lines.imported(**stamp), measured])
    with pytest.raises(SparqPerfError) as refused:
        read_runs(path)
    assert "imported from sweep.csv" in one_line(refused.value)
    assert "give records of 'sparq-perf run'" in str(refused.value)
