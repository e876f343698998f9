"""How well the prediction held: predicted beside measured time of every configuration that has both."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from sparq_perf.comparison import measured_time, prediction_error
from sparq_perf.records.schema import Measurement
from sparq_perf.report.settings import where
from sparq_perf.report.wording import count, percent
from sparq_profiles.shape import SparqConfig
from sparq_roofline.interval import Interval

# The band drawn around equality, and the share of points inside it that the page quotes: the median error
# that a prediction for a calibrated device is held to.
BAND = 0.15


@dataclass(frozen=True, slots=True)
class ParityPoint:
    """One configuration's times; ``error`` is predicted over measured less 1, None for an invalid one."""

    name: str
    implementation: str
    measured: Interval
    predicted: Interval
    error: float | None


@dataclass(frozen=True, slots=True)
class ImplementationAccuracy:
    """Prediction errors of one implementation; ``worst_error`` keeps its sign."""

    implementation: str
    n: int
    median_error: float
    bias: float
    worst_error: float


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Absolute prediction errors of valid measurements, as fractions; None where nothing can be judged.

    Attributes:
        worst: the point with the largest absolute error.
        absent: why there is nothing to show, where there is no point at all.
    """

    n_valid: int
    n_invalid: int
    n_failed: int
    n_compared: int
    n_inside_band: int
    median_error: float | None
    bias: float | None
    worst: ParityPoint | None
    points: tuple[ParityPoint, ...]
    by_implementation: tuple[ImplementationAccuracy, ...]
    absent: str | None

    @property
    def sentence(self) -> str:
        """The verdict on the prediction, in words."""
        if self.median_error is None or self.worst is None or self.worst.error is None or self.bias is None:
            return self.absent or "No valid measurement carries a prediction, so the prediction cannot be judged."
        lean = "too long" if self.bias > 0 else "too short"
        return (
            f"Across {count(self.n_compared, 'valid measurement')} with a prediction, the median absolute "
            f"error is {percent(self.median_error)} of the measured time; {self.n_inside_band} lie within "
            f"±{BAND:.0%}. Predicted times are {percent(abs(self.bias))} {lean} at the median. The worst is "
            f"{percent(self.worst.error, signed=True)}: {self.worst.name}."
        )


def build_accuracy(measurements: list[Measurement], names: Mapping[SparqConfig | None, str]) -> Accuracy:
    """Judge the predictions of a run; invalid measurements are shown but not counted."""
    points = []
    for m in measurements:
        if m.prediction is not None and m.median_s is not None:
            points.append(
                ParityPoint(
                    where(m, names),
                    m.implementation,
                    measured_time(m),
                    m.prediction.time_s,
                    prediction_error(m),
                )
            )
    judged = [(point.error, point) for point in points if point.error is not None]
    errors = [error for error, _ in judged]
    status = [m.status for m in measurements]
    return Accuracy(
        n_valid=status.count("ok"),
        n_invalid=status.count("invalid"),
        n_failed=status.count("failed"),
        n_compared=len(errors),
        n_inside_band=sum(abs(error) <= BAND for error in errors),
        median_error=median(map(abs, errors)) if errors else None,
        bias=median(errors) if errors else None,
        worst=max(judged, key=lambda pair: abs(pair[0]))[1] if judged else None,
        points=tuple(points),
        by_implementation=_by_implementation(judged),
        absent=None if points else _why_none(measurements),
    )


def _by_implementation(judged: list[tuple[float, ParityPoint]]) -> tuple[ImplementationAccuracy, ...]:
    errors: dict[str, list[float]] = {}
    for error, point in judged:
        errors.setdefault(point.implementation, []).append(error)
    return tuple(
        ImplementationAccuracy(name, len(own), median(map(abs, own)), median(own), max(own, key=abs))
        for name, own in errors.items()
    )


def _why_none(measurements: list[Measurement]) -> str:
    if not measurements:
        return "No measurement was recorded, so no prediction can be checked."
    if all(m.status == "failed" for m in measurements):
        return "Every measurement failed, so there is no time to set beside a prediction."
    return "The measurements carry no prediction, so there is nothing to set beside the measured times."
