"""One GPU, or a slice of one, under NVML."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sparq_perf.measure.nvml.binding import Library, Refusal, reading
from sparq_perf.measure.nvml.fields import FIELDS, read_fields
from sparq_perf.measure.nvml.quantities import LOOKS
from sparq_perf.measure.nvml.slowdowns import SlowdownWatch
from sparq_perf.records.gpu_state import GpuState
from sparq_perf.records.reading import Reading

# What a slice has of its own. NVML may answer for the rest, but with the whole GPU's: other slices' power is in it.
OF_A_SLICE = frozenset({"memory_used_bytes", "mig_enabled"})
# What a program on a partitioned GPU shares with the other slices, though the GPU itself has it.
SHARED_BY_SLICES = frozenset(
    {
        "power_instant_w",
        "power_average_w",
        "energy_counter_j",
        "sm_clock_hz",
        "memory_clock_hz",
        "gpu_utilisation",
        "memory_utilisation",
        "slowdowns",
        "power_violation_s",
        "thermal_violation_s",
    }
)


class NvmlGpu:
    """One GPU, by its UUID: an index would count devices that CUDA_VISIBLE_DEVICES hides.

    Args:
        library: started.
        handle: of the device, from NVML.

    Attributes:
        uuid: as NVML spells it: ``GPU-…``, or ``MIG-…`` for a slice.
        driver: version of the kernel driver.
        sliced: it is a slice, or a GPU partitioned into slices, whose power, energy and clocks are not its own.

    Raises:
        Refusal: NVML does not tell whether the GPU is partitioned.
    """

    def __init__(self, library: Library, handle: Any, uuid: str, driver: str) -> None:
        self._library, self._handle = library, handle
        self.uuid, self.driver = uuid, driver
        is_slice, mig = uuid.startswith("MIG-"), self._ask("mig_enabled")
        if mig.absence is not None and mig.absence.kind != "not_supported":
            # Not known: power that is read now might be other slices' too.
            raise Refusal(mig.absence.kind, mig.absence.detail)
        partitioned = not is_slice and mig.value is True
        self.sliced = is_slice or partitioned
        everything = frozenset(GpuState.model_fields)
        self._not_its_own = everything - OF_A_SLICE if is_slice else SHARED_BY_SLICES if partitioned else frozenset()
        self._watch = self.watch()

    def state(self) -> GpuState:
        """One look at everything."""
        return GpuState.model_validate(self.read(tuple(GpuState.model_fields)))

    def read(self, names: Sequence[str]) -> dict[str, Reading[Any]]:
        """Quantities of a `GpuState`, by name; fields in one call, each other one in its own."""
        asked = [name for name in names if name not in self._not_its_own]
        found: dict[str, Reading[Any]] = {
            name: Reading.missing("mig", f"{name}: NVML tells the whole GPU's only, and other slices share it")
            for name in self._not_its_own.intersection(names)
        }
        found.update(read_fields(self._library, self._handle, [name for name in asked if name in FIELDS]))
        for name in asked:
            # A field that is not there may have another way, the older one.
            if name not in FIELDS or (found[name].absence is not None and name in LOOKS):
                found[name] = self._ask(name)
        return found

    def energy_counter_j(self) -> Reading[float]:
        """Energy since the driver was loaded, refreshed every 10 to 100 ms."""
        return self.read(("energy_counter_j",))["energy_counter_j"]

    def sm_clock_hz(self) -> float | None:
        """Clock of the multiprocessors now; None where NVML does not tell."""
        clock_hz: float | None = self.read(("sm_clock_hz",))["sm_clock_hz"].value
        return clock_hz

    def slowdowns(self) -> tuple[str, ...]:
        """What held the clock down since this was last asked; empty where NVML does not tell."""
        return self._watch.look().value or ()

    def watch(self) -> SlowdownWatch:
        """Another watch on what holds the clock down, so that two who ask do not hide it from each other."""
        return SlowdownWatch(self.read)

    def _ask(self, name: str) -> Reading[Any]:
        if name == "mig_enabled" and self.uuid.startswith("MIG-"):
            return Reading.of(True)
        return reading(partial(LOOKS[name], self._library, self._handle))
