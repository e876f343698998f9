"""Progress on a pipe: one line a stage with the share done, on stderr, and markup taken literally."""

import pytest

from sparq_perf.cli.progress import ProgressBar


def test_one_line_a_stage(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with ProgressBar("suite tiny") as progress:
        progress.stage("before the start")
        progress.start(120.0)
        progress.stage("first")
        progress.advance(30.0)
        progress.stage("second [bold]")
        progress.note("a note [red]")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line.rstrip() for line in captured.err.splitlines()] == [
        "  0%  before the start",
        "suite tiny: about 2 min",
        "  0%  first",
        " 25%  second [bold]",
        "a note [red]",
    ]
