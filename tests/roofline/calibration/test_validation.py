from dataclasses import replace

import pytest

from sparq_profiles import AttentionShape, HardwareProfile, SparqConfig
from sparq_roofline.calibration import Calibration, Errors, MeasuredPoint, calibrate, validate
from sparq_roofline.calibration.validation import naive_time_s

from .conftest import Points

SHAPE = AttentionShape(2, 100, 4, 2, 8)


def test_errors_by_hand() -> None:
    found = Errors.of([-0.1, 0.2, 0.0, 0.4, -0.3])
    # Sorted: 0, 0.1, 0.2, 0.3, 0.4; the 90th percentile lies 0.6 of the way from the fourth to the fifth.
    assert (found.median_ape, found.p90_ape, found.bias) == pytest.approx((0.2, 0.36, 0.04))
    assert Errors.of([-0.5]) == Errors(0.5, 0.5, -0.5)


def test_the_naive_time_by_hand() -> None:
    # Per KV head 2 · 100 · 8 · 2 bytes of K and V, and 2 queries and outputs of 16 bytes; 4 KV heads.
    assert naive_time_s(SHAPE, None, 1e3, 32) == pytest.approx(4 * (3200 + 2 * 2 * 16) / 1e3)
    # Scores: 100 · 3 · 2 and the queries; 10 keys and values of 16 bytes, outputs; the mean, read and written.
    sparq = 4 * (600 + 32 + 2 * 10 * 16 + 32 + 2 * 32)
    assert naive_time_s(SHAPE, SparqConfig(3, 10), 1e3, 32) == pytest.approx(sparq / 1e3)


@pytest.fixture(scope="module")
def measured(points: Points) -> list[MeasuredPoint]:
    return [*points(("two_copies", "row_major")), *points((None,), implementation="dense-made-up")]


@pytest.fixture(scope="module")
def calibration(measured: list[MeasuredPoint], gpu: HardwareProfile) -> Calibration:
    return calibrate(measured, gpu)


def test_only_what_was_not_seen(measured: list[MeasuredPoint], calibration: Calibration) -> None:
    found = validate(measured, calibration)
    assert list(found) == ["dense-made-up", "sparq-made-up"]
    sparq, dense = found["sparq-made-up"], found["dense-made-up"]
    assert (sparq.n, sparq.n_seen) == (256 - 48, 48)
    assert (dense.n, dense.n_seen, dense.layouts) == (8, 8, {})
    assert {layout: (part.n, part.n_seen) for layout, part in sparq.layouts.items()} == {
        "two_copies": (104, 24),
        "row_major": (104, 24),
    }
    assert sparq.errors is not None
    assert sparq.naive is not None
    assert sparq.errors.median_ape < 0.02
    assert sparq.naive.median_ape > 0.3
    assert sparq.naive.bias < -0.3  # bytes over bandwidth is too fast


def test_errors_are_of_predictions(measured: list[MeasuredPoint], calibration: Calibration) -> None:
    # Twice as slow as foretold, half of them: errors of a half and of what they were.
    entry = calibration.find("sparq-made-up")
    seen = {(point.shape, point.config) for point in entry.points}
    unseen = [p for p in measured if p.config and (p.shape, p.config) not in seen][:20]
    exact = [
        replace(p, time_s=calibration.predict(p.implementation, p.shape, p.config).time_s.expected) for p in unseen
    ]
    slow = [replace(p, time_s=2 * p.time_s) if i % 2 else p for i, p in enumerate(exact)]
    found = validate(slow, calibration)["sparq-made-up"]
    assert found.n == 20
    assert found.errors is not None
    assert found.errors.bias == pytest.approx(-0.25)
    assert (found.errors.median_ape, found.errors.p90_ape) == pytest.approx((0.25, 0.5))
    assert found.coverage_90 == 0.5
    assert found.n_extrapolated == 0


def test_measured_again_is_no_check(calibration: Calibration) -> None:
    point = calibration.find("sparq-made-up").points[0]
    again = MeasuredPoint("sparq-made-up", point.shape, point.config, 5 * point.measured_s)
    found = validate([again], calibration)["sparq-made-up"]
    assert (found.n, found.n_seen, found.errors, found.coverage_90, found.naive) == (0, 1, None, None, None)


def test_what_has_no_model_is_left_out(measured: list[MeasuredPoint], calibration: Calibration) -> None:
    others = [replace(point, implementation="sparq-unheard-of") for point in measured[:5]]
    assert validate(others, calibration) == {}


def test_extrapolated_points_are_counted(measured: list[MeasuredPoint], calibration: Calibration) -> None:
    long = replace(measured[0], shape=replace(measured[0].shape, seq_len=10**6))
    found = validate([*measured[:10], long], calibration)["sparq-made-up"]
    assert found.n_extrapolated == 1
