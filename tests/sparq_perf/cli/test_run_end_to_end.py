"""A real run on this machine's CPU, ended by Ctrl-C, killed, and resumed, as a user's would be.

The real ceilings and calibration take minutes, so a driver makes them coarse before it calls the command line; what
is measured, recorded and reported afterwards is the real thing.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.records.store import read_lines

# Small buffers, few and short calibration points; and Ctrl-C works even where this test's own parent ignores it.
DRIVER = """
import dataclasses, signal
from sparq_perf.measure import cpu_ceilings, cpu_machine
from sparq_perf.measure.machine import CalibrationGrid

signal.signal(signal.SIGINT, signal.default_int_handler)
cpu_ceilings.SMALLEST_DRAM_BYTES = cpu_ceilings.LARGEST_DRAM_BYTES = 16 * 2**20
shapes = tuple((1, seq_len, 4, 2, 32) for seq_len in (200, 300, 500, 700, 1100, 1500))
cpu_machine.CALIBRATION = CalibrationGrid(shapes, cpu_machine.CALIBRATION.settings)
cpu_machine.PACE = dataclasses.replace(cpu_machine.PACE, calibration_samples=3, calibration_timeout_s=0.1, attempts=1)
find_ceilings = cpu_machine.find_ceilings
cpu_machine.find_ceilings = lambda *a, **k: find_ceilings(*a, **k, seconds=0.2)

from sparq_perf.cli.main import main
main()
"""

SUITE = """
name = "tiny"
title = "Tiny"
dtype = "float32"

[[grids]]
model = "tiny"
shape = { n_heads = 4, n_kv_heads = 2, head_dim = 32 }
seq_len = [512, 640, 768, 896, 1024, 1152]
configs = [{ rank = 8, top_k = 64 }]
"""
N_PLANNED = 6 * 4
DEADLINE_S = 120.0


class Command:
    """Starts runs of the tiny suite in processes of their own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.out, self._environment = folder / "out", environment
        self.records, self.report = self.out / "records.jsonl", self.out / "report.html"
        self._suite, self._driver = folder / "tiny.toml", folder / "driver.py"
        self._suite.write_text(SUITE)
        self._driver.write_text(DRIVER)
        self.children: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        child = subprocess.Popen(
            [
                sys.executable,
                self._driver,
                "run",
                "--device",
                "cpu",
                "--suite",
                self._suite,
                "--out",
                self.out,
                *arguments,
            ],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.children.append(child)
        return child

    def wait_for_measurements(self, child: "subprocess.Popen[str]", n: int) -> None:
        """Until so many measurements are on disk while the run goes on."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and child.poll() is None:
            if self.records.exists() and self.records.read_text().count('"record":"measurement"') >= n:
                return
            time.sleep(0.02)
        pytest.fail(f"the run ended, or took too long, before {n} measurements: {child.poll()}")

    def whole_lines(self) -> bytes:
        """The records up to the last whole line."""
        return b"".join(line for line in self.records.read_bytes().splitlines(keepends=True) if line.endswith(b"\n"))

    def measured(self) -> list[Any]:
        return [line for line in read_lines(self.records) if line.record == "measurement"]  # type: ignore[attr-defined]


@pytest.fixture
def command(tmp_path: Path, environment: dict[str, str]) -> Iterator[Command]:
    command = Command(tmp_path, environment)
    yield command
    for child in command.children:
        if child.poll() is None:
            child.kill()
        child.communicate()


def test_interrupted_killed_and_resumed(command: Command, call: Callable[..., Any]) -> None:
    # Ctrl-C: a clean end, a report of what there is.
    child = command.start("--timeout-s", "0.3")
    command.wait_for_measurements(child, 1)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 130, err
    assert "Traceback" not in err
    assert [line.partition(" ")[0] for line in out.splitlines()] == [
        "records",
        "ceilings",
        "measured",
        "best",
        "prediction",
        "report",
    ]
    end = read_lines(command.records)[-1]
    assert end.record == "end"  # type: ignore[attr-defined]
    assert end.outcome == "interrupted"  # type: ignore[attr-defined]
    n_measured = len(command.measured())
    assert 1 <= n_measured < N_PLANNED
    assert "<html" in command.report.read_text(encoding="utf-8")

    # kill -9: what was measured stays, at most the last line is torn.
    child = command.start("--timeout-s", "0.3", "--resume")
    command.wait_for_measurements(child, n_measured + 1)
    child.kill()
    child.communicate(timeout=DEADLINE_S)
    assert child.returncode == -signal.SIGKILL
    kept = command.whole_lines()
    assert kept.count(b'"record":"measurement"') < N_PLANNED

    # Only what is missing is measured then, without new ceilings or calibration.
    child = command.start("--timeout-s", "0.3", "--resume", "--json")
    out, err = child.communicate(timeout=DEADLINE_S)
    assert "Traceback" not in err, err
    document = json.loads(out)
    assert document["outcome"] == "complete"
    assert document["records"] == str(command.records)
    assert len(document["summary"]) == 6
    assert command.records.read_bytes().startswith(kept)
    lines = read_lines(command.records)
    records = [line.record for line in lines]  # type: ignore[attr-defined]
    assert records.count("run") == 3
    assert records.count("calibration") == 4
    assert [line.phase for line in lines if line.record == "ceilings"] == ["start", "end"]  # type: ignore[attr-defined]

    measured = command.measured()
    assert len({m.key for m in measured}) == len(measured) == N_PLANNED
    assert {m.shape.seq_len for m in measured} == {512, 640, 768, 896, 1024, 1152}
    assert {m.implementation for m in measured} == {"dense-cpu", "dense-sdpa", "sparq-cpu", "sparq-torch"}
    for m in measured:
        # A shared machine may be noisy, but the results are right, and nothing failed.
        assert m.status != "failed"
        assert not any(reason.startswith("wrong") for reason in m.reasons)
        assert m.max_error <= m.error_tolerance
        assert 0 < min(m.samples_s) <= m.median_s < 1
        assert m.prediction.evidence == "calibrated"
        assert m.read_bandwidth_bytes_per_s > 1e8
    profiles = [line for line in lines if line.record == "step_profile"]  # type: ignore[attr-defined]
    assert {p.key for p in profiles} == {m.key for m in measured}  # type: ignore[attr-defined]
    for p in profiles:
        names = {step.name for step in p.steps}  # type: ignore[attr-defined]
        assert names >= ({"attend"} if p.config is None else {"score", "select", "gather"})  # type: ignore[attr-defined]
        assert 0 < sum(step.time_s for step in p.steps) <= 1.05 * p.total_s  # type: ignore[attr-defined]
    assert child.returncode == (0 if any(m.status == "ok" for m in measured) else 2)
    assert call("report", command.out).code == 0
