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
from sparq_profiles.shape import DType
from sparq_roofline.calibration import LEAST, FitPoint, TimeModel, bandwidth_at, fit, predict_calibrated


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

    One that takes fewer points than a model has parameters has none: it is predicted from the ceilings.
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
    return {name: _fit(name, points, hardware) for name, points in measured.items() if len(points) >= len(LEAST)}


def _medians(
    machine: Machine, shape: AttentionShape, contenders: list[Contender], seed: int
) -> list[tuple[Contender, float]]:
    """Median time of each contender that takes the shape.

    A function of its own, so that cache and contenders are gone when it returns.
    """
    cache = build_cache(shape, "two_copies", seed, machine.device)
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
    traffic = find_implementation(implementation).traffic
    bandwidth = bandwidth_at(hardware, None)
    model = fit(
        [
            FitPoint(traffic(shape, config), bandwidth, hardware.peak_for(shape.dtype).value, seconds)
            for shape, config, seconds in measured
        ]
    )
    points = tuple(
        CalibrationPoint(
            shape=shape,
            config=config,
            measured_s=seconds,
            fitted_s=predict_calibrated(traffic(shape, config), hardware, model, shape.dtype).time_s.expected,
        )
        for shape, config, seconds in measured
    )
    return Calibrated(model, points)
