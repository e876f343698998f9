"""What a run drives: one device, behind the few things in which a CPU and a GPU differ.

Everything else (what is planned, interleaved, judged, fitted, recorded) does not know which of the two it measures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from sparq_kernels import KVCache
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.dram import DramLadder
from sparq_perf.measure.nvml import NvmlGpu
from sparq_perf.measure.observing import Calls, Place
from sparq_perf.measure.progress import Tell
from sparq_perf.measure.stopping import StoppingRule
from sparq_perf.measure.tracing import CallTracer
from sparq_perf.records.dram import Rung
from sparq_perf.records.reading import Absence
from sparq_perf.records.schema import Environment, Timer
from sparq_profiles import AttentionShape, ConfigError
from sparq_profiles.hardware import HardwareProfile

DeviceType = Literal["cpu", "cuda"]

# (batch, seq_len, n_heads, n_kv_heads, head_dim)
ShapeSize = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """One timed decode call.

    Attributes:
        time_s: how long it took.
        read_bandwidth_bytes_per_s: of the flush before it; None where caches stayed warm.
        starved: the device caught up with the host, so that the host's time may be part of the sample.
    """

    time_s: float
    read_bandwidth_bytes_per_s: float | None
    starved: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may take on a machine, and roughly do.

    Attributes:
        timeout_s: for the rounds of one group.
        minimum_samples, minimum_time_s: of one contender, see `StoppingRule`.
        calibration_samples, calibration_timeout_s: the same for the rounds of one calibration shape.
        attempts: times that ceilings and calibration are found, where they turn out disturbed.
        ceilings_s, calibration_shape_s, contender_s, fill_bytes_per_s: for the progress bar only.
    """

    timeout_s: float
    minimum_samples: int
    minimum_time_s: float
    calibration_samples: int
    calibration_timeout_s: float
    attempts: int
    ceilings_s: float
    calibration_shape_s: float
    contender_s: float
    fill_bytes_per_s: float

    def rule(self, timeout_s: float | None = None) -> StoppingRule:
        """When to stop sampling one of a suite's contenders; ``timeout_s`` is the user's wish."""
        return StoppingRule(
            minimum_samples=self.minimum_samples,
            minimum_time_s=self.minimum_time_s,
            timeout_s=self.timeout_s if timeout_s is None else timeout_s,
        )

    def calibration_rule(self) -> StoppingRule:
        """The same for calibration, where many points share what one lacks."""
        return StoppingRule(
            target_noise=0.04,
            minimum_samples=self.calibration_samples,
            minimum_time_s=self.minimum_time_s,
            timeout_s=self.calibration_timeout_s,
        )


@dataclass(frozen=True, slots=True)
class CalibrationGrid:
    """Where implementations are calibrated on a machine: sizes and (rank, top_k) that no suite measures."""

    shapes: tuple[ShapeSize, ...]
    settings: tuple[tuple[int, int], ...]


class Flush(Protocol):
    """Reads a buffer larger than every cache; its speed shows whether the machine is as fast as before.

    Attributes:
        flush_bytes: how much one flush reads.
        seen: bandwidth of every flush since the list was last cleared, bytes/s.
    """

    flush_bytes: int
    seen: list[float]

    def __call__(self) -> float:
        """Flush; returns the read bandwidth seen, bytes/s."""


class Stopwatch(Protocol):
    """Times contenders, one call at a time.

    Attributes:
        n_buffers: KV caches that cold samples take in turn.
    """

    n_buffers: int

    def prepare(self, contender: Contender) -> Timer:
        """Compile, record or whatever else must not be timed; returns what will time it."""

    def run(self, contender: Contender, query: Tensor) -> None:
        """One call that is not sampled."""

    def sample(self, contender: Contender, query: Tensor, warm_query: Tensor | None) -> Sample:
        """Time one call.

        Args:
            contender: prepared before.
            query: new to it.
            warm_query: for a call right before, so that caches are warm; None flushes them instead.
        """


