"""A run: ceilings, calibration, then every group of the suite, each result on disk as soon as it exists."""

import math
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from types import FrameType
from typing import Any, Literal

import numba
import torch

from sparq_kernels import KVCache
from sparq_perf import __version__
from sparq_perf.measure.calibrating import SHAPES, calibrate
from sparq_perf.measure.ceilings import Flush, find_ceilings
from sparq_perf.measure.correctness import TOLERANCE, largest_error
from sparq_perf.measure.environment import memory_available_bytes, probe_environment, usable_cores
from sparq_perf.measure.inputs import build_cache, cache_bytes
from sparq_perf.measure.instruments import energy_reason
from sparq_perf.measure.judging import reasons_against
from sparq_perf.measure.names import RECORDS_NAME
from sparq_perf.measure.plan import Group, plan
from sparq_perf.measure.predicting import predict_contender
from sparq_perf.measure.profiling import ITERATIONS, profile_steps
from sparq_perf.measure.progress import Progress
from sparq_perf.measure.resume import RunState, keep_aside, resume, suite_digest
from sparq_perf.measure.stopping import StoppingRule, median_interval, relative_noise
from sparq_perf.measure.timing import WARMUPS, Contender, Rounds, Timing
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
from sparq_perf.records.store import RecordWriter
from sparq_profiles import AttentionShape, SparqConfig, SparqPerfError
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.suite import Suite
from sparq_roofline.calibration import bandwidth_at

MEMORY_SHARE = 0.9
# Ceilings found while another program ran make everything after them look wrong. Found again, twice at most.
ATTEMPTS = 3
CALIBRATION_DRIFT = 0.12
LARGEST_RESIDUAL = 0.4


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


Outcome = Literal["complete", "interrupted"]


