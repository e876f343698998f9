"""What instruments saw of one workload and implementation, each in a pass of its own, or why they saw nothing."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparq_perf.records.dram import DramReading
from sparq_perf.records.line import NonNegative, Positive, Subject, Text
from sparq_perf.records.reading import Absence, Reading
from sparq_perf.records.telemetry import Telemetry
from sparq_profiles.quantity import Frozen
from sparq_profiles.suite import CacheState


class Energy(Subject):
    """Energy of one decode step, from a loop of some seconds under NVML, with nothing else attached.

    Attributes:
        n_calls, elapsed_s: of the loop; 0 where none was made.
        caches: whether the loop's calls found their KV cache in DRAM or in a cache: nothing is flushed between them, so
            this need not be the state that was timed. None without a loop.
        counter_j: by the device's energy counter; integral_j: by integrating sampled power, whose series is
            ``power_source``. Both of one decode step, and without idle power where ``idle_subtracted``.
        idle_power_w: of the device before the run; measured, and subtracted on request only.
        power_w, sm_clock_hz: means over the loop.
        throttled_s: how long each cause held the clock down.
        telemetry: what was sampled; None without a loop.
    """

    record: Literal["energy"] = "energy"
    n_calls: Annotated[int, Field(ge=0)] = 0
    elapsed_s: NonNegative = 0.0
    caches: CacheState | None = None
    counter_j: Reading[Positive]
    integral_j: Reading[Positive]
    power_source: Literal["power_instant_w", "power_average_w"] | None = None
    idle_power_w: Reading[Positive]
    idle_subtracted: bool = False
    power_w: Reading[Positive]
    sm_clock_hz: Reading[Positive]
    throttled_s: dict[str, NonNegative] = Field(default_factory=dict)
    telemetry: Telemetry | None = None

    @property
    def energy_j(self) -> float | None:
        """Of one decode step: by the counter, which misses no peak, else by the integral; None without either."""
        return self.integral_j.value if self.counter_j.value is None else self.counter_j.value

    @model_validator(mode="after")
    def _values_need_a_loop(self) -> "Energy":
        if not self.n_calls and self.energy_j is not None:
            raise ValueError("energy needs a loop of at least one call")
        return self


class ProfiledStep(Frozen):
    """What one named step took of the profiled call of median time.

    Attributes:
        time_s: of its kernels on a GPU, of the host within its range on a CPU.
        launches: kernels, or operations of a CPU; None in records before version 3.
        predicted_s: expected time of the step of that name; None where the prediction has none of that name.
    """

    name: Text
    time_s: NonNegative
    launches: NonNegative | None = None
    predicted_s: NonNegative | None = None


class ProfiledKernel(Frozen):
    """What one kernel, or operation of a CPU, took of the profiled call of median time.

    Attributes:
        step: the named step that launched it; None outside all of them.
    """

    name: Text
    step: Text | None
    launches: NonNegative
    time_s: NonNegative


class Slice(Frozen):
    """One kernel, operation or named range of the call that is kept for the timeline.

    Attributes:
        start_s: since the call began.
        is_range: a named step around operations, not an operation itself.
    """

    name: Text
    step: Text | None
    start_s: NonNegative
    duration_s: NonNegative
    is_range: bool = False


class StepProfile(Subject):
    """Time and launches per step and kernel, from a pass with torch.profiler attached.

    Attributes:
        iterations: calls profiled; all that follows is of the one of median time (in records before version 3, a mean).
        total_s: time of the whole decode call in that pass: of the host on a CPU, where it carries the
            profiler's cost; the sum of the call's kernels on a GPU, without the gaps between them. It is no latency.
        span_s: time from the start of the first kernel to the end of the last, gaps included; None in records
            before version 3.
        began: when the call began; call: its pieces.
    """

    record: Literal["step_profile"] = "step_profile"
    iterations: Annotated[int, Field(ge=1)]
    total_s: Positive
    span_s: Positive | None = None
    steps: tuple[ProfiledStep, ...]
    kernels: tuple[ProfiledKernel, ...] = ()
    began: datetime | None = None
    call: tuple[Slice, ...] = ()


class Dram(Subject):
    """Bytes of one decode step to and from the device's memory, by its counters, or why there are none."""

    record: Literal["dram"] = "dram"
    dram: DramReading


class CountedBytes(Frozen):
    """One step's bytes by counting what its kernels' code accesses, beside the formulas' figure for the same.

    Attributes:
        counted_bytes, analytic_bytes: that lanes read and write.
        sector_bytes: of distinct 32-byte sectors: what must move at least once.
        requested_bytes: of all sectors asked for: what the caches see.
    """

    step: Text
    counted_bytes: NonNegative
    analytic_bytes: NonNegative
    sector_bytes: NonNegative
    requested_bytes: NonNegative


class Counted(Subject):
    """Bytes that one decode step's kernels access, counted in Triton's interpreter, or why they were not.

    Attributes:
        architecture: whose launch parameters were counted, such as ``sm_90``.
    """

    record: Literal["counted"] = "counted"
    architecture: Text | None = None
    steps: tuple[CountedBytes, ...] = ()
    absence: Absence | None = None

    @model_validator(mode="after")
    def _steps_or_absence(self) -> "Counted":
        if bool(self.steps) == (self.absence is not None) or bool(self.steps) != (self.architecture is not None):
            raise ValueError("counted steps and their architecture, or their absence, must be given, and not both")
        return self
