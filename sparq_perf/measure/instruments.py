"""What can be asked for evidence here: each instrument, or the reason why not."""

from collections.abc import Sequence

from sparq_perf.measure.dram import cpu_rungs
from sparq_perf.measure.nvml import NvmlGpu
from sparq_perf.measure.nvml.binding import Library, Refusal
from sparq_perf.measure.nvml.opening import count_devices, driver_version
from sparq_perf.records.dram import Rung
from sparq_perf.records.reading import Absence
from sparq_perf.records.schema import Instrument


def ask_instruments() -> tuple[Instrument, ...]:
    """Ask every instrument of a run on the CPU once."""
    return (
        ask_nvml(),
        Instrument(name="torch.profiler", available=True, detail="time per step, in a pass of its own"),
        dram_instrument(cpu_rungs()),
    )


def ask_nvml() -> Instrument:
    """Whether NVML answers and sees a GPU; why not, where it does not: each reason asks for another mend."""
    try:
        library = Library()
    except Refusal as refusal:
        return nvml_instrument(refusal.absence)
    try:
        count, driver = count_devices(library), driver_version(library)
    except Refusal as refusal:
        return nvml_instrument(refusal.absence)
    finally:
        library.shut_down()
    return Instrument(name="nvml", available=True, detail=f"driver {driver}, {count} device(s)")


def nvml_instrument(nvml: NvmlGpu | Absence) -> Instrument:
    """NVML of the GPU that is measured, or why there is none."""
    if isinstance(nvml, Absence):
        return Instrument(name="nvml", available=False, reason=str(nvml))
    detail = f"driver {nvml.driver}, {nvml.uuid}"
    if nvml.sliced:
        detail += ": partitioned (MIG), its power, energy and clocks are not told"
    return Instrument(name="nvml", available=True, detail=detail)


def dram_instrument(rungs: Sequence[Rung]) -> Instrument:
    """The ways of counting DRAM bytes that would be tried, in order; or why none would."""
    untried = [(rung.name, rung.absence) for rung in rungs if rung.absence is not None]
    ready = [f"{rung.name} ({rung.detail})" if rung.detail else rung.name for rung in rungs if rung.absence is None]
    if ready:
        return Instrument(name="dram_counters", available=True, detail=", then ".join(ready))
    reasons = [str(absence) for _, absence in untried]
    if len(set(reasons)) > 1:
        reasons = [f"{name}: {absence}" for name, absence in untried]
    return Instrument(name="dram_counters", available=False, reason="; ".join(dict.fromkeys(reasons)))
