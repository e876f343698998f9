"""Fitting the time model of one implementation on one device to a few measurements, in all layouts of K together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparq_profiles import AttentionShape, ConfigError, SparqConfig
from sparq_profiles.shape import KLayout
from sparq_roofline.calibration.cost import amounts
from sparq_roofline.calibration.cost_fit import CostFit, Observations
from sparq_roofline.calibration.factors import Factors
from sparq_roofline.calibration.kriging import Kriging
from sparq_roofline.calibration.model import MINIMUM_POINTS, TimeModel
from sparq_roofline.calibration.place import COORDINATES, Place, ranges
from sparq_roofline.calibration.points import MeasuredPoint, TrafficOf
from sparq_roofline.calibration.tabulating import axes_over, configurations_at, nodes_of, rounded, tabulate

Floats = NDArray[np.float64]

# A disturbed point: slower than the others foretell, and all is more probable with a disturbance of about DISTURBANCE
# (in log time) there, where one point in twenty is disturbed. At most one in eight is set aside.
DISTURBANCE = 0.3
DISTURBED_LOG_ODDS = math.log(0.05 / 0.95)
LARGEST_DISTURBED_SHARE = 1 / 8

# Kriging takes its fitted strengths and lengths for certain, and so is too sure of itself: over the published GPU sweep
# intervals had to be 1.1 to 1.6 times as wide. OVERCONFIDENCE_WEIGHT is how many points left out that prior is worth;
# where those are further off than foretold, intervals widen.
OVERCONFIDENCE = 1.5
OVERCONFIDENCE_WEIGHT = 24
FURTHEST_OFF = 4.0


@dataclass(frozen=True, slots=True)
class Fit:
    """What `fit` found.

    Attributes:
        models: by layout of K; None for dense attention.
        disturbed: indices of points that were far slower than the others foretell, and count for little.
    """

    models: dict[KLayout | None, TimeModel]
    disturbed: tuple[int, ...]


def fit(
    points: Sequence[MeasuredPoint], traffic_of: TrafficOf, bandwidth_bytes_per_s: float, peak_flop_per_s: float
) -> Fit:
    """Fit costs and factors to measurements of one implementation, of one element type.

    Layouts of K that the points have are fitted together: host, launches, selection and gathering are the same.

    Args:
        points: what was measured, with caches cold.
        traffic_of: the implementation's bytes and FLOPs.
        bandwidth_bytes_per_s, peak_flop_per_s: the device's ceilings.

    Raises:
        ConfigError: fewer than six points.
    """
    if len(points) < MINIMUM_POINTS:
        raise ConfigError(f"calibration: {len(points)} points: at least {MINIMUM_POINTS} are needed")
    return _Fitting(points, traffic_of, bandwidth_bytes_per_s, peak_flop_per_s).run()


class _Fitting:
    def __init__(
        self,
        points: Sequence[MeasuredPoint],
        traffic_of: TrafficOf,
        bandwidth_bytes_per_s: float,
        peak_flop_per_s: float,
    ) -> None:
        self._points, self._traffic_of = points, traffic_of
        self._byte_s, self._flop_s = 1 / bandwidth_bytes_per_s, 1 / peak_flop_per_s
        self._layouts: list[KLayout | None] = list(dict.fromkeys(point.k_layout for point in points))
        indices = [self._layouts.index(point.k_layout) for point in points]
        self._seen = self._observe([(point.shape, point.config) for point in points], np.array(indices))
        self._log_times = np.log([point.time_s for point in points])
        self._costs = CostFit(self._seen, self._log_times, self._byte_s, peak_flop_per_s)

    def run(self) -> Fit:
        rough = self._costs.rough()
        extra_variance = np.zeros(len(self._points))
        parameters, kriging = self._refine(rough, extra_variance)
        disturbed: list[int] = []
        while len(disturbed) < max(1, int(len(self._points) * LARGEST_DISTURBED_SHARE)):
            suspect = _slowest(kriging, disturbed)
            without = extra_variance.copy()
            without[suspect] = DISTURBANCE**2
            found = self._refine(rough, without)
            if kriging.left_out[suspect] <= 0 or found[1].surprise - DISTURBED_LOG_ODDS > kriging.surprise:
                break
            disturbed.append(suspect)
            extra_variance, (parameters, kriging) = without, found
        return Fit(self._models(parameters, kriging, disturbed), tuple(sorted(disturbed)))

    def _refine(self, parameters: Floats, extra_variance: Floats) -> tuple[Floats, Kriging]:
        """Factors for the rough costs, costs given the covariance of those factors, and factors again."""
        first = self._krige(parameters, extra_variance, None)
        parameters = self._costs.refined(parameters, first.covariance)
        return parameters, self._krige(parameters, extra_variance, first.hyperparameters)

    def _krige(self, parameters: Floats, extra_variance: Floats, start: Floats | None) -> Kriging:
        found = self._costs.function.evaluate(parameters, self._costs.expanded)
        residuals = self._log_times - found.log_time
        return Kriging(self._seen, found, residuals, extra_variance, self._costs.deviations, start)

    def _models(
        self, parameters: Floats, kriging: Kriging, disturbed: Sequence[int]
    ) -> dict[KLayout | None, TimeModel]:
        axes = axes_over(self._seen)
        nodes = nodes_of("spread", axes)
        scale = _overconfidence(kriging, disturbed)
        models = {}
        for index, tables in enumerate(tabulate(kriging, axes, self._layouts)):
            here = [p for p, layout in zip(self._points, self._seen.layouts, strict=True) if layout == index]
            there = self._observe(configurations_at(nodes, here), np.full(len(nodes), index))
            there.places[:] = nodes  # not the whole numbers nearby, where factors are not tabulated
            evaluated = self._costs.function.evaluate(parameters, self._costs.function.expand(there))
            models[self._layouts[index]] = TimeModel(
                **self._costs.function.costs(parameters, index),
                left_out_error=float(np.quantile(np.abs(np.expm1(kriging.left_out)), 0.9)),
                n_points=len(self._points),
                ranges=ranges(Place.of(point.shape, point.config) for point in here),
                factors=Factors(axes, **tables, spread=rounded(scale * kriging.deviation(there, evaluated))),
            )
        return models

    def _observe(
        self, configurations: Sequence[tuple[AttentionShape, SparqConfig | None]], layouts: NDArray[np.int64]
    ) -> Observations:
        columns, places = [], []
        for shape, config in configurations:
            asked = amounts(self._traffic_of(shape, config).steps, shape.seq_len)
            seconds = asked._replace(
                stream_bytes=asked.stream_bytes * self._byte_s,
                gather_bytes=asked.gather_bytes * self._byte_s,
                flops=asked.flops * self._flop_s,
            )
            columns.append(seconds)
            places.append(Place.of(shape, config)[: len(COORDINATES)])
        return Observations(np.array(columns, dtype=np.float64), np.log2(places), layouts)


def _overconfidence(kriging: Kriging, disturbed: Sequence[int]) -> float:
    """By how much to widen what kriging foretells, from points left out in turn and what is usual."""
    trusted = np.setdiff1d(np.arange(len(kriging.left_out)), disturbed)
    off = np.minimum(np.abs(kriging.left_out / kriging.left_out_deviation)[trusted], FURTHEST_OFF)
    weight = OVERCONFIDENCE_WEIGHT
    return OVERCONFIDENCE * math.sqrt((float(off @ off) + weight) / (len(trusted) + weight))


def _slowest(kriging: Kriging, known: Sequence[int]) -> int:
    """Index of the point that is furthest above what the others foretell: other work makes nothing faster."""
    off = kriging.left_out / kriging.left_out_deviation
    off[list(known)] = -np.inf
    return int(np.argmax(off))
