"""A copy of the project in which a test may plant a fault, and the gate run on it by the command line."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PACKAGES = ("sparq_perf", "profiles/sparq_profiles", "roofline/sparq_roofline", "kernels/sparq_kernels")
BASELINE = ROOT / "reports" / "baselines" / "deterministic.json"

Gate = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def planted(tmp_path: Path) -> Callable[[Mapping[str, tuple[str, str]]], Gate]:
    """planted({"kernels/…/file.py": (old, new)}) returns gate(*arguments), which runs the gate on the changed copy."""

    def _planted(edits: Mapping[str, tuple[str, str]]) -> Gate:
        for package in PACKAGES:
            shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
        for name, (old, new) in edits.items():
            path = tmp_path / name
            text = path.read_text()
            assert text.count(old) == 1, f"{name}: {old!r} is there {text.count(old)} times"
            path.write_text(text.replace(old, new))
        inherited = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
        sources = [tmp_path, *(tmp_path / package for package in ("profiles", "roofline", "kernels"))]
        path_list = os.pathsep.join(map(str, [*sources, *filter(None, sys.path)]))

        def _gate(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "sparq_perf", "gate", "--baseline", str(BASELINE), *arguments],
                env={**inherited, "PYTHONPATH": path_list, "COLUMNS": "200"},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=900,
                check=False,
            )

        return _gate

    return _planted
