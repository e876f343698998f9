"""A time model of one implementation on one device, fitted to a few measurements.

The roofline says what a device allows; an implementation reaches a share of it. Over the implementation's own steps
(its ``traffic.py``):

    time = launches · launch_s
         + streamed bytes / bandwidth · stream_slowdown
         + gathered bytes / bandwidth · gather_slowdown
         + elements · element_s
         + FLOPs / peak · compute_share
         + pieces · piece_s

`bandwidth` is the device's measured read bandwidth: from DRAM where caches are cold, at the footprint of the data
where they are warm. Slowdowns are at least 1 (nothing beats the ceiling) and costs at least 0. The compute share is
what arithmetic adds to the memory time that hides the rest of it. The fit is a bounded, robust least squares on
relative errors: a 20 µs step counts as much as a 100 ms one, and a disturbed point less than others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sparq_profiles import ConfigError
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.shape import DType
from sparq_roofline.interval import Bound, Interval
from sparq_roofline.prediction import BOUNDS, Ceilings, StepTime, TimePrediction
from sparq_roofline.steps import StepTraffic, Traffic


@dataclass(frozen=True, slots=True)
class TimeModel:
    """Fitted parameters.

    Attributes:
        launch_s: fixed cost of one launch.
        stream_slowdown, gather_slowdown: time over the ceiling's time, at least 1.
        element_s: cost of one score through softmax and selection.
        piece_s: cost of starting one piece's memory streams.
        compute_share: time of the arithmetic that memory time does not hide, over its time at the peak.
        relative_residual: 90th percentile of |fitted / measured − 1| over the points.
        n_points: measurements fitted to.
    """

    launch_s: float
    stream_slowdown: float
    gather_slowdown: float
    element_s: float
    compute_share: float
    piece_s: float
    relative_residual: float
    n_points: int

    def step_terms(
        self, step: StepTraffic, bandwidth_bytes_per_s: float, peak_flop_per_s: float
    ) -> tuple[float, float, float]:
        """Expected memory, compute and latency time of one step, seconds."""
        slowdown = self.gather_slowdown if step.access == "gather" else self.stream_slowdown
        return (
            step.moved_bytes / bandwidth_bytes_per_s * slowdown,
            step.elements * self.element_s + step.flops / peak_flop_per_s * self.compute_share,
            step.launches * self.launch_s + step.pieces * self.piece_s,
        )


@dataclass(frozen=True, slots=True)
class FitPoint:
    """One measurement to fit to: an implementation's traffic, the ceilings it could have had, and its time."""

    traffic: Traffic
    bandwidth_bytes_per_s: float
    peak_flop_per_s: float
    time_s: float


# Widths of the interval are at least this share: medians on a shared machine move by as much between runs.
MINIMUM_RELATIVE_WIDTH = 0.05


def bandwidth_at(hardware: HardwareProfile, footprint_bytes: float | None) -> float:
    """Read bandwidth for data of one size, bytes/s; None asks for DRAM's.

    Interpolates the measured curve in log size; below and above it, its ends hold.
    """
    curve = hardware.bandwidth_by_footprint
    if footprint_bytes is None or not curve:
        return hardware.memory_bandwidth_bytes_per_s.value
    if footprint_bytes <= curve[0].footprint_bytes:
        return curve[0].read_bandwidth_bytes_per_s
    for below, above in pairwise(curve):
        if footprint_bytes <= above.footprint_bytes:
            low, high = math.log(below.footprint_bytes), math.log(above.footprint_bytes)
            share = (math.log(footprint_bytes) - low) / (high - low)
            return below.read_bandwidth_bytes_per_s * (1 - share) + above.read_bandwidth_bytes_per_s * share
    return curve[-1].read_bandwidth_bytes_per_s


