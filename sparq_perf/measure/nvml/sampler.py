"""Sampling a GPU from a thread of its own while something else keeps it at work."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from types import TracebackType
from typing import Any

from sparq_perf.measure.nvml.binding import is_final
from sparq_perf.measure.nvml.gpu import NvmlGpu
from sparq_perf.records.reading import Absence, Reading
from sparq_perf.records.telemetry import SERIES, SLOWDOWNS, SampledName, SeriesName, Telemetry
from sparq_profiles import SparqPerfError

# NVML refreshes nothing more often, and each question takes time of the host, and of the driver.
SHORTEST_INTERVAL_S = 0.05
# A driver whose GPU fell off the bus may keep a question for ever: nobody waits for it longer than this.
LONGEST_ANSWER_S = 5.0


class Sampler:
    """Samples a GPU between `start` and `stop`, once; also as a context manager, with `telemetry` afterwards.

    Args:
        gpu: the one to ask.
        interval_s: from the end of one sample to the beginning of the next, at least 0.05.
        clock: seconds.
        wait: waits so many seconds, and returns whether to stop.
        now: wall clock.

    Raises:
        SparqPerfError: a shorter interval.
    """

    def __init__(
        self,
        gpu: NvmlGpu,
        interval_s: float = SHORTEST_INTERVAL_S,
        *,
        clock: Callable[[], float] = perf_counter,
        wait: Callable[[float], bool] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not interval_s >= SHORTEST_INTERVAL_S:
            raise SparqPerfError(
                f"a GPU is sampled every {SHORTEST_INTERVAL_S:g} s at the fastest: the interval is {interval_s:g} s"
            )
        self._gpu, self._interval_s, self._clock, self._now = gpu, interval_s, clock, now
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._thread = threading.Thread(target=self._run, name="nvml-sampler", daemon=True)
        self._samples = _Samples(gpu)
        self.telemetry: Telemetry | None = None

    def start(self) -> None:
        """Take the first sample, at time 0, and go on in the background."""
        self._began, self._zero = self._now(), self._clock()
        if self._samples.take(0.0):
            self._thread.start()

    def stop(self) -> Telemetry:
        """Take the last sample; returns what all of them saw."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(LONGEST_ANSWER_S)
        if self._thread.is_alive():
            late = Absence(kind="failed", detail=f"NVML did not answer within {LONGEST_ANSWER_S:g} s")
            self._samples.end(self._clock() - self._zero, late)
        else:
            self._samples.take(self._clock() - self._zero)
        self.telemetry = self._samples.telemetry(self._began, self._interval_s)
        return self.telemetry

    def __enter__(self) -> "Sampler":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._wait(self._interval_s) and self._samples.take(self._clock() - self._zero):
            pass


class _Samples:
    """Columns that grow by one value at each sample, until the GPU is lost."""

    def __init__(self, gpu: NvmlGpu) -> None:
        self._gpu, self._watch = gpu, gpu.watch()
        self._times_s: list[float] = []
        self._columns: dict[SeriesName, list[float | None]] = {name: [] for name in SERIES}
        self._slowdowns: list[tuple[str, ...]] = []
        self._last: dict[SampledName, Reading[Any]] = {}
        self._over = False

    def take(self, time_s: float) -> bool:
        """Ask everything that may have a value; returns whether there will be more."""
        if self._over or (self._times_s and time_s <= self._times_s[-1]):
            return not self._over
        asked = [name for name in SERIES if name not in self._last or not is_final(self._last[name])]
        answers = self._gpu.read(asked)
        found: dict[SampledName, Reading[Any]] = {name: answers[name] for name in asked}
        found[SLOWDOWNS] = self._watch.look()
        if self._over:  # ended while NVML kept the question
            return False
        lost = next((a.absence for a in found.values() if a.absence and a.absence.kind == "gpu_lost"), None)
        if lost is not None:
            self.end(time_s, lost)
            return False
        self._last.update(found)
        self._append(time_s)
        return True

    def end(self, time_s: float, why: Absence) -> None:
        """Take no more: from now on there is nothing to see, for this reason; what was absent before stays so."""
        self._over = True
        for name in (*SERIES, SLOWDOWNS):
            if name not in self._last or not is_final(self._last[name]):
                self._last[name] = Reading(absence=why)
        self._append(time_s)

    def telemetry(self, began: datetime, interval_s: float) -> Telemetry:
        """What was seen."""
        return Telemetry(
            began=began,
            interval_s=interval_s,
            times_s=tuple(self._times_s),
            series={name: tuple(column) for name, column in self._columns.items() if set(column) != {None}},
            slowdowns=tuple(self._slowdowns),
            absences={name: answer.absence for name, answer in self._last.items() if answer.absence is not None},
        )

    def _append(self, time_s: float) -> None:
        self._times_s.append(time_s)
        for name, column in self._columns.items():
            column.append(self._last[name].value)
        self._slowdowns.append(self._last[SLOWDOWNS].value or ())
