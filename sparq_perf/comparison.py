"""Measured beside predicted: what each SparQ measurement bought over the best dense one, and how far off we were."""

from dataclasses import dataclass
from statistics import median

from sparq_perf.records.schema import Line, Measurement
from sparq_perf.records.store import latest_measurements
from sparq_profiles.suite import Workload
from sparq_roofline.interval import Interval
from sparq_roofline.prediction import speedup_of


@dataclass(frozen=True, slots=True)
class Comparison:
    """One SparQ measurement against the fastest valid dense measurement of the same shape and cache state.

    Attributes:
        speedup: dense time over SparQ time; the interval sets the medians' 95 % ends against each other.
        predicted_speedup: the quotient of the two predictions; None where one has none.
    """

    sparq: Measurement
    dense: Measurement
    speedup: Interval
    predicted_speedup: Interval | None


def workload_of(measurement: Measurement) -> Workload:
    """The workload that a measurement is of."""
    return Workload(measurement.model, measurement.shape, measurement.config, measurement.cache_state)


def measured_time(measurement: Measurement) -> Interval:
    """Median time with its confidence interval, seconds, of a measurement that has samples."""
    assert measurement.median_s is not None
    assert measurement.median_ci_s is not None
    lower, upper = measurement.median_ci_s
    return Interval(lower, measurement.median_s, upper)


def prediction_error(measurement: Measurement) -> float | None:
    """Predicted over measured, less 1: positive where the prediction was too slow; None without both."""
    if measurement.status != "ok" or measurement.prediction is None or not measurement.median_s:
        return None
    return measurement.prediction.time_s.expected / measurement.median_s - 1


def median_absolute_error(measurements: list[Measurement]) -> float | None:
    """Median of the absolute prediction errors of valid measurements, as a fraction; None where there are none."""
    errors = [abs(error) for m in measurements if (error := prediction_error(m)) is not None]
    return median(errors) if errors else None


def compare(lines: list[Line]) -> list[Comparison]:
    """Every valid SparQ measurement that has a valid dense baseline, in the order measured."""
    valid = [m for m in latest_measurements(lines).values() if m.status == "ok"]
    best_dense: dict[Workload, Measurement] = {}
    for candidate in valid:
        if candidate.config is None:
            workload = workload_of(candidate)
            best = best_dense.get(workload)
            if best is None or measured_time(candidate).expected < measured_time(best).expected:
                best_dense[workload] = candidate
    comparisons = []
    for sparq in valid:
        dense = best_dense.get(workload_of(sparq).as_dense)
        if sparq.config is None or dense is None:
            continue
        predicted = None
        if dense.prediction is not None and sparq.prediction is not None:
            predicted = speedup_of(dense.prediction, sparq.prediction)
        comparisons.append(Comparison(sparq, dense, measured_time(dense).over(measured_time(sparq)), predicted))
    return comparisons
