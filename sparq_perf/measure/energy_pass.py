"""Energy of a decode step under NVML, in a loop of some seconds with nothing else attached."""

from collections.abc import Callable, Mapping
from time import sleep
from typing import Any

from sparq_perf.measure.nvml import NvmlGpu
from sparq_perf.measure.nvml.energy import energy_of, idle_power_w
from sparq_perf.measure.nvml.sampler import Sampler
from sparq_perf.measure.observing import Loop, Place, Watched
from sparq_perf.records.reading import Absence, Reading
from sparq_perf.records.schema import Energy, Subject
from sparq_profiles.suite import CacheState

# The energy counter is refreshed every 10 to 100 ms, and power may be an average over a second.
LOOP_S = 2.2
IDLE_S = 1.5
# A GPU that has just worked, or got its context, takes a moment to fall to idle power.
BEFORE_IDLE_S = 1.0


class EnergyObserver:
    """Watches power, energy, clocks and heat while decode calls follow each other back to back.

    Args:
        nvml: the GPU, or why there is none to ask.
        idle: its power before the run.
        l2_bytes: of the GPU; None where it does not tell.
        subtract_idle: the user's wish.
    """

    line: type[Subject] = Energy
    loop = Loop(calls=1, time_s=LOOP_S, replayed=True)
    on_request = True

    def __init__(
        self, nvml: NvmlGpu | Absence, idle: Reading[float], l2_bytes: float | None, subtract_idle: bool
    ) -> None:
        self._nvml, self._idle, self._l2_bytes, self._subtract_idle = nvml, idle, l2_bytes, subtract_idle

    def refusal(self) -> Absence | None:
        """No GPU that NVML knows."""
        return self._nvml if isinstance(self._nvml, Absence) else None

    def absent(self, why: Absence) -> Mapping[str, Any]:
        """Every field absent, for one reason."""
        nothing: Reading[float] = Reading(absence=why)
        return dict.fromkeys(("counter_j", "integral_j", "idle_power_w", "power_w", "sm_clock_hz"), nothing)

    def before(self, place: Place) -> None:
        """Read the counter and start sampling."""
        assert isinstance(self._nvml, NvmlGpu)
        self._place, self._sampler = place, Sampler(self._nvml)
        self._counter = self._nvml.energy_counter_j()
        self._sampler.start()

    def during(self) -> None:
        """Nothing: the sampler has a thread of its own."""

    def after(self, watched: Watched) -> Mapping[str, Any]:
        """Energy of the loop over its calls."""
        assert isinstance(self._nvml, NvmlGpu)
        counter = self._nvml.energy_counter_j()
        telemetry = self._sampler.stop()
        found = energy_of(self._counter, counter, telemetry, watched.elapsed_s or telemetry.times_s[-1])
        subtracted = self._subtract_idle and self._idle.value is not None
        idle_j = self._idle.value * watched.elapsed_s if subtracted and self._idle.value is not None else 0.0
        return {
            "n_calls": watched.n_calls,
            "elapsed_s": watched.elapsed_s,
            "caches": self._caches(),
            "counter_j": _per_call(found.counter_j, idle_j, watched.n_calls),
            "integral_j": _per_call(found.integral_j, idle_j, watched.n_calls),
            "power_source": found.power_source,
            "idle_power_w": self._idle,
            "idle_subtracted": subtracted,
            "power_w": found.mean_power_w,
            "sm_clock_hz": found.mean_sm_clock_hz,
            "throttled_s": found.throttled_s,
            "telemetry": telemetry,
        }

    def _caches(self) -> CacheState | None:
        """What calls back to back find: a KV cache beyond twice the L2 has left it when the next call begins."""
        if self._l2_bytes is None:
            return None
        return "cold" if self._place.group.shape.kv_bytes > 2 * self._l2_bytes else "warm"


def measure_idle(nvml: NvmlGpu | Absence, wait: Callable[[float], None] = sleep) -> Reading[float]:
    """Power of a GPU before anything runs on it, W; some seconds."""
    if isinstance(nvml, Absence):
        return Reading(absence=nvml)
    wait(BEFORE_IDLE_S)
    with Sampler(nvml) as sampler:
        wait(IDLE_S)
    assert sampler.telemetry is not None
    return idle_power_w(sampler.telemetry)


def _per_call(used: Reading[float], idle_j: float, n_calls: int) -> Reading[float]:
    if used.value is None:
        return used
    if used.value <= idle_j:
        return Reading.missing("failed", f"energy of the loop, {used.value:.3f} J, is below idle's, {idle_j:.3f} J")
    return Reading.of((used.value - idle_j) / max(n_calls, 1))
