"""One process's share of a run: ceilings, calibration, then every group, each result on disk as soon as it exists."""

import math
import uuid
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Literal

from sparq_kernels import KVCache
from sparq_perf import __version__
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.correctness import TOLERANCE, largest_error
from sparq_perf.measure.failing import out_of_memory
from sparq_perf.measure.inputs import build_cache, cache_bytes
from sparq_perf.measure.judging import reasons_against
from sparq_perf.measure.machine import Machine
from sparq_perf.measure.plan import Group
from sparq_perf.measure.predicting import predict_contender
from sparq_perf.measure.preparing import Preparation, SessionOptions
from sparq_perf.measure.profiling import ITERATIONS, profile_steps
from sparq_perf.measure.progress import Progress
from sparq_perf.measure.resume import RunState, suite_digest
from sparq_perf.measure.stopping import median_interval, relative_noise
from sparq_perf.measure.timing import WARMUPS, Rounds, Timing
from sparq_perf.records.schema import End, Line, Measurement, Run, StepProfile
from sparq_perf.records.store import RecordWriter
from sparq_profiles import AttentionShape, ConfigError, SparqConfig
from sparq_profiles.hardware import HardwareProfile
from sparq_roofline.calibration import bandwidth_at

MEMORY_SHARE = 0.9

Outcome = Literal["complete", "interrupted"]


class Session:
    """One process's share of a run."""

    def __init__(
        self,
        machine: Machine,
        options: SessionOptions,
        writer: RecordWriter,
        groups: list[Group],
        state: RunState,
        progress: Progress,
    ) -> None:
        self._machine, self._options, self._writer = machine, options, writer
        self._groups, self._state, self._progress = groups, state, progress
        self._run_id = uuid.uuid4().hex[:12]
        self._errors: dict[tuple[AttentionShape, SparqConfig | None, str], float] = {}

    def run(self) -> Outcome:
        """Measure what is missing; the last line says how it ended."""
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
            environment=self._machine.environment,
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
        missing = self._missing()
        if not missing:
            self._progress.note("nothing is missing: every configuration is in the records")
            return
        preparation = Preparation(self._machine, self._options, self._state, self._progress, self._append)
        self._progress.start(sum(map(self._weight, missing)) + preparation.usual_s(self._uncalibrated(missing)))
        self._check_all(missing)
        missing = self._missing()  # less what was refused
        hardware = preparation.find(self._uncalibrated(missing))
        for group in missing:
            self._progress.stage(_describe(group))
            self._measure_group(group, hardware)
            self._machine.release()
            self._progress.advance(self._weight(group))
        preparation.find_ceilings("end")

    def _missing(self) -> list[Group]:
        """What is not in the records yet."""
        return [
            group.keeping(left)
            for group in self._groups
            if (left := tuple(c for c in group.contenders if self._lacks(group.key(c))))
        ]

    def _uncalibrated(self, groups: list[Group]) -> list[str]:
        implementations = {c.implementation for group in groups for c in self._untimed(group)}
        return sorted(implementations - set(self._state.models))

    def _lacks(self, key: str) -> bool:
        return key not in self._state.done or (self._options.profile and key not in self._state.profiled)

    def _untimed(self, group: Group) -> tuple[Contender, ...]:
        return tuple(c for c in group.contenders if group.key(c) not in self._state.done)

    def _check_all(self, groups: list[Group]) -> None:
        """Correctness first: compiles what is to be timed, and finds each contender's error on its geometry.

        What an implementation refuses here, a backend without a kernel for this device, has failed with its reason.
        """
        for group in groups:
            for contender in self._untimed(group):
                self._progress.stage(f"correctness: {contender.implementation}, {group.model}")
                try:
                    self._error(group, contender)
                except ConfigError as refusal:
                    self._progress.note(str(refusal))
                    self._fail(group, (contender,), str(refusal))

    def _measure_group(self, group: Group, hardware: HardwareProfile) -> None:
        needed, available = cache_bytes(group.shape, group.k_layout), self._machine.memory_available_bytes()
        if needed > MEMORY_SHARE * available:
            reason = f"out of memory: the KV cache needs {needed / 1e9:.1f} GB and {available / 1e9:.1f} GB are free"
            self._fail(group, self._untimed(group), reason)
            return
        try:
            cache = build_cache(group.shape, group.k_layout, self._options.seed, self._machine.device)
            if untimed := self._untimed(group):
                for contender, timing in zip(untimed, self._time(group, untimed, cache), strict=True):
                    self._record(group, contender, timing, hardware)
            if self._options.profile:
                self._profile(group, cache)
        except (MemoryError, RuntimeError) as error:
            reason_why = out_of_memory(error)
            if reason_why is None:
                raise
            self._fail(group, self._untimed(group), reason_why)

    def _time(self, group: Group, contenders: tuple[Contender, ...], cache: KVCache) -> list[Timing]:
        """A function of its own, so that what the rounds hold is gone before the profiler's pass."""
        rounds = Rounds(self._machine, cache, group.shape, group.cache_state, self._options.seed + 2)
        return rounds.time(contenders, lambda: self._machine.pace.rule(self._options.timeout_s))

    def _profile(self, group: Group, cache: KVCache) -> None:
        for contender in group.contenders:
            key = group.key(contender)
            if key in self._state.profiled:
                continue
            seed = self._options.seed + 3
            profiled = profile_steps(self._machine, cache, group.shape, contender, group.cache_state, seed)
            if profiled is None:
                self._progress.note(f"torch.profiler saw nothing of {contender.implementation}: no time per step")
                continue
            total_s, steps = profiled
            identity = _identity(group, contender)
            self._append(StepProfile, **identity, iterations=ITERATIONS, total_s=total_s, steps=steps)
            self._state.profiled.add(key)

    def _record(self, group: Group, contender: Contender, timing: Timing, hardware: HardwareProfile) -> None:
        samples = timing.samples_s
        noise = relative_noise(samples)
        error = self._error(group, contender)
        tolerance = TOLERANCE[group.shape.dtype]
        flush_ceiling = bandwidth_at(hardware, self._machine.flush.flush_bytes)
        reasons = reasons_against(timing, noise, error, tolerance, flush_ceiling)
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
            timer=timing.timer,
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
        self._append(Measurement, **_identity(group, contender), energy_reason=self._machine.energy_reason, **fields)
        self._state.done.add(group.key(contender))

    def _error(self, group: Group, contender: Contender) -> float:
        shape = group.shape
        # One check serves all lengths and batches of a geometry: its own sequence is cut short anyway.
        place = AttentionShape(1, 10**6, shape.n_heads, shape.n_kv_heads, shape.head_dim, shape.dtype)
        key = (place, contender.config, contender.implementation)
        if key not in self._errors:
            self._errors[key] = largest_error(
                place, contender.config, contender.implementation, self._options.seed + 4, self._machine.device
            )
        return self._errors[key]

    def _weight(self, group: Group) -> float:
        """Seconds that a group takes, roughly: for the progress bar only."""
        pace = self._machine.pace
        fill_s = cache_bytes(group.shape, group.k_layout) / pace.fill_bytes_per_s
        return 1.0 + fill_s + pace.contender_s * len(group.contenders)

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


def _describe(group: Group) -> str:
    shape = group.shape
    return f"{group.model}  B={shape.batch} S={shape.seq_len:,}  {group.cache_state}"
