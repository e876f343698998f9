"""This machine's CPU, as something to measure."""

from collections.abc import Callable
from functools import cached_property
from typing import Literal

import numba
import torch
from torch.profiler import ProfilerActivity

from sparq_kernels import KVCache
from sparq_perf.measure.cpu_ceilings import CpuFlush, find_ceilings
from sparq_perf.measure.cpu_timing import CpuStopwatch
from sparq_perf.measure.dram import cpu_rungs
from sparq_perf.measure.eager_calls import EagerCalls
from sparq_perf.measure.environment import memory_available_bytes, probe_environment, usable_cores
from sparq_perf.measure.machine import CalibrationGrid, Pace
from sparq_perf.measure.observing import Place
from sparq_perf.measure.progress import Tell
from sparq_perf.measure.traced_calls import calls_on_host
from sparq_perf.measure.tracing import CallTracer, Tracer
from sparq_perf.records.dram import Rung
from sparq_perf.records.reading import Absence
from sparq_perf.records.schema import Environment
from sparq_profiles import AttentionShape, SparqPerfError
from sparq_profiles.hardware import HardwareProfile

PACE = Pace(
    timeout_s=8.0,
    minimum_samples=9,
    minimum_time_s=0.05,
    calibration_samples=5,
    calibration_timeout_s=2.5,
    # Ceilings found while another program ran make everything after them look wrong. Found again, twice at most.
    attempts=3,
    ceilings_s=6.0,
    calibration_shape_s=4.0,
    contender_s=0.7,
    fill_bytes_per_s=0.5e9,
)

# Small to large, MHA and GQA, two head sizes, so that launch, byte and per-score costs can be told apart; several of a
# few MiB, which caches hold in part. Lengths and settings are odd on purpose: suites use round ones.
CALIBRATION = CalibrationGrid(
    shapes=(
        (1, 700, 24, 6, 128),
        (1, 1_500, 24, 24, 128),
        (1, 2_600, 8, 2, 64),
        (1, 3_000, 6, 6, 64),
        (2, 1_100, 10, 10, 64),
        (1, 7_000, 8, 2, 64),
        (1, 6_000, 24, 24, 128),
        (1, 24_000, 24, 24, 128),
        (2, 3_000, 24, 24, 128),
        (1, 5_000, 24, 6, 128),
        (1, 20_000, 24, 6, 128),
        (3, 10_000, 24, 6, 128),
        (1, 9_000, 12, 12, 64),
        (1, 40_000, 12, 4, 64),
        (1, 50_000, 18, 18, 128),
        (2, 50_000, 24, 6, 128),
    ),
    settings=((12, 48), (28, 112), (56, 224)),
)


class CpuMachine:
    """The CPU, with some of its threads.

    Raises:
        SparqPerfError: more threads than there are, or none.
    """

    device_type: Literal["cpu"] = "cpu"
    device = torch.device("cpu")

    def __init__(self, n_threads: int | None = None) -> None:
        self._n_threads = usable_cores() if n_threads is None else n_threads
        most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        if not 1 <= self._n_threads <= most:
            raise SparqPerfError(f"--threads is {n_threads}: this machine allows 1 to {most}")
        numba.set_num_threads(self._n_threads)
        torch.set_num_threads(self._n_threads)
        self.pace, self.calibration = PACE, CALIBRATION

    @cached_property
    def environment(self) -> Environment:
        """What a run's first record says of it."""
        return probe_environment(self._n_threads)

    @property
    def nvml(self) -> Absence:
        """Nothing to read: no GPU is measured."""
        state = self.environment.gpu_state
        assert state is not None
        missing = state.power_average_w.absence
        return missing or Absence(kind="not_asked", detail="NVML reads GPUs, and this run measures the CPU")

    @property
    def dram(self) -> tuple[Rung, ...]:
        """No way of counting."""
        return cpu_rungs()

    architecture = None
    l2_bytes = None

    @cached_property
    def flush(self) -> CpuFlush:
        """Cools its caches; takes its memory on first use."""
        return CpuFlush(self._n_threads)

    def find_ceilings(self, progress: Tell) -> HardwareProfile:
        """Read bandwidth, multiply-add rate, cost of a parallel region."""
        return find_ceilings(self._n_threads, self.flush, progress=progress)

    def memory_available_bytes(self) -> int:
        """What could be taken now without swapping."""
        return memory_available_bytes()

    def stopwatch(self, cache: KVCache, shape: AttentionShape, seed: int) -> CpuStopwatch:
        """The host's clock around each call."""
        return CpuStopwatch(cache, shape, self.flush, seed)

    def settle(self, work: Callable[[], None]) -> None:
        """Nothing: a shared CPU does not settle, and the flush watches its speed."""

    def slowdowns(self) -> tuple[str, ...]:
        """None that can be asked for; the flush between samples sees a slower machine."""
        return ()

    def calls(self, cache: KVCache, place: Place, seed: int, *, replayed: bool) -> EagerCalls:
        """Decode calls one after another: a CPU has nothing to replay."""
        return EagerCalls(cache, place, seed, self.flush)

    def tracer(self) -> CallTracer:
        """torch.profiler on the host."""
        return CallTracer(Tracer([ProfilerActivity.CPU]), calls_on_host)

    def release(self) -> None:
        """Nothing: freed memory goes back by itself."""
