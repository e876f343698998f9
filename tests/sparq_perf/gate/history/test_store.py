"""A history on disk: what it takes, what it refuses, what it answers."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.history.store import INDEX_NAME, History
from sparq_profiles import SparqPerfError


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history")


def job(runs: Any, name: str, *times_s: float, **fields: Any) -> Path:
    path = runs.write(name, *(runs.process({"a": time_s}, **fields) for time_s in times_s))
    runs.clock += timedelta(days=1)
    return path


def test_one_point_for_each_job(history: History, runs: Any) -> None:
    # Processes of a job share its machine: four of them are not four points.
    history.add(job(runs, "1.jsonl", 1e-3, 4e-3, environment={"commit": "one"}))
    history.add(job(runs, "2.jsonl", 3e-3, environment={"commit": "two"}))
    (track,) = history.tracks()
    assert (track.key, track.metric, track.device) == ("a", "time", "Test CPU")
    first, second = track.points
    assert first.value == pytest.approx(2e-3)
    assert (first.n_runs, first.commits) == (2, ("one",))
    assert second.value == pytest.approx(3e-3)
    assert second.began - first.began > timedelta(days=1)


def test_in_the_order_of_time_and_not_of_adding(history: History, runs: Any) -> None:
    early, late = job(runs, "early.jsonl", 1e-3), job(runs, "late.jsonl", 2e-3)
    history.add(late)
    history.add(early)
    (track,) = history.tracks()
    assert [point.value for point in track.points] == pytest.approx([1e-3, 2e-3])


def test_machines_are_kept_apart(history: History, runs: Any) -> None:
    for threads in (2, 4, 2):
        history.add(job(runs, f"{runs.n}.jsonl", 1e-3 / threads, environment={"n_threads": threads}))
    two, four = history.tracks()
    assert [len(track.points) for track in (two, four)] == [2, 1]
    assert two.segment != four.segment
    assert {settings["n_threads"] for settings in history.segments().values()} == {"2", "4"}


def test_adding_again_changes_nothing(history: History, runs: Any) -> None:
    path = job(runs, "1.jsonl", 1e-3)
    copy = history.add(path)
    assert copy is not None
    assert copy.read_bytes() == path.read_bytes()
    assert history.add(path) is None
    assert history.add(path.parent / "1.jsonl") is None
    assert len(history.files) == 1


def test_a_run_with_other_content(history: History, runs: Any) -> None:
    path = job(runs, "1.jsonl", 1e-3, 2e-3)
    history.add(path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]))  # the first of its runs
    with pytest.raises(GateError, match=r"run run-001 is in .* with other content"):
        history.add(path)


@pytest.mark.parametrize("text", ["", "not a record\n", '{"schema_version": 3}\n'])
def test_what_cannot_be_believed_is_not_added(history: History, tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(SparqPerfError):
        history.add(path)
    assert history.files == []


def test_invalid_measurements_are_no_points(history: History, runs: Any) -> None:
    history.add(job(runs, "1.jsonl", 1e-3, measurement={"status": "invalid", "reasons": ("throttled",)}))
    assert history.tracks() == []
    with sqlite3.connect(history.folder / INDEX_NAME) as index:
        assert index.execute("SELECT value, why FROM points WHERE metric = 'time'").fetchall() == [(None, "throttled")]


def test_metrics_and_keys(history: History, runs: Any) -> None:
    predicted = {"predicted": (1e-3, 2e-3, 3e-3)}
    history.add(runs.write("1.jsonl", runs.process({"llama/x": 1e-3, "pythia/x": 2e-3}, measurement=predicted)))
    assert [(t.key, t.metric) for t in history.tracks()] == [
        ("llama/x", "prediction_error"),
        ("llama/x", "time"),
        ("pythia/x", "prediction_error"),
        ("pythia/x", "time"),
    ]
    assert [t.key for t in history.tracks(("time",), "llama*")] == ["llama/x"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"no database at all"),
        lambda path: sqlite3.connect(path).execute("PRAGMA user_version = 99").connection.close(),
    ],
)
def test_the_index_is_made_anew(history: History, runs: Any, damage: Callable[[Path], None]) -> None:
    history.add(job(runs, "1.jsonl", 1e-3))
    before = history.tracks()
    damage(history.folder / INDEX_NAME)
    assert history.tracks() == before


def test_an_index_in_use_is_not_taken_for_a_damaged_one(
    history: History, runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.add(job(runs, "1.jsonl", 1e-3))
    before = history.tracks()
    monkeypatch.setattr("sparq_perf.gate.history.index.WAIT_S", 0.01)
    with closing(sqlite3.connect(history.folder / INDEX_NAME, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(GateError, match="is locked"):
            history.tracks()
    assert history.tracks() == before


def test_files_that_come_go_or_change_are_noticed(history: History, runs: Any) -> None:
    first, second = history.add(job(runs, "1.jsonl", 1e-3)), history.add(job(runs, "2.jsonl", 2e-3))
    assert first is not None
    assert second is not None
    assert len(history.tracks()[0].points) == 2
    second.unlink()
    assert len(history.tracks()[0].points) == 1
    first.write_bytes(b"spoilt\n")
    with pytest.raises(SparqPerfError, match="is not JSON"):
        history.tracks()


def test_the_same_run_in_two_files(history: History, runs: Any) -> None:
    copy = history.add(job(runs, "1.jsonl", 1e-3))
    assert copy is not None
    copy.with_name("another.jsonl").write_bytes(copy.read_bytes())
    with pytest.raises(GateError, match="a history holds each run once"):
        history.tracks()


def test_a_file_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GateError, match="cannot be used as a history's folder"):
        History(tmp_path / "file")


def test_any_sqlite_client_may_ask(history: History, runs: Any) -> None:
    history.add(job(runs, "1.jsonl", 1e-3, 3e-3, environment={"commit": "one"}))
    history.tracks()
    with sqlite3.connect(history.folder / INDEX_NAME) as index:
        asked = 'SELECT "commit", count(*), avg(value) FROM points JOIN runs USING (run_id) WHERE metric = ? GROUP BY 1'
        assert index.execute(asked, ("time",)).fetchall() == [("one", 2, pytest.approx(2e-3))]
