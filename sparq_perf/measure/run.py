"""A run: ceilings, calibration, then every group of the suite, each result on disk as soon as it exists."""

import hashlib
import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any, Literal

import numba
import torch

from sparq_perf import __version__
from sparq_perf.measure.calibrating import SHAPES, calibrate
from sparq_perf.measure.ceilings import Flush, find_ceilings
from sparq_perf.measure.correctness import TOLERANCE, largest_error
from sparq_perf.measure.environment import memory_available_bytes, probe_environment, usable_cores
from sparq_perf.measure.inputs import build_cache, cache_bytes
from sparq_perf.measure.instruments import energy_reason
from sparq_perf.measure.names import RECORDS_NAME
from sparq_perf.measure.plan import Group, plan
from sparq_perf.measure.predicting import predict_contender
from sparq_perf.measure.profiling import profile_steps
from sparq_perf.measure.progress import Progress
from sparq_perf.measure.stopping import StoppingRule, median_interval, relative_noise
from sparq_perf.measure.timing import Contender, Rounds, Timing
from sparq_perf.records.schema import (
    CalibrationLine,
    CeilingsLine,
    End,
    Environment,
    Line,
    Measurement,
    Run,
    StepProfile,
)
from sparq_perf.records.store import RecordError, RecordWriter, mend_torn_line, read_lines
from sparq_profiles import AttentionShape, SparqConfig, SparqPerfError
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.suite import Suite
from sparq_roofline.calibration import TimeModel

