"""Quantities that NVML gives as field values, several in one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sparq_perf.measure.nvml.binding import Library, Refusal, reading
from sparq_perf.records.reading import Reading


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        asked: what for, in words.
        constant: name of its id in nvidia-ml-py.
        per_unit: SI units in one of NVML's.
    """

    asked: str
    constant: str
    per_unit: float


# Milliwatts, and nanoseconds. The newer NVML_FI_DEV_CLOCKS_EVENT_REASON_* fields tell more causes apart, but their
# numbers changed between driver branches (251 to 253, then 269 to 271): a binding of one branch asks a driver of the
# other for something else.
FIELDS = {
    "power_instant_w": Field("instant power", "NVML_FI_DEV_POWER_INSTANT", 1e-3),
    "power_average_w": Field("average power", "NVML_FI_DEV_POWER_AVERAGE", 1e-3),
    "power_violation_s": Field("time held down by power", "NVML_FI_DEV_PERF_POLICY_POWER", 1e-9),
    "thermal_violation_s": Field("time held down by heat", "NVML_FI_DEV_PERF_POLICY_THERMAL", 1e-9),
}

# Member of the union nvmlValue_t by nvmlValueType_t. Another one than the driver wrote is garbage, not zero.
MEMBERS = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}


def read_fields(library: Library, gpu: Any, names: Sequence[str]) -> dict[str, Reading[float]]:
    """Read some of `FIELDS`; each has its own answer, for NVML calls it a success when one of them has a value."""
    if not names:
        return {}
    fields = [FIELDS[name] for name in names]
    asked = ", ".join(field.asked for field in fields)
    try:
        # Power is that of the GPU: on a module, such as Grace Hopper, other scopes hold the processor's too.
        scope = library.named(asked, "NVML_POWER_SCOPE_GPU")
        ids = [(library.named(field.asked, field.constant), scope) for field in fields]
        values = library.ask(asked, "nvmlDeviceGetFieldValues", gpu, ids)
    except Refusal as refusal:
        return {name: Reading(absence=refusal.absence) for name in names}
    looks = [partial(_value, library, field, value) for field, value in zip(fields, values, strict=True)]
    return {name: reading(look) for name, look in zip(names, looks, strict=True)}


def _value(library: Library, field: Field, value: Any) -> float:
    """In SI units. Raises: Refusal."""
    asked = f"{field.asked}: {field.constant}"
    library.check(asked, value.nvmlReturn)
    number = getattr(value.value, MEMBERS.get(value.valueType, ""), None)
    if number is None:  # of a type that this module, or this nvidia-ml-py, does not know
        raise Refusal("failed", f"{asked}: a value of the unknown type {value.valueType}")
    return float(number) * field.per_unit
