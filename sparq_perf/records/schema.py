"""What a record file holds: one JSON object a line, each validated, each saying what kind of line it is.

    run            who measured, where, with which versions, and which instruments could be asked
    ceilings       the device's ceilings as found, and again at the end of the run
    calibration    the time model of one implementation, fitted to points outside the suite
    measurement    one workload by one implementation: times and their prediction, or why there are none
    step_profile   time per step from torch.profiler, in a pass of its own
    end            how a run ended

A validator ties a status to the fields it may carry, so that a failed measurement with a time, or a valid one
without, cannot be built.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, computed_field, model_validator

from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.quantity import Frozen
from sparq_profiles.shape import AttentionShape, SparqConfig
from sparq_profiles.suite import CacheState
from sparq_roofline.calibration import TimeModel
from sparq_roofline.prediction import TimePrediction

# Version 2 added the timer of a measurement and the GPU of an environment; `upgrading` reads version 1.
SCHEMA_VERSION: Literal[2] = 2

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]


# What timed the samples: the host's clock around a call; device events around the replay of a recorded call, or
# around the call itself where it cannot be recorded (its launches then count as far as the device waits for them).
Timer = Literal["perf_counter", "cuda_graph", "cuda_events"]


class Line(Frozen):
    """What every line carries."""

    schema_version: Literal[2] = SCHEMA_VERSION
    run_id: Text
    time: datetime


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

    @model_validator(mode="after")
    def _gpu_when_measured(self) -> "Environment":
        if (self.device_kind == "gpu") != (self.gpu is not None):
            raise ValueError("gpu must be given exactly when device_kind is gpu")
        return self


class Run(Line):
    """First line of a run, and of each resumption.

    Attributes:
        suite: the suite's name; suite_sha256 guards a resumption against another suite of the same name.
        resumed: this run went on with an earlier one's file.
    """

    record: Literal["run"] = "run"
    package_version: Text
    suite: Text
    suite_title: Text
    suite_sha256: Text
    n_planned: Annotated[int, Field(ge=0)]
    resumed: bool
    command: tuple[str, ...]
    environment: Environment


class CeilingsLine(Line):
    """The device's ceilings, as a hardware profile whose numbers are measured.

    Attributes:
        phase: ``start`` of the run, or its ``end``, which shows how far the machine drifted.
    """

    record: Literal["ceilings"] = "ceilings"
    phase: Literal["start", "end"]
    hardware: HardwareProfile


class CalibrationPoint(Frozen):
    """A measurement that a time model was fitted to; never one of the suite's."""

    shape: AttentionShape
    config: SparqConfig | None
    measured_s: Positive
    fitted_s: Positive


class CalibrationLine(Line):
    """The time model of one implementation on this device."""

    record: Literal["calibration"] = "calibration"
    implementation: Text
    model: TimeModel
    points: tuple[CalibrationPoint, ...]


class Measurement(Line):
    """One workload measured by one implementation.

    Attributes:
        key: identifies the configuration, so that a resumed run knows what it has.
        status: ``ok``; ``invalid``: measured, but not to be trusted; ``failed``: no time at all.
        reasons: why it is invalid or failed.
        samples_s: every kept iteration's time, in the order measured, one decode call each.
        timer: what timed them.
        median_ci_s: 95 % confidence interval of the median (order statistics), lower and upper.
        relative_noise: half of the interval's width over the median.
        stop_reason: why sampling ended: the target ``noise`` was reached, ``timeout``, or ``interrupted``.
        warmups: iterations made first and thrown away.
        read_bandwidth_bytes_per_s: median bandwidth of the reads that flushed the caches between these samples: whether
            the machine was as fast as when its ceilings were found. None where caches were warm.
        max_error: largest absolute difference from the float64 reference; error_tolerance: what was allowed.
        prediction: made before the measurement, from ceilings and calibration points outside the suite.
    """

    record: Literal["measurement"] = "measurement"
    key: Text
    model: Text
    shape: AttentionShape
    config: SparqConfig | None
    cache_state: CacheState
    implementation: Text
    status: Literal["ok", "invalid", "failed"]
    reasons: tuple[Text, ...] = ()
    samples_s: tuple[Positive, ...] = ()
    timer: Timer | None = None
    median_ci_s: tuple[Positive, Positive] | None = None
    relative_noise: NonNegative | None = None
    stop_reason: Literal["noise", "timeout", "interrupted"] | None = None
    warmups: Annotated[int, Field(ge=0)] = 0
    read_bandwidth_bytes_per_s: Positive | None = None
    max_error: NonNegative | None = None
    error_tolerance: Positive | None = None
    energy_j: Positive | None = None
    energy_reason: Text | None = None
    prediction: TimePrediction | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def median_s(self) -> float | None:
        """Median of the samples, seconds; None where there are none."""
        if not self.samples_s:
            return None
        ordered = sorted(self.samples_s)
        middle = len(ordered) // 2
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

    @model_validator(mode="before")
    @classmethod
    def _median_is_derived(cls, data: Any) -> Any:
        # Written for readers of the file; what counts on reading are the samples.
        return {k: v for k, v in data.items() if k != "median_s"} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _status_ties_fields(self) -> "Measurement":
        if (self.status == "ok") == bool(self.reasons):
            raise ValueError("reasons must be given exactly when status is not ok")
        timed = (self.timer, self.median_ci_s, self.relative_noise, self.stop_reason)
        if self.status == "failed":
            if self.samples_s or any(field is not None for field in timed):
                raise ValueError("a failed measurement carries no times")
        elif not self.samples_s or any(field is None for field in timed):
            raise ValueError(
                "a measurement that did not fail carries its samples, timer, interval, noise and stop reason"
            )
        if (self.energy_j is None) == (self.energy_reason is None):
            raise ValueError("energy_j or the reason why there is none must be given, and not both")
        return self


class ProfiledStep(Frozen):
    """Mean time of one named step over the profiled iterations."""

    name: Text
    time_s: NonNegative


class StepProfile(Line):
    """Time per step of one workload and implementation, from a pass with torch.profiler attached.

    Attributes:
        total_s: mean time of the whole decode call in that pass: of the host on a CPU, where it carries the
            profiler's cost; of the call's kernels on a GPU, without the gaps between them. It is no latency.
    """

    record: Literal["step_profile"] = "step_profile"
    key: Text
    model: Text
    shape: AttentionShape
    config: SparqConfig | None
    cache_state: CacheState
    implementation: Text
    iterations: Annotated[int, Field(ge=1)]
    total_s: Positive
    steps: tuple[ProfiledStep, ...]


class End(Line):
    """Last line of a run that could still write one."""

    record: Literal["end"] = "end"
    outcome: Literal["complete", "interrupted", "failed"]
    n_measured: Annotated[int, Field(ge=0)]
    n_missing: Annotated[int, Field(ge=0)]
    elapsed_s: NonNegative


AnyLine = Run | CeilingsLine | CalibrationLine | Measurement | StepProfile | End

ANY_LINE: TypeAdapter[AnyLine] = TypeAdapter(Annotated[AnyLine, Field(discriminator="record")])


def json_schema() -> dict[str, Any]:
    """JSON schema of one line, for other programs' validators."""
    schema = ANY_LINE.json_schema(mode="serialization")
    schema["title"] = f"sparq-perf record, schema version {SCHEMA_VERSION}"
    return schema
