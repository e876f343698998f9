"""What NVML told of a GPU when a run began: every field in words, or the reason why it told nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sparq_perf.records.gpu_state import GpuState
from sparq_perf.records.reading import Reading
from sparq_perf.report.wording import count, data_size, listed, percent, si, significant

Show = Callable[[Any], str]


def _watts(value: float) -> str:
    return si(value, "W")


def _hertz(value: float) -> str:
    return si(value, "Hz")


def _celsius(value: float) -> str:
    return f"{significant(value)} °C"


def _yes_or_no(value: bool) -> str:
    return "on" if value else "off"


_FIELDS: dict[str, tuple[str, Show]] = {
    "power_instant_w": ("Power now", _watts),
    "power_average_w": ("Power, averaged by the driver", _watts),
    "power_limit_w": ("Power limit", _watts),
    "energy_counter_j": ("Energy counter, since the driver was loaded", lambda value: si(value, "J")),
    "sm_clock_hz": ("SM clock", _hertz),
    "memory_clock_hz": ("Memory clock", _hertz),
    "sm_clock_max_hz": ("Highest SM clock", _hertz),
    "memory_clock_max_hz": ("Highest memory clock", _hertz),
    "temperature_c": ("Temperature", _celsius),
    "temperature_margin_c": ("Margin to the temperature that slows it down", _celsius),
    "gpu_utilisation": ("Utilisation", percent),
    "memory_utilisation": ("Utilisation of memory", percent),
    "memory_used_bytes": ("Memory in use", data_size),
    "slowdowns": ("What holds the clock down", lambda value: listed(value) or "nothing"),
    "power_violation_s": ("Held down by power, since the driver was loaded", lambda value: si(value, "s")),
    "thermal_violation_s": ("Held down by heat, since the driver was loaded", lambda value: si(value, "s")),
    "ecc_enabled": ("ECC", _yes_or_no),
    "ecc_corrected": ("Memory errors corrected", "{:,}".format),
    "ecc_uncorrected": ("Memory errors not corrected", "{:,}".format),
    "mig_enabled": ("Partitioning (MIG)", _yes_or_no),
}


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """One look at a GPU.

    Attributes:
        told: name and value of each field that NVML told.
        untold: names of fields with the reason that they share.
    """

    told: tuple[tuple[str, str], ...]
    untold: tuple[tuple[str, str], ...]

    @property
    def summary(self) -> str:
        """What there is, in a line."""
        fields = count(len(GpuState.model_fields), "NVML field")
        if not self.told and len(self.untold) == 1:
            return f"all {fields}: {self.untold[0][1]}"
        return f"{len(self.told)} of {fields} told"


def gpu_facts(state: GpuState) -> GpuFacts:
    """Every field; those that are absent for one reason together."""
    told: list[tuple[str, str]] = []
    untold: dict[str, list[str]] = {}
    for field in GpuState.model_fields:
        reading: Reading[Any] = getattr(state, field)
        name, show = _FIELDS.get(field, (field, str))
        if reading.absence is not None:
            untold.setdefault(str(reading.absence), []).append(name)
        else:
            told.append((name, show(reading.value)))
    return GpuFacts(tuple(told), tuple((listed(names), why) for why, names in untold.items()))
