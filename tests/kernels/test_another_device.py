"""The tests of all implementations can have their caches on a device: here on one that is the CPU by another name."""

import os
import subprocess
import sys
from pathlib import Path


def test_they_run_there() -> None:
    folder = Path(__file__).parent
    chosen = "test_coverage_by_hand or test_inputs_are_not_changed"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen]
    done = subprocess.run(
        [*command, str(folder / "test_implementations.py")],
        env={**os.environ, "SPARQ_PERF_TEST_DEVICE": "cpu:0"},
        cwd=folder.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    # Two sparse implementations, and each with two dense ones.
    assert "6 passed" in done.stdout, done.stdout