class Machine(Protocol):
    """One device that can be measured.

    Attributes:
        device: where caches and queries live; its type is what implementations are registered for.
        pace: how long things take.
        calibration: where implementations are calibrated.
        environment: what a run's first record says of it.
        nvml: reads the GPU's power and clocks while it works; or why nothing can.
        flush: cools its caches.
    """

    pace: Pace
    calibration: CalibrationGrid

    @property
    def device_type(self) -> DeviceType:
        """What implementations are registered for."""

    @property
    def device(self) -> torch.device:
        """Where caches and queries live."""

    @property
    def environment(self) -> Environment:
        """What a run's first record says of it."""

    @property
    def nvml(self) -> NvmlGpu | Absence:
        """Reads the GPU's power and clocks while it works; or why nothing can."""

    @property
    def dram(self) -> DramLadder | tuple[Rung, ...]:
        """Counts DRAM bytes; or what each way of counting says where there is none."""

    @property
    def architecture(self) -> tuple[str, int] | None:
        """Whose launch parameters Triton kernels have here, and its multiprocessors; None on a CPU."""

    @property
    def l2_bytes(self) -> float | None:
        """A GPU's L2; None where it is not told, or on a CPU."""

    @property
    def flush(self) -> Flush:
        """Cools its caches."""

    def find_ceilings(self, progress: Tell) -> HardwareProfile:
        """Probe it into a profile whose ceilings are measured."""

    def memory_available_bytes(self) -> int:
        """What a KV cache could take now."""

    def stopwatch(self, cache: KVCache, shape: AttentionShape, seed: int) -> Stopwatch:
        """Times decode calls on a cache."""

    def settle(self, work: Callable[[], None]) -> None:
        """Repeat ``work`` until the device runs as fast as it will."""

    def slowdowns(self) -> tuple[str, ...]:
        """What holds its clock down at this moment, for heat or power."""

    def calls(self, cache: KVCache, place: Place, seed: int, *, replayed: bool) -> Calls:
        """Makes decode calls for an observer to watch; see `Loop.replayed`."""

    def tracer(self) -> CallTracer:
        """torch.profiler, to be attached to such calls."""

    def release(self) -> None:
        """Give back memory that nobody uses any more."""


def choose_device(asked: str, meant_for: str = "any") -> DeviceType:
    """The type of device to measure.

    Args:
        asked: ``cpu``, ``cuda``, or ``auto``: the GPU where torch sees one and the suite is not made for CPUs.
        meant_for: where the suite's shapes are meant to run: ``cpu``, ``gpu`` or ``any``.

    Raises:
        ConfigError: another word, or ``cuda`` where torch sees no GPU.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device is {asked!r}: choose auto, cpu or cuda")
    if asked == "cpu" or (asked == "auto" and meant_for == "cpu"):
        return "cpu"
    if sees_gpu():
        return "cuda"
    if asked == "cuda":
        raise ConfigError(f"--device is 'cuda': torch {torch.__version__} sees no CUDA device: use --device cpu")
    return "cpu"


def sees_gpu() -> bool:
    """Whether torch could use a CUDA device."""
    return torch.cuda.is_available()


def open_machine(device: DeviceType, n_threads: int | None, note: Tell) -> Machine:
    """The device to measure, ready to be driven.

    Args:
        device: see `choose_device`.
        n_threads: of the host; all usable cores where None.
        note: told of what the user should know.

    Raises:
        SparqPerfError: an impossible number of threads.
    """
    # Imported here: measuring a GPU needs no numba, and a CPU no NVML.
    if device == "cpu":
        from sparq_perf.measure.cpu_machine import CpuMachine

        return CpuMachine(n_threads)
    from sparq_perf.measure.cuda_machine import CudaMachine

    return CudaMachine(n_threads, note=note)
