"""`sparq-perf import`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.importing import COLUMNS
from sparq_perf.records.store import read_lines

ROW = "NVIDIA A100-SXM4-40GB,dense-x,2,4096,8,8,64,float16,,,,0.001,1e-6"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.csv"
    path.write_text(",".join(COLUMNS) + "\n" + ROW + "\n")
    return path


def test_a_table_becomes_records_and_a_report(call: Callable[..., Any], table: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.jsonl"
    outcome = call("import", table, "--hardware", "a100-sxm-40gb", "--out", out)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"records     {out}: 1 measurements of NVIDIA A100-SXM4-40GB\n"
    assert len(read_lines(out)) == 2
    assert call("report", out, "--out", tmp_path / "report.html").code == 0
    assert "NVIDIA A100-SXM4-40GB" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_json_and_a_device_that_is_not_the_profiles(call: Callable[..., Any], table: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.jsonl"
    outcome = call("import", table, "--hardware", "h100-sxm-80gb", "--out", out, "--json")
    assert json.loads(outcome.out) == {
        "records": str(out),
        "device": "NVIDIA A100-SXM4-40GB",
        "n_measurements": 1,
    }
    assert "is it the same?" in outcome.err


def test_refusals(call: Callable[..., Any], table: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.jsonl"
    out.write_text("something\n")
    for arguments, words in (
        ((table, "--hardware", "a100-sxm-40gb", "--out", out), "records.jsonl: holds something already"),
        ((table, "--hardware", "a1000"), "a1000"),
        ((table, "--hardware", "a100-sxm-40gb", "--cache-state", "tepid"), "--cache-state is 'tepid': choose cold or"),
        ((tmp_path / "none.csv", "--hardware", "a100-sxm-40gb"), "none.csv: cannot be read: No such file"),
    ):
        outcome = call("import", *arguments)
        assert outcome.code == 2
        assert words in outcome.err
        assert len(outcome.err.splitlines()) == 1
    assert out.read_text() == "something\n"
