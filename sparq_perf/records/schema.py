"""What a record file holds: one JSON object a line, each validated, each saying what kind of line it is.

    run            who measured, where, with which versions, and which instruments could be asked
    ceilings       the device's ceilings as found, and again at the end of the run
    calibration    the time model of one implementation, fitted to points outside the suite
    measurement    one workload by one implementation: times and their prediction, or why there are none
    energy         its energy a decode step, power and clocks, from a pass of its own under NVML
    step_profile   its time and launches by kernel and by named step, from a pass of its own under torch.profiler
    dram           bytes that it moved to and from DRAM, from a pass of its own under the device's counters
    counted        bytes that its kernels' code accesses, counted without a clock or a GPU
    imported       where measurements that others made came from
    fidelity       one task by one language model, dense or with SparQ
    attention_map  one head's attention over some of its decode steps, estimated and true
    end            how a run ended

A validator ties a status to the fields it may carry, so that a failed measurement with a time, or a valid one
without, cannot be built.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from sparq_perf.records.attention_map import AttentionMap, MapStep
from sparq_perf.records.environment import Environment, Gpu, Instrument
from sparq_perf.records.fidelity import Fidelity, LayerFidelity
from sparq_perf.records.line import SCHEMA_VERSION, Line, NonNegative, Positive, Subject, Text
from sparq_perf.records.measurement import Measurement, Timer
from sparq_perf.records.observed import (
    Counted,
    CountedBytes,
    Dram,
    Energy,
    ProfiledKernel,
    ProfiledStep,
    Slice,
    StepProfile,
)
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.quantity import Frozen
from sparq_profiles.shape import AttentionShape, SparqConfig
from sparq_roofline.calibration import TimeModel

__all__ = [
    "ANY_LINE",
    "SCHEMA_VERSION",
    "AttentionMap",
    "CalibrationLine",
    "CalibrationPoint",
    "CeilingsLine",
    "Counted",
    "CountedBytes",
    "Dram",
    "End",
    "Energy",
    "Environment",
    "Fidelity",
    "Gpu",
    "Imported",
    "Instrument",
    "LayerFidelity",
    "Line",
    "MapStep",
    "Measurement",
    "PassName",
    "PlannedPass",
    "ProfiledKernel",
    "ProfiledStep",
    "Run",
    "Slice",
    "StepProfile",
    "Subject",
    "Timer",
    "json_schema",
]

# In the order in which they are made; each by itself, so that no instrument disturbs another's numbers.
PassName = Literal["correctness", "timing", "nvml", "profile", "counters", "counted"]


class PlannedPass(Frozen):
    """One pass of a run's plan, and why it is not made where it is not."""

    name: PassName
    made: bool
    reason: Text | None = None

    @model_validator(mode="after")
    def _reason_when_not_made(self) -> "PlannedPass":
        if self.made == (self.reason is not None):
            raise ValueError("reason must be given exactly when made is false")
        return self


class Run(Line):
    """First line of a run, and of each resumption.

    Attributes:
        passes: the plan; empty in records before version 3.
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
    passes: tuple[PlannedPass, ...] = ()


class CeilingsLine(Line):
    """The device's ceilings, as a hardware profile whose numbers are measured.

    Attributes:
        phase: ``start`` of the run, or its ``end``, which shows how far the machine drifted.
    """

    record: Literal["ceilings"] = "ceilings"
    phase: Literal["start", "end"]
    hardware: HardwareProfile


class CalibrationPoint(Frozen):
    """A measurement that a time model was fitted to; never one of the suite's.

    Attributes:
        disturbed: far slower than the other points foretell, so that it counts for little.
    """

    shape: AttentionShape
    config: SparqConfig | None
    measured_s: Positive
    fitted_s: Positive
    disturbed: bool = False


class CalibrationLine(Line):
    """The time model of one implementation on this device."""

    record: Literal["calibration"] = "calibration"
    implementation: Text
    model: TimeModel
    points: tuple[CalibrationPoint, ...]


class Imported(Line):
    """First line of records that others measured and ``sparq-perf import`` wrote; it stands in place of a run.

    Attributes:
        source: name of the file; source_sha256: its digest.
        device: as the file names it; hardware: the profile that stands for it.
    """

    record: Literal["imported"] = "imported"
    package_version: Text
    source: Text
    source_sha256: Text
    device: Text
    hardware: HardwareProfile
    n_measurements: Annotated[int, Field(ge=1)]


class End(Line):
    """Last line of a run that could still write one."""

    record: Literal["end"] = "end"
    outcome: Literal["complete", "interrupted", "failed"]
    n_measured: Annotated[int, Field(ge=0)]
    n_missing: Annotated[int, Field(ge=0)]
    elapsed_s: NonNegative


AnyLine = (
    Run
    | CeilingsLine
    | CalibrationLine
    | Measurement
    | Energy
    | StepProfile
    | Dram
    | Counted
    | Imported
    | Fidelity
    | AttentionMap
    | End
)

ANY_LINE: TypeAdapter[AnyLine] = TypeAdapter(Annotated[AnyLine, Field(discriminator="record")])


def json_schema() -> dict[str, Any]:
    """JSON schema of one line, for other programs' validators."""
    schema = ANY_LINE.json_schema(mode="serialization")
    schema["title"] = f"sparq-perf record, schema version {SCHEMA_VERSION}"
    return schema
