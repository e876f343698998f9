"""A run whose machine is replaced: everything about its records, nothing about its times."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import pytest
import torch

from sparq_perf.measure import checking as checking_module
from sparq_perf.measure import preparing as preparing_module
from sparq_perf.measure import run as run_module
from sparq_perf.measure import session as session_module
from sparq_perf.measure import timing_pass as timing_module
from sparq_perf.measure.calibrating import Calibrated
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.cpu_machine import CALIBRATION, PACE, CpuMachine
from sparq_perf.measure.dram import cpu_rungs
from sparq_perf.measure.observing import Place
from sparq_perf.measure.run import RunOptions, run_suite
from sparq_perf.measure.timing import Timing
from sparq_perf.measure.traced_calls import Piece, TracedCall
from sparq_perf.records.reading import Absence
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
    """A machine whose heavy parts do what the test says, and remember what was asked of them.

    Attributes:
        samples, bandwidth, error, stop_reason: what a measurement finds.
        seen: what else a timing says: timer, n_starved, slowdowns.
        before_group, before_profile: called first when a group is timed, or a contender profiled; may raise.
        available: free memory.
        flushes: bandwidths that the flush has seen; calibration_flushes: what each calibration adds, in turn.
        rules: the stopping rule of each group; releases: how often memory was given back.
        profiler_sees: whether the profiler's pass finds anything.
    """

    def __init__(self, lines: Any, out: Path) -> None:
        self.lines, self.out = lines, out
        self.samples: tuple[float, ...] = QUIET
        self.bandwidth: float | None = 10e9
        self.error, self.stop_reason = 1e-7, "noise"
        self.available = 8e9
        self.flushes: list[float] = []
        self.calibration_flushes: list[float] = []
        self.asked: list[tuple[Any, ...]] = []
        self.before_group: Callable[[int], None] = lambda seq_len: None
        self.before_profile: Callable[[str], None] = lambda implementation: None
        self.before_build: Callable[[int], None] = lambda seq_len: None
        self.environment = lines.environment()
        self.progress = Notes()
        self.rules: list[Any] = []
        self.releases = 0
        self.profiler_sees = True
        self.seen: dict[str, Any] = {}

    # The machine.
    device_type, device = "cpu", torch.device("cpu")
    pace, calibration = PACE, CALIBRATION

    nvml = Absence(kind="driver_missing", detail="no driver")
    dram = cpu_rungs()
    architecture = None
    l2_bytes = None

    @property
    def flush(self) -> Any:
        return SimpleNamespace(flush_bytes=2**30, seen=self.flushes)

    def find_ceilings(self, progress: Callable[[str], None]) -> Any:
        self.asked.append(("ceilings",))
        return self.lines.hardware()

    def memory_available_bytes(self) -> int:
        return int(self.available)

    def release(self) -> None:
        self.releases += 1

    def calls(self, cache: Any, place: Place, seed: int, *, replayed: bool) -> Any:
        self.before_profile(place.contender.implementation)
        self.asked.append(("profile", place.group.shape.seq_len, place.contender.implementation))
        return SimpleNamespace(call=lambda: None, cool=lambda: None, wait=lambda: None)

    def tracer(self) -> Any:
        step = Piece("score", "score", 0.0, 1e-3, 1e-3, is_range=True)
        seen = [TracedCall(5.0, 2e-3, 2e-3, (step,))] if self.profiler_sees else []
        return SimpleNamespace(start=lambda: None, stop=lambda: seen)

    # The parts, by the names they have where they are used.
    def calibrate(self, machine: Any, implementations: Sequence[str], *_: Any, **options: Any) -> dict[str, Calibrated]:
        assert machine is self
        self.asked.append(("calibrate", *implementations))
        if self.calibration_flushes:
            self.flushes.append(self.calibration_flushes.pop(0))
        for _ in self.calibration.shapes:
            options["progress"]("a shape")
        points = self.lines.calibration().points
        return {name: Calibrated(self.lines.time_model(), points) for name in implementations}

    def largest_error(self, shape: Any, config: Any, implementation: str, seed: int, device: Any, *_: Any) -> float:
        assert device == self.device
        return self.error

    def build_cache(self, shape: Any, k_layout: str, seed: int, device: Any) -> Any:
        assert device == self.device
        self.before_build(shape.seq_len)
        return SimpleNamespace(k_layout=k_layout)

    def make_rounds(self, machine: Any, cache: Any, shape: Any, cache_state: str, seed: int) -> Any:
        assert machine is self

        def time(contenders: Sequence[Contender], rule: Any, **_: Any) -> list[Timing]:
            self.before_group(shape.seq_len)
            self.asked.append(("time", shape.seq_len, *(c.implementation for c in contenders)))
            self.rules.append(rule())
            bandwidth = None if cache_state == "warm" else self.bandwidth
            return [
                Timing(self.samples, self.stop_reason, bandwidth, **self.seen)  # type: ignore[arg-type]
                for _ in contenders
            ]

        return SimpleNamespace(time=time)

    # What a test does.
    def run(self, suite: Suite | None = None, **options: Any) -> str:
        """Run; returns the outcome."""
        chosen = RunOptions(suite=suite or tiny_suite(), out=self.out, **{"n_threads": 1, "device": "cpu", **options})
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
    monkeypatch.setattr(preparing_module, "calibrate", bench.calibrate)
    monkeypatch.setattr(checking_module, "largest_error", bench.largest_error)
    monkeypatch.setattr(session_module, "build_cache", bench.build_cache)
    monkeypatch.setattr(timing_module, "Rounds", bench.make_rounds)

    def open_machine(device: str, n_threads: int | None, note: Any) -> Bench:
        assert device == "cpu"
        CpuMachine(n_threads)  # refuses what it would refuse
        return bench

    monkeypatch.setattr(run_module, "open_machine", open_machine)
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
