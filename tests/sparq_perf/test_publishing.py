"""What is written beside the records, and where a machine lacks what a report takes."""

from pathlib import Path
from typing import Any

import pytest

from sparq_perf import publishing
from sparq_perf.measure.resume import suite_digest
from sparq_perf.publishing import publish, write_summary
from sparq_perf.records.store import RecordError
from sparq_profiles import load_suite


def test_without_plotly_the_rest_is_written(
    every_kind: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "find_spec", lambda name: None)
    published = publish(every_kind, load_suite("smoke"), tmp_path)
    assert published.report is None
    told = f"report      not written: plotly is not installed; 'sparq-perf report {tmp_path}' writes it where it is"
    assert told in published.lines
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert text.startswith("# Tiny\n\n    ceilings")
    assert told in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["summary.md", "trace.json"]


def test_with_a_report(every_kind: list[Any], tmp_path: Path) -> None:
    published = publish(every_kind, load_suite("smoke"), tmp_path)
    assert published.report == tmp_path / "report.html"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "summary.md", "trace.json"]
    assert published.verdicts == []
    assert published.lines[-1] == f"timeline    {tmp_path / 'trace.json'}: open it at https://ui.perfetto.dev"
    assert "trace.json" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_without_a_profile_there_is_no_timeline(every_kind: list[Any], tmp_path: Path) -> None:
    timed = [line for line in every_kind if line.record in ("run", "measurement", "end")]
    published = publish(timed, load_suite("smoke"), tmp_path)
    assert published.timeline is None
    assert published.as_json()["timeline"] is None
    assert not (tmp_path / "trace.json").exists()


def test_a_folder_that_cannot_be_written(every_kind: list[Any], tmp_path: Path) -> None:
    (tmp_path / "summary.md").mkdir()
    with pytest.raises(RecordError, match=r"summary\.md: cannot be written: "):
        publish(every_kind, load_suite("smoke"), tmp_path, with_report=False)


def test_the_summary_of_older_records(lines: Any, tmp_path: Path) -> None:
    """What was expected is told again where the suite is the one that was measured."""
    suite = load_suite("gpu")
    gpu = lines.environment(device="NVIDIA H100", device_kind="gpu", gpu=lines.gpu())
    run = lines.run(suite="gpu", suite_title="GPU", suite_sha256=suite_digest(suite), environment=gpu)
    target = tmp_path / "README.md"
    write_summary([run, lines.measurement()], target, Path("report.html"))
    text = target.read_text(encoding="utf-8")
    assert text.startswith("# GPU\n\n    ceilings")
    assert text.count("speedup ≥ 4.90×") == 1
    assert "Expected by: project target for H100 SXM; published on A100: 3.02×; " in text
    for other in ({"suite_sha256": "ab" * 32}, {"suite": "theirs"}):
        write_summary([run.model_copy(update=other), lines.measurement()], target, Path("report.html"))
        assert "Expected by" not in target.read_text(encoding="utf-8")
