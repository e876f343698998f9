"""DRAM bytes by NVML's GPU performance monitoring (GPM), on Hopper and later, without rights: window totals only.

GPM tells what share of the memory's theoretical bandwidth was used between two samples, in percent of the bandwidth at
the memory clock of that time. The driver refreshes the counters behind a sample about every 100 ms, so a sample is of
some moment shortly before it was taken. Hence bytes come from a steady loop of calls: while it runs, they are

    share x peak bandwidth x time per call,

and when exactly a sample was taken does not matter. Cold calls need a flush before each, which the counters see too:
the same loop without the call is measured beside, and subtracted.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import mean
from time import perf_counter
from typing import Any

from sparq_perf.measure.dram.ncu_failures import absence
from sparq_perf.measure.dram.subjects import DramCounts, DramSubject
from sparq_perf.measure.nvml import NvmlGpu, open_gpu
from sparq_perf.measure.nvml.binding import Library, Refusal
from sparq_perf.measure.observing import Calls
from sparq_perf.records.reading import Absence

ASKED = "GPM's DRAM bandwidth"
# Two transfers a clock cycle: NVML's memory clock is the one of double data rate. 2619 MHz x 2 x 5120 bit / 8 are the
# 3.35 TB/s of an H100's datasheet, 14001 MHz x 2 x 512 bit / 8 the 1.79 TB/s of an RTX 5090's.
TRANSFERS_A_CYCLE = 2

# Before the first sample, so that its counters are of the loop already; and between the samples, many refreshes.
LEAD_S, WINDOW_S = 0.3, 1.0
PAIRS = 3
CALLS_A_WAIT = 8
# Half the spread of the pairs, as a share of their mean.
LARGEST_SPREAD = 0.1


class Gpm:
    """Counts calls of this process, many at a time.

    Args:
        uuid: of the GPU.
        clock: the host's, seconds.
        gpu: NVML's GPU of that UUID, or why there is none.
    """

    def __init__(
        self,
        uuid: str | None,
        *,
        clock: Callable[[], float] = perf_counter,
        gpu: Callable[[str | None], NvmlGpu | Absence] = open_gpu,
    ) -> None:
        self._uuid, self._clock, self._open = uuid, clock, gpu

    @property
    def detail(self) -> str | None:
        """The driver behind it; None where NVML does not answer."""
        gpu = self._open(self._uuid)
        return None if isinstance(gpu, Absence) else f"NVML, driver {gpu.driver}"

    def refusal(self) -> Absence | None:
        """Why it cannot count here."""
        try:
            with self._monitor():
                return None
        except Refusal as refusal:
            return refusal.absence

    def count(self, subject: DramSubject, calls: Calls) -> DramCounts | Absence:
        """Bytes of one call, mean over `PAIRS` loops."""
        try:
            with self._monitor() as monitor:
                return self._judge([self._bytes_a_call(monitor, subject, calls) for _ in range(PAIRS)])
        except Refusal as refusal:
            return refusal.absence

    def _bytes_a_call(self, monitor: "_Monitor", subject: DramSubject, calls: Calls) -> float:
        if subject.cache_state == "warm":
            return self._bytes_a_turn(monitor, calls.call, calls.wait)

        def flushed_call() -> None:
            calls.cool()
            calls.call()

        both = self._bytes_a_turn(monitor, flushed_call, calls.wait)
        return both - self._bytes_a_turn(monitor, calls.cool, calls.wait)

    def _bytes_a_turn(self, monitor: "_Monitor", turn: Callable[[], None], wait: Callable[[], None]) -> float:
        self._repeat(turn, wait, LEAD_S)
        peak = monitor.peak_bytes_per_s()
        monitor.take_first()
        began = self._clock()
        n_turns = self._repeat(turn, wait, WINDOW_S)
        elapsed_s = self._clock() - began
        share = monitor.share_since_first()
        if monitor.peak_bytes_per_s() != peak:
            raise Refusal("failed", f"{ASKED}: the memory clock changed while calls ran: a share of what is not known")
        return share * peak * elapsed_s / n_turns

    def _repeat(self, turn: Callable[[], None], wait: Callable[[], None], least_s: float) -> int:
        n_turns, began = 0, self._clock()
        while self._clock() - began < least_s:
            for _ in range(CALLS_A_WAIT):
                turn()
            wait()
            n_turns += CALLS_A_WAIT
        return n_turns

    def _judge(self, found: list[float]) -> DramCounts | Absence:
        middle, half_spread = mean(found), (max(found) - min(found)) / 2
        if not any(found):
            return absence("no_change", f"{ASKED}: no byte was seen while calls ran")
        if half_spread > LARGEST_SPREAD * middle:
            listed = ", ".join(f"{value / 1e6:.3g}" for value in found)
            return absence("failed", f"{ASKED}: repetitions differ too much for a figure: {listed} MB a call")
        return DramCounts(total_bytes=middle)

    @contextmanager
    def _monitor(self) -> Iterator["_Monitor"]:
        gpu = self._open(self._uuid)
        if isinstance(gpu, Absence):
            raise Refusal(gpu.kind, gpu.detail)
        if gpu.sliced:
            raise Refusal("mig", f"{ASKED}: other slices of the GPU are in it")
        library = Library()
        try:
            monitor = _Monitor(library, gpu)
            try:
                yield monitor
            finally:
                monitor.close()
        finally:
            library.shut_down()


class _Monitor:
    """GPM of one GPU."""

    def __init__(self, library: Library, gpu: NvmlGpu) -> None:
        self._library, self._gpu = library, gpu
        self._handle = library.ask(ASKED, "nvmlDeviceGetHandleByUUID", gpu.uuid)
        if not library.ask(ASKED, "nvmlGpmQueryDeviceSupport", self._handle).isSupportedDevice:
            raise Refusal("not_supported", f"{ASKED}: GPUs before Hopper have no GPM")
        self._bus_bits = float(library.ask(ASKED, "nvmlDeviceGetMemoryBusWidth", self._handle))
        self._samples: list[Any] = []

    def peak_bytes_per_s(self) -> float:
        """The memory's theoretical bandwidth at its clock now."""
        clock = self._gpu.read(("memory_clock_hz",))["memory_clock_hz"]
        if clock.absence is not None:
            raise Refusal(clock.absence.kind, clock.absence.detail)
        assert clock.value is not None
        return float(clock.value) * TRANSFERS_A_CYCLE * self._bus_bits / 8

    def take_first(self) -> None:
        """Begin a window."""
        self._take(0)

    def share_since_first(self) -> float:
        """Share of the theoretical bandwidth that was used in the window, 0 to 1."""
        self._take(1)
        metrics = self._library.named(ASKED, "c_nvmlGpmMetricsGet_t")()
        metrics.version = self._library.named(ASKED, "NVML_GPM_METRICS_GET_VERSION")
        metrics.numMetrics = 1
        metrics.sample1, metrics.sample2 = self._samples
        metrics.metrics[0].metricId = self._library.named(ASKED, "NVML_GPM_METRIC_DRAM_BW_UTIL")
        self._library.ask(ASKED, "nvmlGpmMetricsGet", metrics)
        self._library.check(ASKED, metrics.metrics[0].nvmlReturn)
        percent = float(metrics.metrics[0].value)
        if not math.isfinite(percent):
            raise Refusal("failed", f"{ASKED}: {percent} is no share")
        return percent / 100

    def close(self) -> None:
        """Free the samples."""
        while self._samples:
            self._library.ask(ASKED, "nvmlGpmSampleFree", self._samples.pop())

    def _take(self, which: int) -> None:
        while len(self._samples) <= which:
            self._samples.append(self._library.ask(ASKED, "nvmlGpmSampleAlloc"))
        self._library.ask(ASKED, "nvmlGpmSampleGet", self._handle, self._samples[which])
