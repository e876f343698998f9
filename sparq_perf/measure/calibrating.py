"""Fitting each implementation's time model, on shapes and settings that no suite measures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from sparq_kernels import find_implementation
from sparq_perf.measure.ceilings import Flush
from sparq_perf.measure.inputs import build_cache
from sparq_perf.measure.stopping import StoppingRule
from sparq_perf.measure.timing import Contender, Rounds
from sparq_perf.records.schema import CalibrationPoint
from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.shape import DType
from sparq_roofline.calibration import FitPoint, TimeModel, bandwidth_at, fit, predict_calibrated

# (batch, seq_len, n_heads, n_kv_heads, head_dim): small to large, MHA and GQA, two head sizes, so that launch, byte and
# per-score costs can be told apart. Lengths and settings are odd on purpose: suites use round ones.
SHAPES = (
    (1, 700, 24, 6, 128),
    (1, 1_500, 24, 24, 128),
    (1, 3_000, 6, 6, 64),
    (1, 6_000, 24, 24, 128),
    (1, 24_000, 24, 24, 128),
    (2, 3_000, 24, 24, 128),
    (1, 5_000, 24, 6, 128),
    (1, 20_000, 24, 6, 128),
    (3, 10_000, 24, 6, 128),
    (1, 9_000, 12, 12, 64),
    (1, 40_000, 12, 4, 64),
    (1, 50_000, 18, 18, 128),
    (2, 50_000, 24, 6, 128),
)
SETTINGS = ((12, 48), (28, 112), (56, 224))


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A fitted model and the points behind it."""

    model: TimeModel
    points: tuple[CalibrationPoint, ...]


def calibrate(
    implementations: Sequence[str],
    hardware: HardwareProfile,
    flush: Flush,
    dtype: DType,
    *,
    seed: int,
    rule: Callable[[], StoppingRule],
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Calibrated]:
    """Measure every implementation at the calibration points, cold, and fit its time model."""
    dense = [name for name in implementations if not find_implementation(name).sparse]
    sparse = [name for name in implementations if find_implementation(name).sparse]
    measured: dict[str, list[tuple[AttentionShape, SparqConfig | None, float]]] = {n: [] for n in implementations}
    for size in SHAPES:
        shape = AttentionShape(*size, dtype=dtype)
        progress(f"S={shape.seq_len:,} heads {shape.n_heads}/{shape.n_kv_heads} d={shape.head_dim}")
        settings = [SparqConfig(min(rank, shape.head_dim), top_k, top_k // 4) for rank, top_k in SETTINGS]
        contenders = [Contender(name, None) for name in dense]
        contenders += [Contender(name, config) for name in sparse for config in settings]
        rounds = Rounds(build_cache(shape, "two_copies", seed), shape, "cold", flush, seed)
        for contender, timing in zip(contenders, rounds.time(contenders, rule), strict=True):
            point = (shape, contender.config, median(timing.samples_s))
            measured[contender.implementation].append(point)
    return {name: _fit(name, points, hardware) for name, points in measured.items()}


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