def run_suite(options: RunOptions, progress: Progress) -> tuple[Path, Outcome]:
    """Measure a suite on this machine's CPU.

    Returns:
        The record file, and whether everything planned is in it.

    Raises:
        SparqPerfError: bad options, or records that cannot be resumed; nothing is lost then.
    """
    n_threads = usable_cores() if options.n_threads is None else options.n_threads
    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if not 1 <= n_threads <= most:
        raise SparqPerfError(f"--threads is {n_threads}: this machine allows 1 to {most}")
    numba.set_num_threads(n_threads)
    torch.set_num_threads(n_threads)
    groups = plan(options.suite, "cpu", options.implementations)
    path = options.out / RECORDS_NAME
    environment = probe_environment(n_threads)
    if any(instrument.name == "nvml" and instrument.available for instrument in environment.instruments):
        progress.note("a GPU is here; its implementations do not exist yet: this run measures the CPU")
    state = RunState()
    if path.exists():
        RecordWriter(path).close()  # refuses a file that another run is writing, before it is mended or renamed
    if options.resume and path.exists():
        state = resume(path, options.suite, environment, progress)
    elif path.exists():
        progress.note(f"earlier records kept as {keep_aside(path).name}")
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
        state: RunState,
        progress: Progress,
    ) -> None:
        self._options, self._writer, self._environment = options, writer, environment
        self._groups, self._state, self._progress = groups, state, progress
        self._run_id = uuid.uuid4().hex[:12]
        self._flush_bytes = 0
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
            resumed=self._state.resumed,
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
            if (left := tuple(c for c in group.contenders if self._lacks(group.key(c))))
        ]
        if not missing:
            self._progress.note("nothing is missing: every configuration is in the records")
            return
        weights = [_weight(group) for group in missing]
        needs_ceilings = self._state.hardware is None
        implementations = sorted({c.implementation for group in missing for c in self._untimed(group)})
        uncalibrated = [name for name in implementations if name not in self._state.models]
        total = sum(weights) + 6.0 * (1 + needs_ceilings) + (4.0 * len(SHAPES) if uncalibrated else 0.0)
        self._progress.start(total)
        n_threads = self._environment.n_threads
        flush = Flush(n_threads)
        self._flush_bytes = flush.flush_bytes
        self._check_all(missing)
        hardware = self._state.hardware or self._find_ceilings("start", flush)
        for attempt in range(1, ATTEMPTS + 1):
            if uncalibrated:
                flush.seen.clear()
                self._calibrate(uncalibrated, hardware, flush)
            trouble = None if self._state.hardware else self._disturbed(hardware, flush)
            if trouble is None or attempt == ATTEMPTS:
                break
            self._progress.note(f"{trouble}: finding ceilings and calibration again")
            hardware = self._find_ceilings("start", flush)
        for group, weight in zip(missing, weights, strict=True):
            self._progress.stage(_describe(group))
            self._measure_group(group, hardware, flush)
            self._progress.advance(weight)
        self._find_ceilings("end", flush)

    def _disturbed(self, hardware: HardwareProfile, flush: Flush) -> str | None:
        """Why ceilings and calibration found just now cannot stand: other work came or went meanwhile."""
        if flush.seen:
            before = bandwidth_at(hardware, flush.flush_bytes)
            during = median(flush.seen)
            if abs(during / before - 1) > CALIBRATION_DRIFT:
                return (
                    f"the machine changed speed during calibration ({before / 1e9:.1f}, then {during / 1e9:.1f} GB/s)"
                )
        for name, model in self._state.models.items():
            if model.relative_residual > LARGEST_RESIDUAL:
                return f"the calibration of {name} is off by {model.relative_residual:.0%} at its own points"
        return None

    def _lacks(self, key: str) -> bool:
        return key not in self._state.done or (self._options.profile and key not in self._state.profiled)

    def _untimed(self, group: Group) -> tuple[Contender, ...]:
        return tuple(c for c in group.contenders if group.key(c) not in self._state.done)

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
            for contender in self._untimed(group):
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
            rule=lambda: StoppingRule(target_noise=0.04, minimum_samples=5, timeout_s=2.5),
            progress=tell,
        )
        for name, result in calibrated.items():
            self._state.models[name] = result.model
            self._append(CalibrationLine, implementation=name, model=result.model, points=result.points)

    def _measure_group(self, group: Group, hardware: HardwareProfile, flush: Flush) -> None:
        needed, available = cache_bytes(group.shape, group.k_layout), memory_available_bytes()
        if needed > MEMORY_SHARE * available:
            reason = f"out of memory: the KV cache needs {needed / 1e9:.1f} GB and {available / 1e9:.1f} GB are free"
            self._fail(group, self._untimed(group), reason)
            return
        try:
            cache = build_cache(group.shape, group.k_layout, self._options.seed)
            if untimed := self._untimed(group):
                rounds = Rounds(cache, group.shape, group.cache_state, flush, self._options.seed + 2)
                timings = rounds.time(untimed, lambda: StoppingRule(timeout_s=self._options.timeout_s))
                for contender, timing in zip(untimed, timings, strict=True):
                    self._record(group, contender, timing, hardware)
            if self._options.profile:
                self._profile(group, cache, flush)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
                raise
            detail = str(error).splitlines()[0] if str(error) else "no detail"
            self._fail(group, self._untimed(group), f"out of memory: {detail}")

    def _profile(self, group: Group, cache: KVCache, flush: Flush) -> None:
        cold = flush if group.cache_state == "cold" else None
        for contender in group.contenders:
            key = group.key(contender)
            if key in self._state.profiled:
                continue
            total_s, steps = profile_steps(cache, group.shape, contender, cold, self._options.seed + 3)
            identity = _identity(group, contender)
            self._append(StepProfile, **identity, iterations=ITERATIONS, total_s=total_s, steps=steps)
            self._state.profiled.add(key)

    def _record(self, group: Group, contender: Contender, timing: Timing, hardware: HardwareProfile) -> None:
        samples = timing.samples_s
        noise = relative_noise(samples)
        error = self._error(group, contender)
        tolerance = TOLERANCE[group.shape.dtype]
        reasons = reasons_against(timing, noise, error, tolerance, bandwidth_at(hardware, self._flush_bytes))
        self._finish(
            group,
            contender,
            status="invalid" if reasons else "ok",
            reasons=reasons,
            samples_s=samples,
            median_ci_s=median_interval(samples),
            relative_noise=noise,
            stop_reason=timing.stop_reason,
            warmups=WARMUPS,
            read_bandwidth_bytes_per_s=timing.read_bandwidth_bytes_per_s,
            max_error=error if math.isfinite(error) else None,
            error_tolerance=tolerance,
            prediction=predict_contender(group, contender, hardware, self._state.models),
        )

    def _fail(self, group: Group, contenders: tuple[Contender, ...], reason: str) -> None:
        for contender in contenders:
            self._finish(group, contender, status="failed", reasons=(reason,))
            self._state.profiled.add(group.key(contender))

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


def _identity(group: Group, contender: Contender) -> dict[str, Any]:
    return {
        "key": group.key(contender),
        "model": group.model,
        "shape": group.shape,
        "config": contender.config,
        "cache_state": group.cache_state,
        "implementation": contender.implementation,
    }


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
