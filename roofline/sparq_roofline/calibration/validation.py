"""How well a calibration foretells measurements that it did not see."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, quantiles

from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.shape import KLayout
from sparq_roofline.calibration.calibration import Calibration
from sparq_roofline.calibration.points import MeasuredPoint, OwnTraffic, algorithm_traffic
from sparq_roofline.calibration.predicting import bandwidth_at


@dataclass(frozen=True, slots=True)
class Errors:
    """Relative errors, predicted over measured less 1, as fractions.

    Attributes:
        median_ape, p90_ape: median and 90th percentile of the absolute errors.
        bias: mean error: above 0 where predictions are too slow.
    """

    median_ape: float
    p90_ape: float
    bias: float

    @classmethod
    def of(cls, errors: Sequence[float]) -> "Errors":
        """Of at least one error."""
        absolute = sorted(map(abs, errors))
        tenths = quantiles(absolute, n=10, method="inclusive") if len(absolute) > 1 else absolute * 9
        return cls(tenths[4], tenths[8], fmean(errors))


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Errors over the points of one implementation that its calibration did not see.

    Attributes:
        n: those points; n_seen: those that it saw.
        errors: of the calibrated model; None where every point was seen.
        coverage_90: share of measured times inside the 90 % interval.
        naive: errors of the algorithm's bytes over the bandwidth.
        n_extrapolated: points outside the sizes that were seen.
        layouts: the same for each layout of K, where there are several.
    """

    n: int
    n_seen: int
    errors: Errors | None
    coverage_90: float | None
    naive: Errors | None
    n_extrapolated: int
    layouts: dict[KLayout, "Accuracy"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Checked:
    layout: str | None
    error: float
    naive_error: float
    inside: bool
    extrapolated: bool


def validate(
    points: Sequence[MeasuredPoint], calibration: Calibration, *, own_traffic: OwnTraffic | None = None
) -> dict[str, Accuracy]:
    """Accuracy of each implementation that the calibration has, over the points it did not see, by name.

    A point was seen where the calibration was fitted to its configuration: another measurement of the same is no
    check. Implementations without a model are left out (`Calibration.skipped`).
    """
    calibrated = {entry.implementation for entry in calibration.implementations}
    seen = {
        (entry.implementation, point.shape, point.config)
        for entry in calibration.implementations
        for point in entry.points
    }
    accuracies = {}
    for implementation in sorted({point.implementation for point in points} & calibrated):
        measured = [point for point in points if point.implementation == implementation]
        unseen = [p for p in measured if (p.implementation, p.shape, p.config) not in seen]
        checked = [_check(point, calibration, own_traffic) for point in unseen]
        n_seen = len(measured) - len(unseen)
        layouts = sorted({point.k_layout for point in measured if point.k_layout})
        parts: dict[KLayout, Accuracy] = {}
        if len(layouts) > 1:
            for layout in layouts:
                here = [one for one in checked if one.layout == layout]
                n_here = sum(point.k_layout == layout for point in measured)
                parts[layout] = _accuracy(here, n_here - len(here), {})
        accuracies[implementation] = _accuracy(checked, n_seen, parts)
    return accuracies


def naive_time_s(
    shape: AttentionShape, config: SparqConfig | None, bandwidth_bytes_per_s: float, sector_bytes: int
) -> float:
    """The algorithm's bytes over the bandwidth: what a calibration has to be better than."""
    traffic = algorithm_traffic(shape, config, sector_bytes=sector_bytes)
    return (traffic.read_bytes + traffic.write_bytes) / bandwidth_bytes_per_s


def _check(point: MeasuredPoint, calibration: Calibration, own_traffic: OwnTraffic | None) -> _Checked:
    hardware = calibration.hardware
    predicted = calibration.predict(
        point.implementation,
        point.shape,
        point.config,
        own_traffic=own_traffic,
        footprint_bytes=point.footprint_bytes,
    )
    bandwidth = bandwidth_at(hardware, point.footprint_bytes)
    naive_s = naive_time_s(point.shape, point.config, bandwidth, int(hardware.sector_bytes.value))
    time = predicted.time_s
    return _Checked(
        layout=point.k_layout,
        error=time.expected / point.time_s - 1,
        naive_error=naive_s / point.time_s - 1,
        inside=time.lower <= point.time_s <= time.upper,
        extrapolated=bool(predicted.extrapolated),
    )


def _accuracy(checked: Sequence[_Checked], n_seen: int, layouts: dict[KLayout, Accuracy]) -> Accuracy:
    if not checked:
        return Accuracy(0, n_seen, None, None, None, 0, layouts)
    return Accuracy(
        n=len(checked),
        n_seen=n_seen,
        errors=Errors.of([one.error for one in checked]),
        coverage_90=fmean(one.inside for one in checked),
        naive=Errors.of([one.naive_error for one in checked]),
        n_extrapolated=sum(one.extrapolated for one in checked),
        layouts=layouts,
    )