def fit(points: Sequence[FitPoint]) -> TimeModel:
    """Bounded, robust least squares on relative errors; see the module's text for the model.

    Raises:
        ConfigError: fewer points than parameters, which could not tell them apart.
    """
    if len(points) < len(LEAST):
        raise ConfigError(f"calibration: {len(points)} points: at least {len(LEAST)} are needed")
    import numpy as np
    from scipy.optimize import lsq_linear

    features = np.array([_features(point) for point in points])
    times = np.array([point.time_s for point in points])
    least = np.array(list(LEAST.values()))
    # Columns differ by nine orders of magnitude; the solver's tolerance is absolute. A cost that no point bears
    # stays at its least.
    borne = features.any(axis=0)
    scale = features[:, borne].max(axis=0)
    rows = features[:, borne] / scale / times[:, None]
    parameters = least.copy()
    weights = residuals = np.ones(len(points))
    for _ in range(ROUNDS):
        solution = lsq_linear(rows * weights[:, None], weights, bounds=(least[borne] * scale, np.inf))
        parameters[borne] = np.maximum(solution.x / scale, least[borne])
        residuals = np.abs(features @ parameters / times - 1)
        weights = np.sqrt(HUBER_THRESHOLD / np.maximum(residuals, HUBER_THRESHOLD))
    return TimeModel(
        **dict(zip(LEAST, parameters.tolist(), strict=True)),
        relative_residual=float(np.quantile(residuals, 0.9)),
        n_points=len(points),
    )


# Huber weights: a point disturbed by other work on the machine must not bend the fit, so a residual beyond this counts
# by its sign only.
HUBER_THRESHOLD = 0.05
ROUNDS = 10

# The fitted parameters and the least each can be, in the order of `_features`.
LEAST = {
    "launch_s": 0.0,
    "stream_slowdown": 1.0,
    "gather_slowdown": 1.0,
    "element_s": 0.0,
    "compute_share": 0.0,
    "piece_s": 0.0,
}


def _features(point: FitPoint) -> tuple[float, ...]:
    steps = point.traffic.steps
    bandwidth = point.bandwidth_bytes_per_s
    return (
        sum(step.launches for step in steps),
        sum(step.moved_bytes / bandwidth for step in steps if step.access == "stream"),
        sum(step.moved_bytes / bandwidth for step in steps if step.access == "gather"),
        sum(step.elements for step in steps),
        sum(step.flops / point.peak_flop_per_s for step in steps),
        sum(step.pieces for step in steps),
    )


def predict_calibrated(
    traffic: Traffic,
    hardware: HardwareProfile,
    model: TimeModel,
    dtype: DType,
    *,
    footprint_bytes: float | None = None,
) -> TimePrediction:
    """Time of an implementation's steps by its fitted model, never below the roofline.

    Args:
        traffic: the implementation's own traffic.
        hardware: the device, with measured ceilings.
        model: fitted to this implementation on this device.
        dtype: element type, for the compute ceiling.
        footprint_bytes: size of the data read over and over where caches are warm; None where they are cold.
    """
    bandwidth = bandwidth_at(hardware, footprint_bytes)
    peak = Ceilings.of(hardware, dtype).peak_flop_per_s
    compute_s = traffic.flops / peak
    roofline_s = max((traffic.read_bytes + traffic.write_bytes) / bandwidth, compute_s)
    terms = [dict(zip(BOUNDS, model.step_terms(step, bandwidth, peak), strict=True)) for step in traffic.steps]
    shares = {name: sum(term[name] for term in terms) for name in BOUNDS}
    modelled_s = sum(shares.values())
    expected_s = max(modelled_s, roofline_s)
    # Below the roofline only where arithmetic that the fit saw hidden is now the ceiling: the steps stretch with it.
    stretch = expected_s / modelled_s
    steps = tuple(
        StepTime(
            step.name,
            sum(term.values()) * stretch,
            step.read_bytes,
            step.write_bytes,
            step.flops,
            max(BOUNDS, key=term.__getitem__),
        )
        for step, term in zip(traffic.steps, terms, strict=True)
    )
    bound: Bound = "compute" if compute_s > modelled_s else max(BOUNDS, key=shares.__getitem__)
    width = max(2 * model.relative_residual, MINIMUM_RELATIVE_WIDTH)
    return TimePrediction(
        traffic.read_bytes,
        traffic.write_bytes,
        traffic.flops,
        Interval(max(roofline_s, expected_s * (1 - width)), expected_s, expected_s * (1 + width)),
        bound,
        "calibrated",
        steps,
    )
