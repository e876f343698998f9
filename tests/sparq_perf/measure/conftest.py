"""A run whose heavy parts are replaced: everything about its records, nothing about its times."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import pytest
import torch

from sparq_perf.measure import run as run_module
from sparq_perf.measure.calibrating import SHAPES, Calibrated
from sparq_perf.measure.run import RunOptions, run_suite
from sparq_perf.measure.timing import Contender, Timing
from sparq_perf.records.schema import ProfiledStep
from sparq_perf.records.store import read_lines
from sparq_profiles.suite import Suite

HEADS = {"n_heads": 4, "n_kv_heads": 2, "head_dim": 32}
QUIET = (1.00e-3, 1.01e-3, 1.02e-3, 1.00e-3, 1.01e-3, 1.02e-3, 1.00e-3, 1.01e-3, 1.02e-3)


def tiny_suite(**fields: Any) -> Suite:
    """Two lengths, two configurations, so 2 · (2 dense + 2 · 2 sparse) = 12 measurements."""
    grid = {
        "model": "tiny",
        "shape": HEADS,
        "seq_len": [512, 1024],
        "configs": [{"rank": 8, "top_k": 64}, {"rank": 16, "top_k": 128}],
    }
    return Suite.model_validate(
        {"name": "tiny", "title": "Tiny", "grids": [{**grid, **fields.pop("grid", {})}], **fields}
    )


class Notes:
    """A Progress that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.total = self.done = 0.0

    def start(self, total_s: float) -> None:
        self.total = total_s

    def stage(self, text: str) -> None:
        pass

    def advance(self, seconds: float) -> None:
        self.done += seconds

    def note(self, text: str) -> None:
        self.notes.append(text)


class Bench:
    """Stands for the machine: what each heavy part does, and what was asked of it.

    Attributes:
        samples, bandwidth, error, stop_reason: what a measurement finds.
        before_group, before_profile: called first when a group is timed, or a contender profiled; may raise.
        available: free memory.
        flushes: bandwidths that the flush has seen; calibration_flushes: what each calibration adds, in turn.
    """

    def __init__(self, lines: Any, out: Path) -> None:
        self.lines, self.out = lines, out
        self.samples: tuple[float, ...] = QUIET
        self.bandwidth: float | None = 10e9
        self.error, self.stop_reason = 1e-7, "noise"
        self.available = 8e9
        self.flushes: list[float] = []
        self.calibration_flushes: list[float] = []
        self.calls: list[tuple[Any, ...]] = []
        self.before_group: Callable[[int], None] = lambda seq_len: None
        self.before_profile: Callable[[str], None] = lambda implementation: None
        self.before_build: Callable[[int], None] = lambda seq_len: None
        self.environment = lines.environment()
        self.progress = Notes()

    # The parts, by the names they have in sparq_perf.measure.run.
    def find_ceilings(self, n_threads: int, flush: Any, *, progress: Callable[[str], None]) -> Any:
        self.calls.append(("ceilings",))
        return self.lines.hardware()

    def calibrate(self, implementations: Sequence[str], *_: Any, **options: Any) -> dict[str, Calibrated]:
        self.calls.append(("calibrate", *implementations))
        if self.calibration_flushes:
            self.flushes.append(self.calibration_flushes.pop(0))
        for _ in SHAPES:
            options["progress"]("a shape")
        points = self.lines.calibration().points
        return {name: Calibrated(self.lines.time_model(), points) for name in implementations}

    def largest_error(self, shape: Any, config: Any, implementation: str, seed: int) -> float:
        return self.error

    def build_cache(self, shape: Any, k_layout: str, seed: int) -> Any:
        self.before_build(shape.seq_len)
        return SimpleNamespace(k_layout=k_layout)

    def make_rounds(self, cache: Any, shape: Any, cache_state: str, flush: Any, seed: int) -> Any:
        def time(contenders: Sequence[Contender], rule: Any, **_: Any) -> list[Timing]:
            self.before_group(shape.seq_len)
            self.calls.append(("time", shape.seq_len, *(c.implementation for c in contenders)))
            bandwidth = None if cache_state == "warm" else self.bandwidth
            return [Timing(self.samples, self.stop_reason, bandwidth) for _ in contenders]  # type: ignore[arg-type]

        return SimpleNamespace(time=time)

    def profile_steps(self, cache: Any, shape: Any, contender: Contender, flush: Any, seed: int) -> Any:
        self.before_profile(contender.implementation)
        self.calls.append(("profile", shape.seq_len, contender.implementation))
        return 2e-3, (ProfiledStep(name="score", time_s=1e-3),)

    # What a test does.
    def run(self, suite: Suite | None = None, **options: Any) -> str:
        """Run; returns the outcome."""
        chosen = RunOptions(suite=suite or tiny_suite(), out=self.out, **{"n_threads": 1, **options})
        path, outcome = run_suite(chosen, self.progress)
        assert path == self.path
        return outcome

    @property
    def path(self) -> Path:
        return self.out / "records.jsonl"

    def lines_of(self, kind: str) -> list[Any]:
        return [line for line in read_lines(self.path) if line.record == kind]  # type: ignore[attr-defined]

    def measured_keys(self) -> list[str]:
        return [line.key for line in self.lines_of("measurement")]


@pytest.fixture
def bench(lines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(lines, tmp_path / "out")
    parts = ("find_ceilings", "calibrate", "largest_error", "build_cache", "profile_steps")
    for part in parts:
        monkeypatch.setattr(run_module, part, getattr(bench, part))
    monkeypatch.setattr(run_module, "Rounds", bench.make_rounds)
    monkeypatch.setattr(run_module, "Flush", lambda n_threads: SimpleNamespace(flush_bytes=2**30, seen=bench.flushes))
    monkeypatch.setattr(run_module, "memory_available_bytes", lambda: int(bench.available))
    monkeypatch.setattr(run_module, "probe_environment", lambda n_threads: bench.environment)
    threads, handler = (numba.get_num_threads(), torch.get_num_threads()), signal.getsignal(signal.SIGTERM)
    yield bench
    assert signal.getsignal(signal.SIGTERM) is handler
    numba.set_num_threads(threads[0])
    torch.set_num_threads(threads[1])


@pytest.fixture
def suite_of() -> Callable[..., Suite]:
    return tiny_suite


@pytest.fixture
def terminate() -> Callable[[], None]:
    """Sends this process the signal that a polite kill sends."""
    return lambda: os.kill(os.getpid(), signal.SIGTERM)
