"""`sparq_benchmark`, as a user's test session sees it: a pytest of its own, whose clock the test moves."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

# Time passes where a callable says so: nothing here depends on how busy this machine is.
CONFTEST = """
import functools
import pytest
from sparq_perf.gate.running import callables

class Clock:
    now, n = 0.0, 0
    def __call__(self):
        return self.now
    def takes(self, seconds):
        def call():
            self.n += 1
            self.now += seconds * (1 + 0.001 * (self.n % 7 - 3))
        return call

@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(callables, "Timer", functools.partial(callables.Timer, clock=clock))
    return clock
"""


@dataclass(frozen=True)
class Session:
    code: int
    out: str
    junit: Path

    @property
    def outcomes(self) -> dict[str, str]:
        """What became of each test: passed, failure or error."""
        cases = ElementTree.parse(self.junit).iter("testcase")
        return {
            str(case.get("name")): next((part.tag for part in case if part.tag != "properties"), "passed")
            for case in cases
        }

    @property
    def section(self) -> list[str]:
        """The plugin's lines at the end."""
        _, _, rest = self.out.partition("= sparq-perf gate =")
        return [line for line in rest.splitlines()[1:] if line and not line.startswith("=")]


@pytest.fixture
def session(tmp_path: Path) -> Callable[..., Session]:
    """session(tests, *options) runs these tests in a folder of their own."""

    def _session(tests: str, *options: str, conftest: str = CONFTEST) -> Session:
        (tmp_path / "conftest.py").write_text(conftest)
        (tmp_path / "test_kernels.py").write_text(tests)
        (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
        # By -p, for the sources here may not be what is installed, whose entry point would load it a second time.
        command = [sys.executable, "-m", "pytest", "-p", "sparq_perf.pytest_plugin", "-p", "no:cacheprovider"]
        path = os.pathsep.join(filter(None, sys.path))
        done = subprocess.run(
            [*command, *options, "--junit-xml=junit.xml", "test_kernels.py"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Session(done.returncode, done.stdout + done.stderr, tmp_path / "junit.xml")

    return _session


def test_verdicts_pass_and_fail_tests(session: Callable[..., Session]) -> None:
    said = session("""
def test_same(sparq_benchmark, clock):
    judgement = sparq_benchmark(clock.takes(1e-3), baseline=clock.takes(1e-3))
    assert judgement.verdict == "SAME"
    assert abs(judgement.evidence.effect) < 0.01

def test_slower(sparq_benchmark, clock):
    sparq_benchmark(clock.takes(1.05e-3), baseline=clock.takes(1e-3), name="my kernel")

def test_faster(sparq_benchmark, clock):
    assert sparq_benchmark(clock.takes(0.9e-3), baseline=clock.takes(1e-3)).verdict == "IMPROVED"

def test_within_its_floor(sparq_benchmark, clock):
    sparq_benchmark(clock.takes(1.05e-3), baseline=clock.takes(1e-3), floor=0.1)

def test_forgotten(sparq_benchmark):
    pass

def test_wrong_use(sparq_benchmark):
    sparq_benchmark("os:getpid", baseline=print)

def test_raises(sparq_benchmark):
    def broken():
        raise ZeroDivisionError
    sparq_benchmark(broken, baseline=broken)
""")
    assert said.code == 1
    assert said.outcomes == {
        "test_same": "passed",
        "test_slower": "failure",
        "test_faster": "passed",
        "test_within_its_floor": "passed",
        "test_forgotten": "error",
        "test_wrong_use": "failure",
        "test_raises": "failure",
    }
    assert "nothing was judged: call it, or leave the fixture out" in said.out
    first, *rest = said.section
    assert first.startswith("REGRESSED   my kernel: +5.0 % [")
    assert "8 fresh pairs" in first
    assert [line.split()[0] for line in rest[:4]] == ["INVALID", "IMPROVED", "SAME", "SAME"]
    properties = ElementTree.parse(said.junit).iter("property")
    told = {one["key"]: one["verdict"] for one in (json.loads(str(each.get("value"))) for each in properties)}
    assert told["my kernel"] == "REGRESSED"


def test_noise_is_no_pass(session: Callable[..., Session]) -> None:
    said = session("""
import itertools

def test_noisy(sparq_benchmark, clock):
    kinds = itertools.cycle([clock.takes(1e-3), clock.takes(9e-3), clock.takes(3e-3)])
    sparq_benchmark(lambda: next(kinds)(), baseline=clock.takes(1e-3), pairs=6)
""")
    assert said.outcomes == {"test_noisy": "failure"}
    assert said.section[0].startswith("INVALID ")
    assert "noisy: the median is known to" in said.out


def test_a_stored_baseline(session: Callable[..., Session], tmp_path: Path) -> None:
    saving = "def test_it(sparq_benchmark, clock):\n    sparq_benchmark(clock.takes(1e-3), name='kernel')\n"
    saved = session(saving, "--sparq-benchmark-save")
    assert (saved.code, saved.section[0].split()[0]) == (0, "STORED")
    said = session("""
import pytest

@pytest.mark.parametrize(("name", "time_s"), [("kernel", 1.05e-3), ("kernel", 2e-3), ("another", 1e-3)])
def test_it(sparq_benchmark, clock, name, time_s):
    sparq_benchmark(clock.takes(time_s), name=name)
""")
    assert list(said.outcomes.values()) == ["passed", "failure", "failure"]
    assert [line.split()[0] for line in said.section[:3]] == ["REGRESSED", "INVALID", "SAME"]
    assert "holds no baseline of another: measure one with --sparq-benchmark-save" in said.out
    path = tmp_path / ".sparq-benchmarks.json"
    stored = json.loads(path.read_text())
    stored["benchmarks"]["kernel"]["environment"]["processor"] = "another"
    path.write_text(json.dumps(stored))
    elsewhere = session(saving)
    assert (elsewhere.code, elsewhere.section[0].split()[0]) == (1, "INVALID")
    assert "different environment: processor is another in the stored baseline" in elsewhere.out


def test_processes_of_their_own(session: Callable[..., Session], tmp_path: Path) -> None:
    (tmp_path / "kernels_of_mine.py").write_text(
        "def spin(n):\n    for _ in range(n):\n        pass\n"
        "def short():\n    spin(20_000)\ndef long():\n    spin(80_000)\ndef broken():\n    raise OSError('no device')\n"
    )
    said = session("""
def test_slower(sparq_benchmark):
    sparq_benchmark("kernels_of_mine:long", baseline="kernels_of_mine:short", block_s=0.01, pairs=3)

def test_broken(sparq_benchmark):
    sparq_benchmark("kernels_of_mine:broken", baseline="kernels_of_mine:short", block_s=0.01, pairs=3)
""")
    # On a machine that is too busy the first is INVALID or AMBIGUOUS: never a pass.
    assert said.outcomes == {"test_slower": "failure", "test_broken": "failure"}
    assert "its process ended with exit code 1: OSError: no device" in said.out


def test_disabled_calls_once_and_says_so(session: Callable[..., Session]) -> None:
    said = session(
        "def test_it(sparq_benchmark):\n    calls = []\n"
        "    assert sparq_benchmark(lambda: calls.append('c'), baseline=lambda: calls.append('b')) is None\n"
        "    assert calls == ['b', 'c']\n",
        "--sparq-benchmark-disable",
    )
    assert said.code == 0
    assert said.section == ["NOT JUDGED  test_kernels.py::test_it: as asked by --sparq-benchmark-disable"]


def test_under_a_tracer_nothing_is_judged(session: Callable[..., Session]) -> None:
    said = session("""
import sys

def test_it(sparq_benchmark):
    sys.settrace(lambda *_: None)
    try:
        sparq_benchmark(int, baseline=int)
    finally:
        sys.settrace(None)
""")
    assert said.outcomes == {"test_it": "failure"}
    assert "a tracer (coverage, a debugger, a profiler) is attached" in said.out


def test_who_does_not_use_it_pays_nothing(session: Callable[..., Session]) -> None:
    said = session("""
import sys

def test_light():
    heavy = {"torch", "triton", "numba", "numpy", "scipy", "pandas", "plotly", "pydantic", "typer"}
    assert heavy.isdisjoint(sys.modules)
    loaded = {name for name in sys.modules if name.startswith("sparq")}
    assert loaded == {"sparq_perf", "sparq_perf.pytest_plugin"}
""", conftest="")  # fmt: skip
    assert said.code == 0, said.out
    assert "sparq-perf gate" not in said.out


def test_the_entry_point_names_the_plugin() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"sparq-perf": "sparq_perf.pytest_plugin"}
