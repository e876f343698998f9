"""One look at everything that NVML tells of a GPU."""

from typing import Annotated

from pydantic import Field

from sparq_perf.records.reading import Absence, Reading
from sparq_profiles.quantity import Frozen

NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class GpuState(Frozen):
    """What a GPU was like at one moment, each value or why there is none.

    Attributes:
        power_instant_w: now; power_average_w: over the last second on most recent GPUs.
        power_limit_w: that is enforced.
        energy_counter_j: since the driver was loaded, refreshed every 10 to 100 ms.
        sm_clock_hz, memory_clock_hz: now; sm_clock_max_hz, memory_clock_max_hz: the most that is possible.
        temperature_margin_c: to the nearest temperature at which the clock is held down; negative beyond it.
        gpu_utilisation, memory_utilisation: share of the last sampling period (at most 1 s) in which a kernel ran,
            in which memory was read or written.
        memory_used_bytes: by everybody, the driver included.
        slowdowns: what holds the clock down now; empty where nothing does.
        power_violation_s, thermal_violation_s: how long power and heat have held the clock down since the driver was
            loaded.
        ecc_corrected, ecc_uncorrected: memory errors since the driver was loaded.
        mig_enabled: whether the GPU is partitioned.
    """

    power_instant_w: Reading[NonNegative]
    power_average_w: Reading[NonNegative]
    power_limit_w: Reading[NonNegative]
    energy_counter_j: Reading[NonNegative]
    sm_clock_hz: Reading[NonNegative]
    memory_clock_hz: Reading[NonNegative]
    sm_clock_max_hz: Reading[NonNegative]
    memory_clock_max_hz: Reading[NonNegative]
    temperature_c: Reading[float]
    temperature_margin_c: Reading[float]
    gpu_utilisation: Reading[Fraction]
    memory_utilisation: Reading[Fraction]
    memory_used_bytes: Reading[Count]
    slowdowns: Reading[tuple[str, ...]]
    power_violation_s: Reading[NonNegative]
    thermal_violation_s: Reading[NonNegative]
    ecc_enabled: Reading[bool]
    ecc_corrected: Reading[Count]
    ecc_uncorrected: Reading[Count]
    mig_enabled: Reading[bool]

    @classmethod
    def missing(cls, absence: Absence) -> "GpuState":
        """Nothing, for one reason: a machine without a GPU, without its driver or without NVML's library."""
        return cls.model_validate({name: Reading(absence=absence) for name in cls.model_fields})
