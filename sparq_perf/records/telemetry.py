"""What a GPU did over time, sampled at an interval: one column per quantity."""

from itertools import pairwise
from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, Field, model_validator

from sparq_perf.records.reading import Absence
from sparq_profiles.quantity import Frozen

SeriesName = Literal[
    "power_instant_w",
    "power_average_w",
    "sm_clock_hz",
    "memory_clock_hz",
    "temperature_c",
    "temperature_margin_c",
    "gpu_utilisation",
    "energy_counter_j",
]
SERIES: tuple[SeriesName, ...] = get_args(SeriesName)
SLOWDOWNS: Literal["slowdowns"] = "slowdowns"
SampledName = SeriesName | Literal["slowdowns"]

Column = tuple[float | None, ...]


class Telemetry(Frozen):
    """Samples of a GPU.

    Attributes:
        began: wall clock at time 0, UTC.
        interval_s: that was asked for; samples are never closer, but for the one that ends them.
        times_s: of the samples, ascending from 0; empty where not even one was taken.
        series: one value per time, as `GpuState` defines it, None where that sample was refused; only those that have
            a value at all.
        slowdowns: per time, what held the clock down then or since the sample before.
        absences: why a series, or ``slowdowns``, has no value; or why it ended before the others did.
    """

    began: AwareDatetime
    interval_s: Annotated[float, Field(gt=0)]
    times_s: tuple[float, ...]
    series: dict[SeriesName, Column]
    slowdowns: tuple[tuple[str, ...], ...]
    absences: dict[SampledName, Absence]

    @model_validator(mode="after")
    def _times_ascend_from_zero(self) -> "Telemetry":
        if self.times_s and self.times_s[0] != 0:
            raise ValueError(f"times_s begins at {self.times_s[0]:g}: time 0 is the first sample's")
        if any(later <= earlier for earlier, later in pairwise(self.times_s)):
            raise ValueError("times_s must ascend")
        return self

    @model_validator(mode="after")
    def _one_value_per_time(self) -> "Telemetry":
        for name, column in (*self.series.items(), ("slowdowns", self.slowdowns)):
            if len(column) != len(self.times_s):
                raise ValueError(f"{name} has {len(column)} values for {len(self.times_s)} times")
        return self

    @model_validator(mode="after")
    def _values_or_absence(self) -> "Telemetry":
        for name in SERIES:
            column, absent = self.series.get(name, ()), name in self.absences
            if name in self.series and all(value is None for value in column):
                raise ValueError(f"{name} has no value: only its absence is recorded")
            if absent and column and column[-1] is not None:
                raise ValueError(f"{name} has values to the end, and an absence")
            if not absent and not column:
                raise ValueError(f"{name} has neither values nor an absence")
        return self