# A median that is not known to 10 %, or a machine a quarter faster or slower than its ceilings say, proves nothing.
LARGEST_NOISE = 0.10
LARGEST_DRIFT = 0.25
MEMORY_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the user asked for.

    Attributes:
        out: folder of the records.
        implementations: those to measure; empty for all that run here.
        resume: go on with the records in ``out``, measuring only what is missing.
        seed: of caches and queries.
        timeout_s: for the rounds of one group.
        profile: make the torch.profiler pass.
    """

    suite: Suite
    out: Path
    implementations: tuple[str, ...] = ()
    resume: bool = False
    seed: int = 0
    n_threads: int | None = None
    timeout_s: float = 8.0
    profile: bool = True
    command: tuple[str, ...] = ()


@dataclass(slots=True)
class _State:
    """What earlier lines of the file already hold."""

    done: set[str] = field(default_factory=set)
    profiled: set[str] = field(default_factory=set)
    hardware: HardwareProfile | None = None
    models: dict[str, TimeModel] = field(default_factory=dict)


Outcome = Literal["complete", "interrupted"]


def run_suite(options: RunOptions, progress: Progress) -> tuple[Path, Outcome]:
    """Measure a suite on this machine's CPU.

    Returns:
        The record file, and whether everything planned is in it.

    Raises:
        SparqPerfError: bad options, or records that cannot be resumed; nothing is lost then.
    """
    n_threads = options.n_threads or usable_cores()
    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if not 1 <= n_threads <= most:
        raise SparqPerfError(f"--threads is {n_threads}: this machine allows 1 to {most}")
    numba.set_num_threads(n_threads)
    torch.set_num_threads(n_threads)
    groups = plan(options.suite, "cpu", options.implementations)
    path = options.out / RECORDS_NAME
    environment = probe_environment(n_threads)
    state = _State()
    if options.resume and path.exists():
        state = _resume(path, options.suite, environment, progress)
    elif path.exists():
        progress.note(f"earlier records kept as {_keep_aside(path).name}")
    with RecordWriter(path) as writer, _terminate_as_interrupt():
        session = _Session(options, writer, environment, groups, state, progress)
        return path, session.run()


class _Session:
    """One process's share of a run."""

    def __init__(
        self,
        options: RunOptions,
        writer: RecordWriter,
        environment: Environment,
        groups: list[Group],
        state: _State,
        progress: Progress,
    ) -> None:
        self._options, self._writer, self._environment = options, writer, environment
        self._groups, self._state, self._progress = groups, state, progress
        self._run_id = uuid.uuid4().hex[:12]
        self._errors: dict[tuple[AttentionShape, SparqConfig | None, str], float] = {}
        nvml = next(instrument for instrument in environment.instruments if instrument.name == "nvml")
        self._energy_reason = energy_reason(nvml)

    def run(self) -> Outcome:
        began = perf_counter()
        planned = [group.key(contender) for group in self._groups for contender in group.contenders]
        self._append(
            Run,
            package_version=__version__,
            suite=self._options.suite.name,
            suite_title=self._options.suite.title,
            suite_sha256=suite_digest(self._options.suite),
            n_planned=len(planned),
            resumed=bool(self._state.done or self._state.hardware),
            command=self._options.command,
            environment=self._environment,
        )
        outcome: Literal["complete", "interrupted", "failed"] = "failed"
        try:
            self._measure()
            outcome = "complete"
        except KeyboardInterrupt:
            outcome = "interrupted"
        finally:
            missing = sum(key not in self._state.done for key in planned)
            self._append(
                End,
                outcome=outcome,
                n_measured=len(planned) - missing,
                n_missing=missing,
                elapsed_s=perf_counter() - began,
            )
        return outcome

    def _measure(self) -> None:
        missing = [
            group.keeping(left)
            for group in self._groups
            if (left := tuple(c for c in group.contenders if group.key(c) not in self._state.done))
        ]
        if not missing:
            self._progress.note("nothing is missing: every configuration is in the records")
            return
        weights = [_weight(group) for group in missing]
        needs_ceilings = self._state.hardware is None
        implementations = sorted({c.implementation for group in missing for c in group.contenders})
        uncalibrated = [name for name in implementations if name not in self._state.models]
        total = sum(weights) + 6.0 * (1 + needs_ceilings) + (4.0 * len(SHAPES) if uncalibrated else 0.0)
        self._progress.start(total)
        n_threads = self._environment.n_threads
        flush = Flush(n_threads)
        hardware = self._state.hardware
        if hardware is None:
            hardware = self._find_ceilings("start", flush)
        self._check_all(missing)
        if uncalibrated:
            self._calibrate(uncalibrated, hardware, flush)
        for group, weight in zip(missing, weights, strict=True):
            self._progress.stage(_describe(group))
            self._measure_group(group, hardware, flush)
            self._progress.advance(weight)
        self._find_ceilings("end", flush)

    def _find_ceilings(self, phase: Literal["start", "end"], flush: Flush) -> HardwareProfile:
        def tell(what: str) -> None:
            self._progress.stage(f"ceilings: {what}")

        hardware = find_ceilings(self._environment.n_threads, flush, progress=tell)
        self._append(CeilingsLine, phase=phase, hardware=hardware)
        self._progress.advance(6.0)
        return hardware

    def _check_all(self, groups: list[Group]) -> None:
        """Correctness first: compiles what is to be timed, and finds each contender's error on its geometry."""
        for group in groups:
            for contender in group.contenders:
                self._progress.stage(f"correctness: {contender.implementation}, {group.model}")
                self._error(group, contender)

    def _calibrate(self, implementations: list[str], hardware: HardwareProfile, flush: Flush) -> None:
        def tell(what: str) -> None:
            self._progress.stage(f"calibration: {what}")
            self._progress.advance(4.0)

        calibrated = calibrate(
            implementations,
            hardware,
            flush,
            self._options.suite.dtype,
            seed=self._options.seed + 1,
            rule=lambda: StoppingRule(target_noise=0.04, minimum_samples=5, timeout_s=2.0),
            progress=tell,
        )
        for name, result in calibrated.items():
            self._state.models[name] = result.model
            self._append(CalibrationLine, implementation=name, model=result.model, points=result.points)

    def _measure_group(self, group: Group, hardware: HardwareProfile, flush: Flush) -> None:
        needed, available = cache_bytes(group.shape, group.k_layout), memory_available_bytes()
        if needed > MEMORY_SHARE * available:
            reason = f"out of memory: the KV cache needs {needed / 1e9:.1f} GB and {available / 1e9:.1f} GB are free"
            self._fail(group, group.contenders, reason)
            return
        try:
            cache = build_cache(group.shape, group.k_layout, self._options.seed)
            rounds = Rounds(cache, group.shape, group.cache_state, flush, self._options.seed + 2)
            timings = rounds.time(
                group.contenders,
                lambda: StoppingRule(timeout_s=self._options.timeout_s),
                on_round=lambda: None,
            )
            for contender, timing in zip(group.contenders, timings, strict=True):
                self._record(group, contender, timing, hardware)
            if self._options.profile:
                cold = flush if group.cache_state == "cold" else None
                for contender in group.contenders:
                    total_s, steps = profile_steps(cache, group.shape, contender, cold, self._options.seed + 3)
                    self._append(
                        StepProfile,
                        **_identity(group, contender),
                        iterations=5,
                        total_s=total_s,
                        steps=steps,
                    )
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
                raise
            left = tuple(c for c in group.contenders if group.key(c) not in self._state.done)
            self._fail(group, left, f"out of memory: {str(error).splitlines()[0] if str(error) else 'no detail'}")

    def _record(self, group: Group, contender: Contender, timing: Timing, hardware: HardwareProfile) -> None:
        samples = timing.samples_s
        noise = relative_noise(samples)
        error = self._error(group, contender)
        tolerance = TOLERANCE[group.shape.dtype]
        reasons = []
        if error > tolerance:
            reasons.append(f"wrong: differs from the float64 reference by {error:.2g}, {tolerance:.2g} is allowed")
        if len(samples) < 6:
            reasons.append(f"too few samples: {len(samples)}, at least 6 are needed for a 95 % interval")
        if noise > LARGEST_NOISE:
            reasons.append(f"noisy: the median is known to ±{noise:.0%}, ±{LARGEST_NOISE:.0%} is allowed")
        if timing.read_bandwidth_bytes_per_s is not None:
            ceiling = hardware.memory_bandwidth_bytes_per_s.value
            drift = timing.read_bandwidth_bytes_per_s / ceiling - 1
            if abs(drift) > LARGEST_DRIFT:
                reasons.append(
                    f"machine drifted: read bandwidth was {drift:+.0%} of the ceiling found at the start, "
                    f"±{LARGEST_DRIFT:.0%} is allowed"
                )
        self._finish(
            group,
            contender,
            status="invalid" if reasons else "ok",
            reasons=tuple(reasons),
            samples_s=samples,
            median_ci_s=median_interval(samples),
            relative_noise=noise,
            stop_reason=timing.stop_reason,
            warmups=2,
            read_bandwidth_bytes_per_s=timing.read_bandwidth_bytes_per_s,
            max_error=error,
            error_tolerance=tolerance,
            prediction=predict_contender(group, contender, hardware, self._state.models),
        )

    def _fail(self, group: Group, contenders: tuple[Contender, ...], reason: str) -> None:
        for contender in contenders:
            self._finish(group, contender, status="failed", reasons=(reason,))

    def _finish(self, group: Group, contender: Contender, **fields: Any) -> None:
        self._append(Measurement, **_identity(group, contender), energy_reason=self._energy_reason, **fields)
        self._state.done.add(group.key(contender))

    def _error(self, group: Group, contender: Contender) -> float:
        shape = group.shape
        # One check serves all lengths and batches of a geometry: its own sequence is cut short anyway.
        place = AttentionShape(1, 10**6, shape.n_heads, shape.n_kv_heads, shape.head_dim, shape.dtype)
        key = (place, contender.config, contender.implementation)
        if key not in self._errors:
            self._errors[key] = largest_error(place, contender.config, contender.implementation, self._options.seed + 4)
        return self._errors[key]

    def _append(self, kind: type[Line], **fields: Any) -> None:
        self._writer.append(kind(run_id=self._run_id, time=datetime.now(UTC), **fields))


