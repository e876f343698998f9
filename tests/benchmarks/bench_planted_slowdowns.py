"""Slowdowns planted in the CPU kernels, and what `sparq-perf gate run` says of each: minutes, on a quiet machine.

    python tests/benchmarks/bench_planted_slowdowns.py [--pairs 6] [--timeout-s 2] [--threads 1]

Exit code 1 where one is not found, or where a kernel that nobody touched is said to be slower.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("sparq_perf", "profiles/sparq_profiles", "roofline/sparq_roofline", "kernels/sparq_kernels")
SUITE = """\
schema_version = 1
name = "planted"
title = "Planted"
device = "cpu"
dtype = "float32"

[[grids]]
model = "planted"
shape = { n_heads = 8, n_kv_heads = 8, head_dim = 128 }
seq_len = [8192]
configs = [{ rank = 32, top_k = 128 }]
"""
IMPLEMENTATIONS = ("dense-cpu", "sparq-cpu")
KERNELS = "kernels/sparq_kernels"
# What is planted: the file, the text that stands there, what takes its place, and whose time grows.
FAULTS = {
    "a sleep of 0.1 ms": (
        f"{KERNELS}/sparq_cpu/kernel.py",
        "    batch, n_heads, head_dim = q.shape\n",
        '    __import__("time").sleep(0.0001)\n    batch, n_heads, head_dim = q.shape\n',
        "sparq-cpu",
    ),
    "V read twice": (
        f"{KERNELS}/dense_cpu/kernel.py",
        "            _rescale(accumulated[task, split], scale)\n",
        "            _rescale(accumulated[task, split], scale)\n"
        "            _accumulate(accumulated[task, split], 0 * scores, v[b, h], start, stop)\n",
        "dense-cpu",
    ),
    "a tile of 16 rows": (f"{KERNELS}/dense_cpu/kernel.py", "TILE = ", "TILE = 16  # ", "dense-cpu"),
}


def plant(project: Path, fault: str) -> str:
    """Write a fault into a copy of the project; whose kernel it is."""
    name, old, new, whose = FAULTS[fault]
    path = project / name
    text = path.read_text()
    if old not in text:
        sys.exit(f"{fault}: {name} holds no {old!r} any more: mend this script")
    path.write_text(text.replace(old, new, 1))
    return whose


def judge(project: Path, out: Path, options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """What the gate says of the planted working tree, by implementation."""
    suite, settings = out.with_suffix(".suite.toml"), out.with_suffix(".toml")
    suite.write_text(SUITE)
    settings.write_text(f"[tool.sparq-perf.gate]\npairs = {options.pairs}\nmin_pairs = {min(options.pairs, 6)}\n")
    words = {
        **{"--base": "HEAD", "--candidate": ".", "--repo": project, "--out": out, "--suite": suite},
        **{"--config": settings, "--timeout-s": options.timeout_s, "--threads": options.threads},
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sparq_perf", "gate", "run", "--json"),
            *(str(word) for option in words.items() for word in option),
            *(word for name in IMPLEMENTATIONS for word in ("--implementation", name)),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if not done.stdout:
        sys.exit("the gate gave no verdict")
    return {one["key"].rsplit("/")[-1]: one for one in json.loads(done.stdout)["judgements"]}


def main() -> int:
    """Plant each fault in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--timeout-s", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT / folder) for folder in ("", "profiles", "roofline", "kernels")]
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        for package in PACKAGES:
            shutil.copytree(ROOT / package, project / package, ignore=shutil.ignore_patterns("__pycache__"))
        (project / ".gitignore").write_text("__pycache__/\n")
        git = ["git", "-C", str(project), "-c", "user.email=someone@example.org", "-c", "user.name=Someone"]
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "as it is"]):
            subprocess.run([*git, *command], check=True)
        for number, fault in enumerate(FAULTS):
            whose = plant(project, fault)
            judged = judge(project, Path(folder) / f"out-{number}", options)
            subprocess.run([*git, "checkout", "-q", "."], check=True)
            for name, one in judged.items():
                evidence = one["fresh"] or one["first"]
                effect = f"{evidence['effect']:+.1%}" if isinstance(evidence, dict) else "no numbers"
                planted = "planted" if name == whose else "untouched"
                print(
                    f"{fault:<20} {name:<10} {planted:<10} {one['verdict']:<10} {effect}  {'; '.join(one['reasons'])}"
                )
                bad += (one["verdict"] == "REGRESSED") != (name == whose)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
