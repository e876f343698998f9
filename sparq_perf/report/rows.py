"""The table of every configuration: valid, invalid and failed alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sparq_perf.comparison import Comparison, measured_time, prediction_error
from sparq_perf.records.schema import Measurement
from sparq_perf.report.settings import Geometry, other_settings
from sparq_perf.report.throttling import Throttled
from sparq_profiles.suite import CacheState
from sparq_roofline.interval import Interval


@dataclass(frozen=True, slots=True)
class Row:
    """One configuration by one implementation; numbers are SI, None where not measured or not predicted."""

    status: Literal["ok", "invalid", "failed"]
    geometry: Geometry
    cache_state: CacheState
    batch: int
    seq_len: int
    rank: int | None
    top_k: int | None
    other_settings: str
    implementation: str
    measured_s: Interval | None
    predicted_s: Interval | None
    bound: str | None
    evidence: str | None
    error: float | None
    speedup: Interval | None
    predicted_speedup: Interval | None
    baseline: str | None
    n_samples: int
    n_buffers: int
    throttled: Throttled | None
    relative_noise: float | None
    stop_reason: str | None
    max_error: float | None
    error_tolerance: float | None
    reasons: tuple[str, ...]


def build_rows(measurements: list[Measurement], comparisons: Mapping[str, Comparison]) -> tuple[Row, ...]:
    """A row for each measurement, in the order first measured."""
    return tuple(_row(m, comparisons.get(m.key)) for m in measurements)


def _row(m: Measurement, comparison: Comparison | None) -> Row:
    return Row(
        status=m.status,
        geometry=Geometry.of(m.model, m.shape),
        cache_state=m.cache_state,
        batch=m.shape.batch,
        seq_len=m.shape.seq_len,
        rank=m.config.rank if m.config else None,
        top_k=m.config.top_k if m.config else None,
        other_settings=other_settings(m.config) if m.config else "",
        implementation=m.implementation,
        measured_s=measured_time(m) if m.samples_s else None,
        predicted_s=m.prediction.time_s if m.prediction else None,
        bound=m.prediction.bound if m.prediction else None,
        evidence=m.prediction.evidence if m.prediction else None,
        error=prediction_error(m),
        speedup=comparison.speedup if comparison else None,
        predicted_speedup=comparison.predicted_speedup if comparison else None,
        baseline=comparison.dense.implementation if comparison else None,
        n_samples=len(m.samples_s),
        n_buffers=m.n_buffers,
        throttled=Throttled.of(m),
        relative_noise=m.relative_noise,
        stop_reason=m.stop_reason,
        max_error=m.max_error,
        error_tolerance=m.error_tolerance,
        reasons=m.reasons,
    )
