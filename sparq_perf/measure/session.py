"""One process's share of a run: ceilings, calibration, then every pass over every group, all on disk at once."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Literal

from sparq_perf import __version__
from sparq_perf.measure.checking import Checker
from sparq_perf.measure.failing import out_of_memory
from sparq_perf.measure.inputs import build_cache, cache_bytes
from sparq_perf.measure.machine import Machine
from sparq_perf.measure.observing import Place
from sparq_perf.measure.passes import Pass, Site, places
from sparq_perf.measure.pipeline import asked_passes, build_passes, idle_power, plan_passes
from sparq_perf.measure.plan import Group
from sparq_perf.measure.preparing import Preparation, SessionOptions
from sparq_perf.measure.progress import Progress
from sparq_perf.measure.resume import RunState, suite_digest
from sparq_perf.records.schema import End, Line, Measurement, Run
from sparq_perf.records.store import RecordWriter

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
        self._site = Site(machine, state, progress, self._append, options.seed)
        self._checker = Checker(self._site)

    def run(self) -> Outcome:
        """Measure what is missing; the last line says how it ended."""
        began = perf_counter()
        planned = [place.key for place in places(self._groups)]
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
            passes=plan_passes(self._options, self._machine, self._groups),
        )
        outcome: Literal["complete", "interrupted", "failed"] = "failed"
        try:
            self._measure()
            outcome = "complete"
        except KeyboardInterrupt:
            outcome = "interrupted"
        finally:
            missing = sum(key not in self._state.done["timing"] for key in planned)
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
        idle_power_w = idle_power(self._options, self._machine, missing)
        self._check_all(missing)
        missing = self._missing()  # less what was refused
        hardware = preparation.find(self._uncalibrated(missing)) if self._options.predict else None
        passes = build_passes(self._options, self._site, self._checker, hardware, idle_power_w)
        for group in missing:
            self._progress.stage(_describe(group))
            self._measure_group(group, passes)
            self._machine.release()
            self._progress.advance(self._weight(group))
        for each in passes:
            each.finish()
        if self._options.predict:
            preparation.find_ceilings("end")

    def _missing(self) -> list[Group]:
        """The contenders that some pass has still to be made over."""
        asked = asked_passes(self._options)
        return [
            group.keeping(left)
            for group in self._groups
            if (
                left := tuple(
                    c for c in group.contenders if any(self._state.lacks(name, group.key(c)) for name in asked)
                )
            )
        ]

    def _uncalibrated(self, groups: list[Group]) -> list[str]:
        untimed = {place.contender.implementation for group in groups for place in self._untimed(group)}
        return sorted(untimed - set(self._state.models))

    def _untimed(self, group: Group) -> list[Place]:
        return self._state.lacking("timing", group)

    def _check_all(self, groups: list[Group]) -> None:
        """Correctness first. What an implementation refuses here has failed with its reason."""
        for group in groups:
            for place in self._untimed(group):
                refusal = self._checker.refusal(place)
                if refusal is not None:
                    self._progress.note(refusal)
                    self._fail([place], refusal)
        self._checker.forget()

    def _measure_group(self, group: Group, passes: Sequence[Pass]) -> None:
        needed, available = cache_bytes(group.shape, group.k_layout), self._machine.memory_available_bytes()
        if needed > MEMORY_SHARE * available:
            reason = f"out of memory: the KV cache needs {needed / 1e9:.1f} GB and {available / 1e9:.1f} GB are free"
            self._fail(self._untimed(group), reason)
            return
        try:
            cache = build_cache(group.shape, group.k_layout, self._options.seed, self._machine.device)
            for each in passes:
                each.make(group, cache)
        except (MemoryError, RuntimeError) as error:
            reason_why = out_of_memory(error)
            if reason_why is None:
                raise
            self._progress.note(f"{_describe(group)}: {reason_why}")
            self._fail(self._untimed(group), reason_why)

    def _fail(self, failed: list[Place], reason: str) -> None:
        for place in failed:
            self._site.record("timing", Measurement, place, {"status": "failed", "reasons": (reason,)})
            self._state.failed.add(place.key)

    def _weight(self, group: Group) -> float:
        """Seconds that a group takes, roughly: for the progress bar only."""
        pace = self._machine.pace
        fill_s = cache_bytes(group.shape, group.k_layout) / pace.fill_bytes_per_s
        return 1.0 + fill_s + pace.contender_s * len(group.contenders)

    def _append(self, kind: type[Line], **fields: Any) -> None:
        self._writer.append(kind(run_id=self._run_id, time=datetime.now(UTC), **fields))


def _describe(group: Group) -> str:
    shape = group.shape
    return f"{group.model}  B={shape.batch} S={shape.seq_len:,}  {group.cache_state}"
