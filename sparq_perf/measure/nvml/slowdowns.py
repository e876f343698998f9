"""What holds a GPU's clock down: NVML's bits for this moment, and its counters for the time in between."""

from collections.abc import Callable, Sequence
from typing import Any

from sparq_perf.measure.nvml.binding import is_final
from sparq_perf.records.reading import Reading

POWER_CAP = "software power cap"
THERMAL = "thermal slowdown"

# Bits of nvmlClocksEventReasons (nvml.h). An idle GPU, clocks that somebody set or that follow other boards or a
# display are no throttling; nor is the reliability limit (voltage), at which boards run when nothing else holds them.
BITS = {
    0x04: POWER_CAP,
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}

# What it means that a counter rose, unless a bit says the same more exactly.
VIOLATIONS = {
    "power_violation_s": (POWER_CAP, frozenset({POWER_CAP})),
    "thermal_violation_s": (THERMAL, frozenset({"software thermal slowdown", "hardware thermal slowdown"})),
}

Read = Callable[[Sequence[str]], dict[str, Reading[Any]]]


def names_of(bits: int) -> tuple[str, ...]:
    """Names of those bits that are throttling."""
    return tuple(name for bit, name in BITS.items() if bits & bit)


class SlowdownWatch:
    """Tells what held the clock down since it was last asked: now, or in between, where a bit is seen by chance only.

    Drivers refresh the counters every 100 ms or so: a rise may be told by the look after the one that it belongs to.

    Args:
        read: gives quantities of a `GpuState` by name.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._asks = ["slowdowns", *VIOLATIONS]
        self._last: dict[str, Reading[Any]] = {}
        self._seen_s: dict[str, float] = {}

    def look(self) -> Reading[tuple[str, ...]]:
        """What held it down; the first look knows of this moment only. Absent where neither bits nor counters tell."""
        self._last.update(self._read(self._asks))
        self._asks = [name for name in self._asks if not is_final(self._last[name])]
        names = list(self._last["slowdowns"].value or ())
        for key, (name, more_exact) in VIOLATIONS.items():
            value_s = self._last[key].value
            if value_s is None:
                continue
            if value_s > self._seen_s.get(key, value_s) and more_exact.isdisjoint(names):
                names.append(name)
            self._seen_s[key] = value_s
        if all(answer.value is None for answer in self._last.values()):
            return Reading(absence=self._last["slowdowns"].absence)
        return Reading.of(tuple(names))
