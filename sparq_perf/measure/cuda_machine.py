"""torch's current CUDA device, as something to measure."""

import gc
from collections.abc import Callable
from functools import cached_property
from typing import Literal

import torch

from sparq_kernels import KVCache
from sparq_perf.measure.cuda_calls import ReplayedCalls
from sparq_perf.measure.cuda_ceilings import find_ceilings
from sparq_perf.measure.cuda_driver import CudaDriver
from sparq_perf.measure.cuda_flush import CudaFlush
from sparq_perf.measure.cuda_settling import settle
from sparq_perf.measure.cuda_timing import CudaStopwatch, buffers_wanted
from sparq_perf.measure.dram import DramLadder
from sparq_perf.measure.eager_calls import EagerCalls
from sparq_perf.measure.environment import cpu_name, host_fields, usable_cores
from sparq_perf.measure.inputs import build_cache
from sparq_perf.measure.instruments import dram_instrument, nvml_instrument
from sparq_perf.measure.machine import CalibrationGrid, Pace
from sparq_perf.measure.nvml import NvmlGpu, open_gpu
from sparq_perf.measure.observing import Place
from sparq_perf.measure.progress import Tell
from sparq_perf.measure.traced_calls import calls_on_device
from sparq_perf.measure.tracing import CallTracer
from sparq_perf.records.gpu_state import GpuState
from sparq_perf.records.reading import Absence
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
        nvml, ladder = self._nvml, self.dram
        major, minor = facts.compute_capability
        return Environment(
            device=facts.name,
            device_kind="gpu",
            instruments=(
                nvml_instrument(nvml),
                Instrument(
                    name="torch.profiler", available=True, detail="kernels' time per step, in a pass of its own"
                ),
                dram_instrument(ladder.probe()),
            ),
            gpu_state=GpuState.missing(nvml) if isinstance(nvml, Absence) else nvml.state(),
            gpu=Gpu(
                uuid=facts.uuid,
                driver=None if isinstance(nvml, Absence) else nvml.driver,
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
    def nvml(self) -> NvmlGpu | Absence:
        """Reads the GPU's power and clocks while it works; or why nothing can."""
        return self._nvml

    @cached_property
    def dram(self) -> DramLadder:
        """Counts DRAM bytes."""
        return DramLadder(self._driver.facts().uuid, 0, device_index=self.device.index or 0)

    @property
    def architecture(self) -> tuple[str, int]:
        """Whose launch parameters Triton kernels have here, and its multiprocessors."""
        facts = self._driver.facts()
        major, minor = facts.compute_capability
        return f"sm_{major}{minor}", facts.n_multiprocessors

    @property
    def l2_bytes(self) -> float | None:
        """Its L2; None where it does not tell."""
        return self._driver.facts().l2_bytes

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
        """Device events around the replay of a captured call, on copies of other content in turn where it is small."""
        n_buffers = buffers_wanted(shape.kv_bytes, self._driver.facts().l2_bytes, self.memory_available_bytes())
        others = (build_cache(shape, cache.k_layout, seed + n, self.device) for n in range(1, n_buffers))
        return CudaStopwatch(self._driver, self.flush, [cache, *others], shape, seed, self._note_once)

    def settle(self, work: Callable[[], None]) -> None:
        """Work until the clock of the multiprocessors is flat."""
        settle(self._driver, None if isinstance(self._nvml, Absence) else self._nvml, work)
        self.slowdowns()  # what held the clock down until now is not the samples' that follow

    def slowdowns(self) -> tuple[str, ...]:
        """What holds the clock down now, as NVML tells; nothing where it is not there."""
        return () if isinstance(self._nvml, Absence) else self._nvml.slowdowns()

    def calls(self, cache: KVCache, place: Place, seed: int, *, replayed: bool) -> EagerCalls | ReplayedCalls:
        """Replays of a captured call, or calls through the host's code."""
        if replayed:
            return ReplayedCalls(self._driver, cache, place, seed, self.flush)
        return EagerCalls(cache, place, seed, self.flush, self._driver.synchronize)

    def tracer(self) -> CallTracer:
        """torch.profiler on host and device."""
        return CallTracer(self._driver.tracer(), calls_on_device)

    def release(self) -> None:
        """Give memory that nobody uses back to the device; CUDA graphs keep theirs until they are collected."""
        gc.collect()
        self._driver.empty_cache()

    @cached_property
    def _nvml(self) -> NvmlGpu | Absence:
        return open_gpu(self._driver.facts().uuid)

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)
