"""A sleep planted in a real kernel is found by the real gate, by the clock, on this machine's CPU.

Few and short processes: what is planted is large. tests/benchmarks/bench_gate.py has smaller faults, and takes minutes.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PACKAGES = ("sparq_perf", "profiles/sparq_profiles", "roofline/sparq_roofline", "kernels/sparq_kernels")
KERNEL = "kernels/sparq_kernels/sparq_torch/kernel.py"
SUITE = """\
schema_version = 1
name = "planted"
title = "Planted"
device = "cpu"
dtype = "float32"

[[grids]]
model = "tiny"
shape = { n_heads = 4, n_kv_heads = 2, head_dim = 64 }
seq_len = [1024]
cache_state = ["warm"]
configs = [{ rank = 16, top_k = 64 }]
"""
# Three pairs and no confirmation: this test is about finding, and every process takes seconds.
SETTINGS = "[tool.sparq-perf.gate]\npairs = 3\nmin_pairs = 3\nconfirm = false\n"


def test_a_sleep_in_a_kernel_is_found(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, project / package, ignore=shutil.ignore_patterns("__pycache__"))
    (project / ".gitignore").write_text("__pycache__/\n*.nbi\n*.nbc\n")
    git = ["git", "-C", str(project), "-c", "user.email=someone@example.org", "-c", "user.name=Someone"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "as it is"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    kernel = project / KERNEL
    text = kernel.read_text()
    begin = '    """SparQ attention of q'
    assert text.count(begin) == 1
    kernel.write_text(text.replace(begin, '    __import__("time").sleep(0.02)\n' + begin))
    (tmp_path / "planted.toml").write_text(SUITE)
    (tmp_path / "gate.toml").write_text(SETTINGS)
    options = {
        **{"--base": "HEAD", "--candidate": ".", "--repo": project, "--out": tmp_path / "out"},
        **{"--suite": tmp_path / "planted.toml", "--config": tmp_path / "gate.toml", "--timeout-s": 1},
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sparq_perf", "gate", "run", "--json"),
            *(str(word) for option in options.items() for word in option),
            *("--implementation", "sparq-torch", "--implementation", "dense-sdpa", "--threads", "1"),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    # Whatever the machine is busy with, this is never a pass.
    assert done.returncode in (1, 2), done.stderr
    judged = {one["key"].rsplit("/")[-1]: one for one in json.loads(done.stdout)["judgements"]}
    why = "; ".join(judged["sparq-torch"]["reasons"])
    if judged["sparq-torch"]["verdict"] == "INVALID" and "noisy: " in why:
        pytest.skip(f"this machine is too busy to time anything: {why}")
    assert judged["sparq-torch"]["verdict"] == "REGRESSED"
    # The sleep itself: what the call takes without it differs by machine.
    first = judged["sparq-torch"]["first"]
    assert 0.02 < first["candidate"] - first["base"] < 0.04
    # Nothing is said of dense-sdpa: it takes turns with a kernel that sleeps, whose caches others use meanwhile.