def suite_digest(suite: Suite) -> str:
    """Digest of what a suite asks for."""
    return hashlib.sha256(suite.model_dump_json().encode()).hexdigest()


def _identity(group: Group, contender: Contender) -> dict[str, Any]:
    return {
        "key": group.key(contender),
        "model": group.model,
        "shape": group.shape,
        "config": contender.config,
        "cache_state": group.cache_state,
        "implementation": contender.implementation,
    }


def _resume(path: Path, suite: Suite, environment: Environment, progress: Progress) -> _State:
    if mend_torn_line(path):
        progress.note("the last line was cut off when the run was killed: it is removed and measured again")
    state = _State()
    lines = read_lines(path) if path.stat().st_size else []
    for line in lines:
        if isinstance(line, Run):
            if line.suite_sha256 != suite_digest(suite):
                raise RecordError(
                    f"{path}: holds suite {line.suite!r}, not this {suite.name!r}: name another --out, or leave out "
                    "--resume"
                )
            there, here = line.environment, environment
            if (there.device, there.n_threads) != (here.device, here.n_threads):
                raise RecordError(
                    f"{path}: was measured on {there.device} with {there.n_threads} threads, this is {here.device} "
                    f"with {here.n_threads}: name another --out"
                )
        elif isinstance(line, CeilingsLine) and line.phase == "start":
            state.hardware = line.hardware
        elif isinstance(line, CalibrationLine):
            state.models[line.implementation] = line.model
        elif isinstance(line, Measurement):
            state.done.add(line.key)
    return state


def _keep_aside(path: Path) -> Path:
    """Rename an earlier run's records, which a new run must not overwrite."""
    stamp = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%SZ")
    kept = path.with_name(f"{path.stem}-{stamp}{path.suffix}")
    n = 1
    while kept.exists():
        n += 1
        kept = path.with_name(f"{path.stem}-{stamp}-{n}{path.suffix}")
    os.rename(path, kept)
    return kept


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """A polite kill ends the run as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _weight(group: Group) -> float:
    """Seconds that a group takes, roughly: for the progress bar only."""
    fill_s = cache_bytes(group.shape, group.k_layout) / 0.5e9
    return 1.0 + fill_s + 0.7 * len(group.contenders)


def _describe(group: Group) -> str:
    shape = group.shape
    return f"{group.model}  B={shape.batch} S={shape.seq_len:,}  {group.cache_state}"
