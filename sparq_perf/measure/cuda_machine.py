"""torch's current CUDA device, as something to measure."""

import gc
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Literal

import torch

from sparq_kernels import KVCache
from sparq_perf.measure.cuda_ceilings import find_ceilings
from sparq_perf.measure.cuda_driver import CudaDriver
from sparq_perf.measure.cuda_flush import CudaFlush
from sparq_perf.measure.cuda_settling import settle
from sparq_perf.measure.cuda_timing import CudaStopwatch
from sparq_perf.measure.cuda_trace import times_in_ranges
from sparq_perf.measure.environment import cpu_name, host_fields, usable_cores
from sparq_perf.measure.instruments import GPU_COUNTERS_REASON, GPU_ENERGY_REASON
from sparq_perf.measure.machine import CalibrationGrid, Pace, Tell
from sparq_perf.measure.nvml import Nvml, open_nvml
from sparq_perf.measure.profiling import CALL_RANGE, RANGE_PREFIX
from sparq_perf.records.schema import Environment, Gpu, Instrument
from sparq_profiles import AttentionShape, SparqPerfError
from sparq_profiles.hardware import HardwareProfile

# A group of the `gpu` suite takes a second or two of samples; the suite must fit into eight minutes.
PACE = Pace(
    timeout_s=3.0,
    minimum_samples=30,
    minimum_time_s=0.001,
    calibration_samples=15,
    calibration_timeout_s=1.0,
    # Nobody else works on most GPUs: a poor fit is the model's, and finding it again would not mend it.
    attempts=2,
    ceilings_s=5.0,
    calibration_shape_s=3.0,
    contender_s=0.8,
    fill_bytes_per_s=10e9,
)

# As on a CPU, but up to batches that fill a GPU. Ranks are those of real use, for a kernel's tiles are made for them;
# with the numbers of keys beside them no suite has them.
CALIBRATION = CalibrationGrid(
    shapes=(
        (1, 700, 24, 6, 128),
        (1, 3_000, 24, 24, 128),
        (2, 1_500, 24, 24, 128),
        (1, 12_000, 24, 6, 128),
        (1, 50_000, 24, 6, 128),
        (1, 100_000, 24, 6, 128),
        (3, 10_000, 24, 6, 128),
        (4, 9_000, 12, 12, 64),
        (1, 40_000, 12, 4, 64),
        (12, 5_000, 24, 24, 128),
        (12, 24_000, 24, 6, 128),
        (40, 3_000, 24, 24, 128),
        (48, 10_000, 24, 6, 128),
    ),
    settings=((16, 96), (32, 192), (64, 384)),
)


class CudaMachine:
    """The GPU that torch uses by default: CUDA_VISIBLE_DEVICES chooses another.

    Args:
        n_threads: of the host; all usable cores where None.
        note: told of what the user should know; the same words once.
        driver: torch's, unless a test brings its own.

    Raises:
        SparqPerfError: more host threads than there are, or none.
    """

    device_type: Literal["cuda"] = "cuda"

    def __init__(
        self, n_threads: int | None = None, *, note: Tell = lambda _: None, driver: CudaDriver | None = None
    ) -> None:
        most = usable_cores()
        self._n_threads = most if n_threads is None else n_threads
        if not 1 <= self._n_threads <= most:
            raise SparqPerfError(f"--threads is {n_threads}: this machine allows 1 to {most}")
        torch.set_num_threads(self._n_threads)
        self.pace, self.calibration = PACE, CALIBRATION
        self._driver = driver or CudaDriver()
        self.device = self._driver.device
        self._note, self._noted = note, set[str]()

    @cached_property
    def environment(self) -> Environment:
        """What a run's first record says of it."""
        facts = self._driver.facts()
        nvml, answer = self._nvml
        major, minor = facts.compute_capability
        return Environment(
            device=facts.name,
            device_kind="gpu",
            instruments=(
                answer,
                Instrument(
                    name="torch.profiler", available=True, detail="kernels' time per step, in a pass of its own"
                ),
                Instrument(name="dram_counters", available=False, reason=GPU_COUNTERS_REASON),
            ),
            gpu=Gpu(
                uuid=facts.uuid,
                driver=nvml.driver if nvml else None,
                compute_capability=f"{major}.{minor}",
                n_multiprocessors=facts.n_multiprocessors,
                memory_bytes=facts.memory_bytes,
                l2_bytes=facts.l2_bytes,
                cuda=facts.cuda,
                host=cpu_name(),
            ),
            **host_fields(self._n_threads),
        )

    @property
    def energy_reason(self) -> str:
        """Why a measurement carries no energy."""
        answer = self._nvml[1]
        return f"NVML: {answer.reason}" if answer.reason else GPU_ENERGY_REASON

    @cached_property
    def flush(self) -> CudaFlush:
        """Cools the L2; takes its memory on first use."""
        return CudaFlush(self._driver)

    def find_ceilings(self, progress: Tell) -> HardwareProfile:
        """Bandwidths, matrix rates, cost of one more kernel."""
        hardware = find_ceilings(self._driver, self.flush, progress)
        self.release()
        return hardware

    def memory_available_bytes(self) -> int:
        """The device's free memory."""
        return self._driver.free_bytes()

    def stopwatch(self, cache: KVCache, shape: AttentionShape, seed: int) -> CudaStopwatch:
        """Device events around the replay of a captured call."""
        return CudaStopwatch(self._driver, self.flush, cache, shape, seed, self._note_once)

    def settle(self, work: Callable[[], None]) -> None:
        """Work until the clock of the multiprocessors is flat."""
        settle(self._driver, self._nvml[0], work)

    def slowdowns(self) -> tuple[str, ...]:
        """What holds the clock down now, as NVML tells; nothing where it is not there."""
        nvml = self._nvml[0]
        return nvml.slowdowns() if nvml else ()

    def range_times(self, work: Callable[[], None]) -> Mapping[str, float]:
        """Seconds of kernels launched within each profiler range while ``work`` runs."""
        return times_in_ranges(self._driver.trace(work), (CALL_RANGE, RANGE_PREFIX))

    def release(self) -> None:
        """Give memory that nobody uses back to the device; CUDA graphs keep theirs until they are collected."""
        gc.collect()
        self._driver.empty_cache()

    @cached_property
    def _nvml(self) -> tuple[Nvml | None, Instrument]:
        return open_nvml(self._driver.facts().uuid)

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)
