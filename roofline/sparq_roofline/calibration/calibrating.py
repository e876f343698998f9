"""Calibrating a device: choosing points of each implementation, and fitting its models to them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.shape import DType
from sparq_roofline.calibration.calibration import (
    CalibratedImplementation,
    Calibration,
    LayoutModel,
    Provenance,
    SeenPoint,
)
from sparq_roofline.calibration.choosing import Choice, choose
from sparq_roofline.calibration.fitting import fit
from sparq_roofline.calibration.model import MINIMUM_POINTS
from sparq_roofline.calibration.points import MeasuredPoint, OwnTraffic, TrafficOf, algorithm_traffic
from sparq_roofline.calibration.predicting import bandwidth_at, predict_calibrated

POINTS = 24


def calibrate(
    points: Sequence[MeasuredPoint],
    hardware: HardwareProfile,
    *,
    n_points: int = POINTS,
    seed: int = 0,
    choice: Choice = "spread",
    own_traffic: OwnTraffic | None = None,
    device: str | None = None,
    source: str = "points given in memory",
    source_sha256: str = "",
    package_version: str = "unknown",
    created: datetime | None = None,
) -> Calibration:
    """Fit the time models of every implementation among some measurements of one device.

    Args:
        points: all that was measured; those with warm caches are left out.
        hardware: the device's ceilings.
        n_points: how many to see of each implementation and layout of K, at most half of what there is, so that
            the other half can check the fit (but six are always seen).
        seed: of the choice.
        choice: ``spread`` over the sizes, or ``random``.
        own_traffic: bytes and FLOPs of implementations whose own steps are known; others are fitted to the
            algorithm's.
        device, source, source_sha256, package_version, created: for the provenance.

    Returns:
        The calibration; implementations with fewer than six points are in its ``skipped``.
    """
    groups: dict[tuple[str, DType], list[MeasuredPoint]] = {}
    for point in points:
        if point.footprint_bytes is None:
            groups.setdefault((point.implementation, point.shape.dtype), []).append(point)
    fitted, skipped = [], {}
    for (implementation, dtype), measured in sorted(groups.items()):
        seen = choose_each(measured, n_points, seed, choice)
        if len(seen) < MINIMUM_POINTS:
            skipped[implementation] = f"{len(measured)} points in {dtype}: at least {MINIMUM_POINTS} are needed"
            continue
        fitted.append(_fit(implementation, dtype, seen, hardware, own_traffic or {}))
    provenance = Provenance(
        device=device or hardware.title,
        created=(created or datetime.now(UTC)).isoformat(timespec="seconds"),
        source=source,
        source_sha256=source_sha256,
        seed=seed,
        points=n_points,
        choice=choice,
        package_version=package_version,
    )
    return Calibration(provenance=provenance, hardware=hardware, implementations=tuple(fitted), skipped=skipped)


def choose_each(points: Sequence[MeasuredPoint], n_points: int, seed: int, choice: Choice) -> list[MeasuredPoint]:
    """Points of one implementation to see: at most ``n_points`` of each layout of K, and half of what there is."""
    seen = []
    layouts = sorted({point.k_layout or "" for point in points})
    for index, layout in enumerate(layouts):
        measured = [point for point in points if (point.k_layout or "") == layout]
        n = min(n_points, max(MINIMUM_POINTS, len(measured) // 2))
        # Another seed for each layout, or both would be seen at the same sizes.
        chosen = choose(measured, n, seed * len(layouts) + index, choice)
        seen += [measured[i] for i in chosen]
    return seen


def _fit(
    implementation: str,
    dtype: DType,
    seen: Sequence[MeasuredPoint],
    hardware: HardwareProfile,
    own_traffic: Mapping[str, TrafficOf],
) -> CalibratedImplementation:
    sector_bytes = int(hardware.sector_bytes.value)
    traffic_of = own_traffic.get(implementation, partial(algorithm_traffic, sector_bytes=sector_bytes))
    found = fit(seen, traffic_of, bandwidth_at(hardware, None), hardware.peak_for(dtype).value)
    points = []
    for index, point in enumerate(seen):
        traffic = traffic_of(point.shape, point.config)
        model = found.models[point.k_layout]
        fitted = predict_calibrated(traffic, point.shape, point.config, hardware, model)
        points.append(
            SeenPoint(
                shape=point.shape,
                config=point.config,
                measured_s=point.time_s,
                fitted_s=fitted.time_s.expected,
                disturbed=index in found.disturbed,
            )
        )
    return CalibratedImplementation(
        implementation=implementation,
        dtype=dtype,
        steps="own" if implementation in own_traffic else "algorithm",
        models=tuple(LayoutModel(k_layout=layout, model=model) for layout, model in found.models.items()),
        points=tuple(points),
    )
