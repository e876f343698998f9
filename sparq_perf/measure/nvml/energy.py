"""Energy of a window of time, twice: by the energy counter, and by integrating power samples."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from sparq_perf.records.reading import Absence, Reading
from sparq_perf.records.telemetry import SeriesName, Telemetry

PowerSeries = Literal["power_instant_w", "power_average_w"]

# A straight line between samples is not trusted with fewer, nor where nobody looked for a third of the window.
FEWEST_SAMPLES = 5
LARGEST_GAP_SHARE = 1 / 3
# NVML calls a GPU busy in whole percent of its sampling period; a desktop wakes it now and then.
IDLE_UTILISATION = 0.05


@dataclass(frozen=True, slots=True)
class EnergyFound:
    """What a GPU used in a window.

    Attributes:
        counter_j: difference of the energy counter, which is up to 0.1 s old when read: a window of some seconds hides
            that.
        integral_j: of sampled power, by trapezoids.
        power_source: the series that was integrated; None where none could be.
        mean_power_w: by the counter, which misses no peak, else by the integral.
        mean_sm_clock_hz: over the window.
        throttled_s: how long each cause held the clock down; each sample stands for the time since the one before.
            Empty also where that was not told: the telemetry's absences say so.
    """

    counter_j: Reading[float]
    integral_j: Reading[float]
    power_source: PowerSeries | None
    mean_power_w: Reading[float]
    mean_sm_clock_hz: Reading[float]
    throttled_s: dict[str, float]


def energy_of(
    before: Reading[float], after: Reading[float], telemetry: Telemetry, elapsed_s: float, start_s: float = 0.0
) -> EnergyFound:
    """Energy of a window.

    Args:
        before: the energy counter when it began, J; after: when it ended.
        telemetry: sampled meanwhile, or for longer.
        elapsed_s: the window's length.
        start_s: when it began, in the telemetry's time.
    """
    end_s = start_s + elapsed_s
    counter_j = _counted(before, after, elapsed_s)
    integral_j, power_source = _integrated_power(telemetry, start_s, end_s)
    best = integral_j if counter_j.value is None else counter_j
    return EnergyFound(
        counter_j,
        integral_j,
        power_source,
        mean_power_w=_per_second(best, elapsed_s),
        mean_sm_clock_hz=_per_second(_integral(telemetry, "sm_clock_hz", start_s, end_s), elapsed_s),
        throttled_s=_throttled(telemetry, start_s, end_s),
    )


def idle_power_w(telemetry: Telemetry) -> Reading[float]:
    """Mean power of a GPU that nobody used while it was sampled, W; absent where somebody did."""
    busy = max((value for value in telemetry.series.get("gpu_utilisation", ()) if value is not None), default=0.0)
    if busy > IDLE_UTILISATION:
        return Reading.missing("failed", f"idle power: the GPU was at work, {busy:.0%} of a sampling period")
    end_s = telemetry.times_s[-1] if telemetry.times_s else 0.0
    integral_j, _ = _integrated_power(telemetry, 0.0, end_s)
    return _per_second(integral_j, end_s)


def _counted(before: Reading[float], after: Reading[float], elapsed_s: float) -> Reading[float]:
    if before.value is None or after.value is None:
        return before if before.value is None else after
    used_j = after.value - before.value
    if used_j < 0:
        change = f"went from {before.value:.3f} J to {after.value:.3f} J"
        return Reading.missing("failed", f"the energy counter {change}: it wrapped, or the driver was loaded anew")
    if used_j == 0:
        return Reading.missing("no_change", f"the energy counter stayed at {after.value:.3f} J for {elapsed_s:.3g} s")
    return Reading.of(used_j)


def _integrated_power(telemetry: Telemetry, start_s: float, end_s: float) -> tuple[Reading[float], PowerSeries | None]:
    """Of instant power, which follows a window of seconds; else of its average, which lags behind by up to 1 s."""
    integral_j = _integral(telemetry, "power_instant_w", start_s, end_s)
    if integral_j.value is not None:
        return integral_j, "power_instant_w"
    integral_j = _integral(telemetry, "power_average_w", start_s, end_s)
    return integral_j, None if integral_j.value is None else "power_average_w"


def _integral(telemetry: Telemetry, name: SeriesName, start_s: float, end_s: float) -> Reading[float]:
    """Of a series over a window, by trapezoids; beyond its first and last sample the series stays level."""
    column = telemetry.series.get(name)
    if column is None:
        return Reading(absence=telemetry.absences[name])
    seen = [(time_s, value) for time_s, value in zip(telemetry.times_s, column, strict=True) if value is not None]
    within = [time_s for time_s, _ in seen if start_s <= time_s <= end_s]
    gap_s = max(later - earlier for earlier, later in pairwise([start_s, *within, end_s]))
    if len(within) < FEWEST_SAMPLES or gap_s > LARGEST_GAP_SHARE * (end_s - start_s):
        return Reading(absence=telemetry.absences.get(name) or _too_few(name, len(within), gap_s, end_s - start_s))
    times_s, values = zip(*seen, strict=True)
    places = [start_s, *(time_s for time_s in within if start_s < time_s < end_s), end_s]
    total = float(np.trapezoid(np.interp(places, times_s, values), places))
    if total <= 0:
        return Reading.missing("failed", f"{name}: every sample is 0")
    return Reading.of(total)


def _too_few(name: str, n_samples: int, gap_s: float, elapsed_s: float) -> Absence:
    detail = f"{name}: {n_samples} samples in {elapsed_s:.3g} s, the widest gap {gap_s:.3g} s"
    return Absence(kind="failed", detail=detail)


def _throttled(telemetry: Telemetry, start_s: float, end_s: float) -> dict[str, float]:
    held_s: dict[str, float] = {}
    for (earlier, later), names in zip(pairwise(telemetry.times_s), telemetry.slowdowns[1:], strict=True):
        overlap_s = min(later, end_s) - max(earlier, start_s)
        if overlap_s > 0:
            for name in names:
                held_s[name] = held_s.get(name, 0.0) + overlap_s
    return held_s


def _per_second(total: Reading[float], elapsed_s: float) -> Reading[float]:
    return Reading.of(total.value / elapsed_s) if total.value is not None else total
