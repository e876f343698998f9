"""Where and with what a run is made, as its first record says it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparq_perf.records.gpu_state import GpuState
from sparq_perf.records.line import NonNegative, Positive, Text
from sparq_profiles.quantity import Frozen


class Instrument(Frozen):
    """Something that was asked for evidence.

    Attributes:
        name: ``nvml``, ``torch.profiler``, ``dram_counters`` and so on.
        available: whether it could be used here.
        reason: why not, where it could not.
        detail: its version, or what it will be used for.
    """

    name: Text
    available: bool
    reason: Text | None = None
    detail: str | None = None

    @model_validator(mode="after")
    def _reason_when_unavailable(self) -> "Instrument":
        if self.available == (self.reason is not None):
            raise ValueError("reason must be given exactly when available is false")
        return self


class Gpu(Frozen):
    """The GPU that was measured, as it and its driver describe it.

    Attributes:
        uuid: tells it from its neighbours, whatever order they are listed in; None where it was not told.
        driver: version of the kernel driver; None without NVML.
        compute_capability: such as ``9.0``.
        cuda: version of CUDA that torch was built with.
        host: the processor that drives it.
    """

    uuid: Text | None
    driver: Text | None
    compute_capability: Text
    n_multiprocessors: Annotated[int, Field(ge=1)]
    memory_bytes: Positive
    l2_bytes: Positive | None
    cuda: Text | None
    host: Text


class Environment(Frozen):
    """Where and with what a run was made.

    Attributes:
        device: name of what was measured; memory, cores and threads are the host's.
        gpu: the GPU that was measured; None where it was a CPU.
        load_average: the machine's 1-minute load when the run began: other work disturbs timings.
        commit: the source's git commit, with ``+changes`` where the tree had any; None outside a checkout.
        gpu_state: what NVML said of the GPU when the run began: every field a value or the reason for its absence. None
            in records before version 3.
    """

    device: Text
    device_kind: Literal["cpu", "gpu"]
    n_cores: Annotated[int, Field(ge=1)]
    n_threads: Annotated[int, Field(ge=1)]
    memory_bytes: Positive
    load_average: NonNegative | None
    operating_system: Text
    python: Text
    versions: dict[str, str]
    commit: str | None
    instruments: tuple[Instrument, ...]
    gpu: Gpu | None = None
    gpu_state: GpuState | None = None

    @model_validator(mode="after")
    def _gpu_when_measured(self) -> "Environment":
        if (self.device_kind == "gpu") != (self.gpu is not None):
            raise ValueError("gpu must be given exactly when device_kind is gpu")
        return self
