"""The number that one process gives for a configuration and metric, or why it gives none."""

from dataclasses import dataclass
from math import exp, log
from typing import Literal

from sparq_perf.gate.metrics import Metric
from sparq_perf.records.measurement import NOISY
from sparq_perf.records.observed import Dram, Energy
from sparq_perf.records.schema import Measurement

# Longest part of an energy loop in which the clock may have been held down. A small board lives at its power limit.
LARGEST_THROTTLED_SHARE = 0.1
LARGEST_POWER_CAP_SHARE = 0.5
POWER_CAP = "software power cap"

# Whether a number is there; was refused, as noise and throttling are, by this process alone; is wrong, which speaks
# against the code; or was never asked for.
State = Literal["valid", "refused", "wrong", "absent"]


@dataclass(frozen=True, slots=True)
class Value:
    """A number or the reason for its absence.

    Attributes:
        value: in the metric's unit; given where the state is valid.
        why: given where it is not.
        by: what measured it: numbers by different instruments are not compared.
    """

    state: State
    value: float | None = None
    why: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What one process recorded of one configuration."""

    measurement: Measurement | None = None
    energy: Energy | None = None
    dram: Dram | None = None

    def value(self, metric: Metric, *, paired: bool = False) -> Value:
        """The metric's number.

        Args:
            metric: which one.
            paired: pairs of processes show how far medians scatter, whatever each process knew of its own: a median
                that is noisy and nothing worse counts. To leave such out would keep the quiet ones and call them all.
        """
        if self.measurement is not None and (wrong := _wrong(self.measurement)):
            # Said once, of the time; what else was seen of a wrong result is nothing.
            return Value("wrong" if metric == "time" else "absent", why=wrong)
        if metric == "energy":
            return _energy(self.energy)
        if metric == "dram_bytes":
            return _dram_bytes(self.dram)
        if self.measurement is None:
            return Value("absent", why="no time was recorded")
        if metric == "time":
            return _time(self.measurement, paired)
        return _prediction_error(self.measurement, paired)


def _wrong(measurement: Measurement) -> str | None:
    """Why a result must not count, whatever it took: it failed, or differs from the reference."""
    error, allowed = measurement.max_error, measurement.error_tolerance
    if measurement.status == "failed":
        return f"failed: {measurement.reasons[0]}"
    if error is not None and allowed is not None and not error <= allowed:
        return f"wrong: differs from the float64 reference by {error:.2g}, {allowed:.2g} is allowed"
    return None


def _time(measurement: Measurement, paired: bool) -> Value:
    reasons = measurement.reasons
    only_noisy = paired and bool(reasons) and all(reason.startswith(NOISY) for reason in reasons)
    if measurement.status != "ok" and not only_noisy:
        return Value("refused", why="; ".join(reasons))
    return Value("valid", measurement.median_s, by=f"timer {measurement.timer}")


def _prediction_error(measurement: Measurement, paired: bool) -> Value:
    if measurement.prediction is None:
        return Value("absent", why="no prediction was recorded")
    time = _time(measurement, paired)
    if time.value is None:
        return time
    expected_s = measurement.prediction.time_s.expected
    if not expected_s > 0:
        return Value("wrong", why=f"a prediction of {expected_s:g} s")
    return Value("valid", exp(abs(log(expected_s / time.value))), by=time.by)


def _energy(energy: Energy | None) -> Value:
    if energy is None:
        return Value("absent", why="no energy was recorded")
    if energy.energy_j is None:
        return Value("absent", why=str(energy.counter_j.absence))
    for cause, held_s in energy.throttled_s.items():
        share = held_s / energy.elapsed_s if energy.elapsed_s else 1.0
        if share > (LARGEST_POWER_CAP_SHARE if cause == POWER_CAP else LARGEST_THROTTLED_SHARE):
            return Value("refused", why=f"throttled: {cause} held the clock down in {share:.0%} of the loop")
    source = "integral of power" if energy.counter_j.value is None else "energy counter"
    idle = ", less idle power" if energy.idle_subtracted else ""
    return Value("valid", energy.energy_j, by=f"{source}{idle}, caches {energy.caches or 'not known'}")


def _dram_bytes(dram: Dram | None) -> Value:
    if dram is None:
        return Value("absent", why="no DRAM bytes were recorded")
    total = dram.dram.total_bytes
    if total.value is None:
        return Value("absent", why=str(total.absence))
    if not total.value > 0:
        return Value("refused", why="the counters saw no bytes")
    return Value("valid", total.value, by=f"counted by {dram.dram.source}")
