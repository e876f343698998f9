"""`sparq-perf report` of fidelity records: which pages it writes, and what it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.records.store import RecordWriter


def written(path: Path, lines: list[Any]) -> Path:
    with RecordWriter(path) as writer:
        for line in lines:
            writer.append(line)
    return path


@pytest.fixture
def fidelity_file(lines: Any, tmp_path: Path) -> Path:
    dense = lines.fidelity(key="dense", config=None, transfer_ratio=None, layers=(), scores={"kl_nats": 0.0}, stderr={})
    return written(tmp_path / "latest" / "fidelity.jsonl", [lines.fidelity(), dense])


def test_fidelity_alone_makes_its_own_page(call: Callable[..., Any], fidelity_file: Path, tmp_path: Path) -> None:
    outcome = call("report", fidelity_file, "--tolerance", "kl=0.2", "--tolerance", "accuracy=0.01")
    assert (outcome.code, outcome.err) == (0, "")
    page = fidelity_file.parent / "fidelity.html"
    told = outcome.out.replace("\u00a0", " ").splitlines()
    assert told == [
        "tolerance   For KL at most 0.2 nats: r 8, k 64, 0.2 of the dense transfers, KL 0.10 ± 0.01 nats.",
        "tolerance   accuracy=0.01: no setting here was measured by it",
        f"report      {page}",
    ]
    assert "what SparQ Attention loses" in page.read_text(encoding="utf-8")
    assert not (fidelity_file.parent / "report.html").exists()
    assert call("report", fidelity_file, "--out", tmp_path / "else.html").code == 0
    assert (tmp_path / "else.html").exists()


def test_both_kinds_make_both_pages_linked(call: Callable[..., Any], every_kind: list[Any], tmp_path: Path) -> None:
    path = written(tmp_path / "records.jsonl", every_kind)
    outcome = call("report", path)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"fidelity    {tmp_path / 'fidelity.html'}" in outcome.out.splitlines()
    assert outcome.out.splitlines()[-1] == f"report      {tmp_path / 'report.html'}"
    assert 'href="fidelity.html"' in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'href="report.html"' in (tmp_path / "fidelity.html").read_text(encoding="utf-8")


def test_speed_of_another_file_stands_beside(call: Callable[..., Any], fidelity_file: Path, lines: Any) -> None:
    pair = [lines.measurement((3e-3,) * 3), lines.measurement((2e-3,) * 3, config=lines.fidelity().config)]
    speed = written(fidelity_file.parent / "run" / "records.jsonl", [lines.run(), *pair])
    assert call("report", fidelity_file, "--speed", speed.parent, "--hardware", "h100-sxm-80gb").code == 0
    text = (fidelity_file.parent / "fidelity.html").read_text(encoding="utf-8")
    assert "1.50×" in text
    assert "records.jsonl, 3 lines" in text
    assert "NVIDIA H100" in text


def test_a_run_without_fidelity_has_no_link(call: Callable[..., Any], lines: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "records.jsonl", [lines.run(), lines.measurement()])
    assert call("report", path).code == 0
    assert "fidelity.html" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not (tmp_path / "fidelity.html").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--tolerance", "kl"), "tolerance 'kl': write METRIC=LIMIT"),
        (("--tolerance", "bleu=3"), "choose one of kl, agreement, perplexity, accuracy"),
        (("--tolerance", "agreement=95"), "the limit must be from 0 to 1"),
        (("--speed", "no/records.jsonl"), "no/records.jsonl: no such file"),
        (("--hardware", "h100"), "unknown hardware 'h100'"),
    ],
)
def test_wrong_input_is_one_line(
    call: Callable[..., Any], fidelity_file: Path, options: tuple[str, ...], complaint: str
) -> None:
    outcome = call("report", fidelity_file, *options)
    assert outcome.code == 2
    assert len(outcome.err.splitlines()) == 1
    assert complaint in outcome.err
    assert not (fidelity_file.parent / "fidelity.html").exists()


def test_a_tolerance_needs_fidelity_lines(call: Callable[..., Any], lines: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "records.jsonl", [lines.run(), lines.measurement()])
    outcome = call("report", path, "--tolerance", "kl=0.05")
    assert (outcome.code, len(outcome.err.splitlines())) == (2, 1)
    assert f"--tolerance: {path} holds no fidelity lines" in outcome.err


def test_both_pages_need_two_names(call: Callable[..., Any], every_kind: list[Any], tmp_path: Path) -> None:
    path = written(tmp_path / "records.jsonl", every_kind)
    outcome = call("report", path, "--out", tmp_path / "fidelity.html")
    assert (outcome.code, len(outcome.err.splitlines())) == (2, 1)
    assert "choose another" in outcome.err


def test_help_names_the_options(call: Callable[..., Any]) -> None:
    told = call("report", "--help").out
    for words in ("--speed", "--tolerance", "--hardware", "kl=0.05", "fidelity.html"):
        assert words in told
