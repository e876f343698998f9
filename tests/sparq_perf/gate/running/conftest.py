"""A project in git whose `sparq-perf run` takes a moment: it leaves records whose times a file in its tree decides."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.cli.main import main
from sparq_perf.records.store import RecordWriter

# What stands in for sparq-perf in each revision. speed.txt holds a factor of all times, or a way to fail; it is in the
# kernels' package, as a slow kernel would be.
FAKE_MAIN = """
import json, os, sys, time, tomllib, uuid
from datetime import UTC, datetime
from pathlib import Path

OPTIONS = "--suite --out --no-report --seed --device --threads --timeout-s --implementation --no-profile --no-predict"
if "--help" in sys.argv:
    print(OPTIONS)
    sys.exit()
tree = Path(__file__).parents[1]
speed = (tree / "kernels/sparq_kernels/speed.txt").read_text().strip()
arguments = sys.argv[sys.argv.index("run") + 1 :]
out = Path(arguments[arguments.index("--out") + 1])
suite = tomllib.loads(Path(arguments[arguments.index("--suite") + 1]).read_text())
lengths = {length for grid in suite["grids"] for length in grid["seq_len"]}
(out / "arguments.json").write_text(json.dumps(arguments))
if speed == "crash":
    print("first words")
    sys.exit("the kernel is broken")
if speed == "hang":
    time.sleep(60)
if speed == "silent":
    sys.exit()
log = Path(os.environ["FAKE_LOG"])
n = len(log.read_text().split()) if log.exists() else 0
with log.open("a") as file:
    file.write(tree.name + "\\n")
QUIET = (0.005, -0.004, 0.002, -0.003, 0.004, -0.005, 0.003, -0.002)
shift = QUIET[n // 2 % 8] / 2 * (1 if tree.name == "cand" else -1)
if os.environ.get("FAKE_NOISE") and n < int(os.environ["FAKE_NOISE"]) and tree.name == "cand":
    shift += 0.1  # by chance
run_id = uuid.uuid4().hex[:12]
with (out / "records.jsonl").open("w") as file:
    for raw in Path(os.environ["FAKE_TEMPLATE"]).read_text().splitlines():
        line = json.loads(raw)
        if line["record"] == "measurement":
            if line["shape"]["seq_len"] not in lengths:
                continue
            slow = float(speed) if line["implementation"].startswith("sparq") and speed[0].isdigit() else 1.0
            factor = slow * (1 + shift)
            for name in ("samples_s", "median_ci_s"):
                line[name] = [value * factor for value in line[name]]
            line.pop("median_s")
        if line["record"] == "end" and speed == "torn":
            break
        line["run_id"], line["time"] = run_id, datetime.now(UTC).isoformat()
        file.write(json.dumps(line) + "\\n")
"""

SUITE = """\
schema_version = 1
name = "tiny"
title = "Tiny"
device = "cpu"
dtype = "float32"

[[grids]]
model = "tiny"
shape = { n_heads = 4, n_kv_heads = 2, head_dim = 32 }
seq_len = [512, 1024]
configs = [{ rank = 8, top_k = 64 }]
implementations = ["dense-cpu", "sparq-cpu"]
"""


def key(seq_len: int, contender: str) -> str:
    return f"tiny/B1-S{seq_len}-h4x2x32-float32/cold/two_copies/{contender}"


DENSE, SPARQ = "dense/dense-cpu", "r8-k64-l16-mean-logits/sparq-cpu"


@dataclass
class Project:
    """The repository, and the files beside it."""

    root: Path
    log: Path
    suite: Path

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(self.root), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    @property
    def speed(self) -> Path:
        return self.root / "kernels" / "sparq_kernels" / "speed.txt"

    def commit(self, speed: str, message: str = "another speed") -> str:
        self.speed.write_text(speed)
        self.git("add", ".")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    @property
    def order(self) -> list[str]:
        """Which arm each process so far was of."""
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture
def project(tmp_path: Path, lines: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    from sparq_profiles import AttentionShape, SparqConfig

    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "project"
    for package in ("sparq_perf", "profiles/sparq_profiles", "roofline/sparq_roofline", "kernels/sparq_kernels"):
        (root / package).mkdir(parents=True)
        (root / package / "__init__.py").touch()
    (root / "sparq_perf" / "__main__.py").write_text(FAKE_MAIN)
    template = tmp_path / "template.jsonl"
    with RecordWriter(template) as writer:
        writer.append(lines.run())
        for seq_len in (512, 1024):
            shape = AttentionShape(1, seq_len, 4, 2, 32, "float32")
            times = (1.0e-3, 1.001e-3, 0.999e-3)
            writer.append(lines.measurement(times, key=key(seq_len, DENSE), shape=shape))
            config = SparqConfig(8, 64, 16)
            writer.append(lines.measurement(times, key=key(seq_len, SPARQ), shape=shape, config=config))
        writer.append(lines.end(n_measured=4))
    monkeypatch.setenv("FAKE_TEMPLATE", str(template))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "processes.txt"))
    suite = tmp_path / "tiny.toml"
    suite.write_text(SUITE)
    made = Project(root, tmp_path / "processes.txt", suite)
    made.git("init", "-q", "-b", "main")
    made.git("config", "user.email", "someone@example.org")
    made.git("config", "user.name", "Someone")
    made.commit("1.0", "the beginning")
    return made


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """call("gate", "run", ...) returns exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def _call(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["sparq-perf", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Said(int(ended.value.code or 0), captured.out, captured.err)

    return _call


@pytest.fixture
def gate_run(call: Callable[..., Said], project: Project, tmp_path: Path) -> Callable[..., Said]:
    """gate_run("--base", "main", ...) on the project, with all its records in tmp_path/out."""

    def _run(*arguments: object, out: str = "out") -> Said:
        fixed = ("--suite", project.suite, "--repo", project.root, "--out", tmp_path / out)
        return call("gate", "run", *fixed, *arguments)

    return _run
