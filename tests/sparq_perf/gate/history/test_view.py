"""A history in words, as JSON, as a page, and from the command line."""

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from sparq_perf.cli.history import history as history_command
from sparq_perf.gate.errors import GateError
from sparq_perf.gate.history.page import render_history
from sparq_perf.gate.history.store import History
from sparq_perf.gate.history.view import TrackView, history_json, history_lines, view_history
from sparq_perf.gate.settings import GateSettings, Threshold


@pytest.fixture
def folder(runs: Any, tmp_path: Path) -> Path:
    """Twenty days of two configurations; the second is 20 % slower from the thirteenth on, the third faster."""
    made = History(tmp_path / "history")
    random = np.random.default_rng(8)
    for day in range(20):
        noise = np.exp(random.normal(0, 0.01, 3))
        times = {"steady": 1e-3, "slower": 2e-3 * (1.2 if day >= 12 else 1), "faster": 3e-3 * (0.8 if day >= 5 else 1)}
        shaken = {key: float(time_s * noise[index]) for index, (key, time_s) in enumerate(times.items())}
        made.add(runs.write(f"{day}.jsonl", runs.process(shaken, environment={"commit": f"c{day}"})))
        runs.clock += timedelta(days=1)
    return tmp_path / "history"


@pytest.fixture
def views(folder: Path) -> list[TrackView]:
    return view_history(History(folder).tracks())


def test_worse_first(views: list[TrackView]) -> None:
    assert [view.track.key for view in views] == ["slower", "faster", "steady"]
    (change,) = views[0].changes
    assert change.index == 12
    (told,) = views[0].sentences
    assert told.startswith("+2")
    assert "(slower) since 2026-03-26" in told
    assert "between c11 and c12" in told


def test_lines(views: list[TrackView]) -> None:
    lines = history_lines(views)
    assert lines[0].startswith("changed     time of slower: +")
    assert lines[1].startswith("changed     time of faster: −")
    assert lines[-1] == "searched    3 series of 60 points on 1 kind of machine: 2 series changed"


def test_json(views: list[TrackView]) -> None:
    slower, _, steady = json.loads(json.dumps(history_json(views)))
    assert (slower["key"], slower["metric"], len(slower["points"])) == ("slower", "time", 20)
    assert slower["changes"][0]["commits"] == ["c12"]
    assert slower["changes"][0]["effect"] == pytest.approx(0.2, abs=0.02)
    assert steady["changes"] == []


def test_settings_give_the_smallest_change(folder: Path) -> None:
    tracks = History(folder).tracks()
    settings = GateSettings(thresholds=(Threshold(key="slower", floor=0.5),), exclude=("faster",))
    views = view_history(tracks, settings)
    assert [(view.track.key, len(view.changes)) for view in views] == [("slower", 0), ("steady", 0)]


def test_page(folder: Path, views: list[TrackView]) -> None:
    page = render_history(views, History(folder).segments())
    assert "1 worse and 1 better of 3 series." in page
    assert page.count("<circle") == 60
    assert page.count('class="change"') == 2
    assert page.count('class="level"') == 5
    assert "http://" not in page
    assert "https://" not in page
    assert "<dt>n_threads</dt><dd>2</dd>" in page


def test_hostile_texts_are_escaped(runs: Any, tmp_path: Path, hostile: str) -> None:
    made = History(tmp_path / "history")
    made.add(runs.write("1.jsonl", runs.process({hostile: 1e-3}, environment={"device": hostile, "commit": hostile})))
    views = view_history(made.tracks())
    page = render_history(views, made.segments())
    assert page.count("<script") == 1
    assert "<b>" not in page
    assert all(line.isprintable() for line in history_lines(views))


def test_an_empty_history() -> None:
    assert "Nothing was recorded yet." in render_history([], {})
    assert history_lines([]) == ("searched    0 series of 0 points on 0 kinds of machine: 0 series changed",)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `sparq-perf history ...` prints."""
    app = typer.Typer()
    app.command()(history_command)

    def _call(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["history", *map(str, arguments)])
        capsys.readouterr()
        app(standalone_mode=False)
        return capsys.readouterr().out

    return _call


def test_from_the_command_line(call: Callable[..., str], folder: Path, runs: Any, tmp_path: Path) -> None:
    new = runs.write("new.jsonl", runs.process({"steady": 1e-3}))
    out = call(folder, "--add", new, "--html", tmp_path / "h.html")
    assert f"added       {new} as {folder / 'records'}" in out
    assert "searched    3 series of 61 points" in out
    assert (tmp_path / "h.html").read_text().startswith("<!doctype html>")
    assert "the history has it already" in call(folder, "--add", new)
    rows = json.loads(call(folder, "--json", "--key", "s*", "--metric", "time"))
    assert [row["key"] for row in rows] == ["slower", "steady"]


def test_bad_input(call: Callable[..., str], folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="no metric is called 'speed': choose time, energy"):
        call(folder, "--metric", "speed")
    with pytest.raises(GateError, match="no such file"):
        call(folder, "--config", tmp_path / "none.toml")
