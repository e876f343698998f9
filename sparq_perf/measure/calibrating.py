"""Fitting each implementation's time model, on shapes and settings that no suite measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from torch import Tensor

from sparq_kernels import KVCache, decode, find_implementation
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.inputs import Queries, build_cache
from sparq_perf.measure.machine import Machine
from sparq_perf.measure.progress import Tell
from sparq_perf.measure.timing import Rounds
from sparq_perf.records.schema import CalibrationPoint
from sparq_profiles import AttentionShape, ConfigError, SparqConfig
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.shape import DType, KLayout
from sparq_roofline.calibration import (
    MINIMUM_POINTS,
    MeasuredPoint,
    TimeModel,
    bandwidth_at,
    fit,
    predict_calibrated,
)

# The one layout of K that calibration measures; predictions for the others say so.
CALIBRATED_LAYOUT: KLayout = "two_copies"


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A fitted model and the points behind it."""

    model: TimeModel
    points: tuple[CalibrationPoint, ...]


def calibrate(
    machine: Machine,
    implementations: Sequence[str],
    hardware: HardwareProfile,
    dtype: DType,
    *,
    seed: int,
    progress: Tell = lambda _: None,
) -> dict[str, Calibrated]:
    """Measure every implementation at the machine's calibration points, cold, and fit its time model.

    One that takes fewer points than a fit needs has no model: it is predicted from the ceilings.
    """
    dense = [name for name in implementations if not find_implementation(name).sparse]
    sparse = [name for name in implementations if find_implementation(name).sparse]
    measured: dict[str, list[tuple[AttentionShape, SparqConfig | None, float]]] = {n: [] for n in implementations}
    for size in machine.calibration.shapes:
        shape = AttentionShape(*size, dtype=dtype)
        progress(f"S={shape.seq_len:,} heads {shape.n_heads}/{shape.n_kv_heads} d={shape.head_dim}")
        settings = [SparqConfig(min(r, shape.head_dim), top_k, top_k // 4) for r, top_k in machine.calibration.settings]
        contenders = [Contender(name, None) for name in dense]
        contenders += [Contender(name, config) for name in sparse for config in settings]
        for contender, seconds in _medians(machine, shape, contenders, seed):
            measured[contender.implementation].append((shape, contender.config, seconds))
        machine.release()
    return {name: _fit(name, points, hardware) for name, points in measured.items() if len(points) >= MINIMUM_POINTS}


def _medians(
    machine: Machine, shape: AttentionShape, contenders: list[Contender], seed: int
) -> list[tuple[Contender, float]]:
    """Median time of each contender that takes the shape.

    A function of its own, so that cache and contenders are gone when it returns.
    """
    cache = build_cache(shape, CALIBRATED_LAYOUT, seed, machine.device)
    try:
        timings = Rounds(machine, cache, shape, "cold", seed).time(contenders, machine.pace.calibration_rule)
    except ConfigError:
        # A backend may take the suite's shapes and refuse this one: it does without this point.
        query = Queries(shape, seed, machine.device).draw()
        contenders = [contender for contender in contenders if _takes(contender, cache, query)]
        timings = Rounds(machine, cache, shape, "cold", seed).time(contenders, machine.pace.calibration_rule)
    return [(contender, median(timing.samples_s)) for contender, timing in zip(contenders, timings, strict=True)]


def _takes(contender: Contender, cache: KVCache, query: Tensor) -> bool:
    try:
        decode(query, cache, contender.config, contender.implementation)
    except ConfigError:
        return False
    return True


def _fit(
    implementation: str,
    measured: list[tuple[AttentionShape, SparqConfig | None, float]],
    hardware: HardwareProfile,
) -> Calibrated:
    traffic_of = find_implementation(implementation).traffic
    points = [MeasuredPoint(implementation, shape, config, seconds) for shape, config, seconds in measured]
    peak = hardware.peak_for(points[0].shape.dtype).value
    found = fit(points, traffic_of, bandwidth_at(hardware, None), peak)
    (model,) = found.models.values()  # all were measured in one layout of K
    recorded = []
    for index, point in enumerate(points):
        shape, config = point.shape, point.config
        fitted = predict_calibrated(traffic_of(shape, config), shape, config, hardware, model)
        recorded.append(
            CalibrationPoint(
                shape=shape,
                config=config,
                measured_s=point.time_s,
                fitted_s=fitted.time_s.expected,
                disturbed=index in found.disturbed,
            )
        )
    return Calibrated(model, tuple(recorded))
