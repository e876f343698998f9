from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest

from sparq_profiles import AttentionShape, ConfigError, HardwareProfile, SparqConfig
from sparq_roofline import StepTraffic, Traffic, dense_traffic, sparq_traffic
from sparq_roofline.calibration import (
    LEAST,
    MINIMUM_RELATIVE_WIDTH,
    FitPoint,
    TimeModel,
    bandwidth_at,
    fit,
    predict_calibrated,
)

Device = Callable[..., HardwareProfile]
BANDWIDTH, PEAK = 2e10, 1e11
TRUTH = TimeModel(
    launch_s=5e-6,
    stream_slowdown=1.3,
    gather_slowdown=2.2,
    element_s=4e-10,
    compute_share=0.25,
    piece_s=3e-7,
    relative_residual=0.0,
    n_points=0,
)


def traffics() -> list[Traffic]:
    """Configurations different enough to tell six parameters apart."""
    return [
        sparq_traffic(
            AttentionShape(batch, seq_len, 4 * group, 4, head_dim, "float32"),
            SparqConfig(rank=rank, top_k=top_k),
        )
        for batch, group in ((1, 1), (1, 8), (8, 2), (64, 1))
        for seq_len, head_dim, rank, top_k in (
            (64, 64, 4, 1), (64, 256, 1, 32), (1024, 128, 16, 64), (8192, 64, 32, 2048), (32768, 128, 2, 16),
            (65536, 64, 64, 4096),
        )
    ]  # fmt: skip


def true_time(traffic: Traffic, model: TimeModel = TRUTH) -> float:
    total = 0.0
    for step in traffic.steps:
        slowdown = model.gather_slowdown if step.access == "gather" else model.stream_slowdown
        total += (step.read_bytes + step.write_bytes) / BANDWIDTH * slowdown
        total += step.elements * model.element_s + step.flops / PEAK * model.compute_share
        total += step.launches * model.launch_s + step.pieces * model.piece_s
    return total


def points(factor: Callable[[int], float] = lambda row: 1.0, model: TimeModel = TRUTH) -> list[FitPoint]:
    return [
        FitPoint(traffic, BANDWIDTH, PEAK, true_time(traffic, model) * factor(row))
        for row, traffic in enumerate(traffics())
    ]


def test_step_terms_by_hand() -> None:
    model = TimeModel(10.0, 2.0, 3.0, 0.5, 0.25, 7.0, 0.0, 6)
    step = StepTraffic("a", read_bytes=60, write_bytes=40, flops=80, elements=6, launches=2, pieces=3)
    # memory 100 / 50 * slowdown; compute 6 * 0.5 + 80 / 10 * 0.25; latency 2 * 10 + 3 * 7
    assert model.step_terms(step, 50.0, 10.0) == (4.0, 5.0, 41.0)
    assert model.step_terms(replace(step, access="gather"), 50.0, 10.0) == (6.0, 5.0, 41.0)


def test_fit_recovers_the_parameters_that_made_the_points() -> None:
    model = fit(points())
    for name in LEAST:
        assert getattr(model, name) == pytest.approx(getattr(TRUTH, name), rel=1e-5), name
    assert model.relative_residual < 1e-7
    assert model.n_points == 24


def test_fit_through_noise() -> None:
    noise = np.random.default_rng(0).normal(1.0, 0.03, 24)
    model = fit(points(lambda row: float(noise[row])))
    assert model.stream_slowdown == pytest.approx(1.3, rel=0.1)
    assert model.gather_slowdown == pytest.approx(2.2, rel=0.1)
    assert 0.01 < model.relative_residual < 0.08
    for traffic in traffics():
        assert true_time(traffic, model) == pytest.approx(true_time(traffic), rel=0.05)


def test_one_disturbed_point_does_not_bend_the_fit() -> None:
    model = fit(points(lambda row: 1.5 if row == 3 else 1.0))
    for row, traffic in enumerate(traffics()):
        if row != 3:
            assert true_time(traffic, model) == pytest.approx(true_time(traffic), rel=0.03)


def test_parameters_stay_within_their_bounds() -> None:
    # Times that only slowdowns below 1 and negative costs could explain.
    model = fit(points(lambda row: 0.2 + 0.1 * (row % 3)))
    for name, least in LEAST.items():
        assert getattr(model, name) >= least, name
    assert model.stream_slowdown == pytest.approx(1.0)


def test_a_cost_that_no_point_bears_stays_at_its_least() -> None:
    dense = [dense_traffic(AttentionShape(b, s, 8, 2, d)) for b in (1, 4, 16) for s in (100, 5000) for d in (64, 128)]
    model = fit([FitPoint(traffic, BANDWIDTH, PEAK, true_time(traffic)) for traffic in dense])
    assert model.gather_slowdown == 1.0
    for traffic in dense:
        assert true_time(traffic, model) == pytest.approx(true_time(traffic), rel=1e-6)


@pytest.mark.parametrize("count", [0, 5])
def test_too_few_points(count: int) -> None:
    with pytest.raises(ConfigError, match=f"{count} points: at least 6 are needed"):
        fit(points()[:count])


@pytest.mark.parametrize(
    ("footprint", "bandwidth"),
    [
        (None, 1e6),  # DRAM's
        (50, 8e6),
        (100, 8e6),
        (1000, 6e6),  # halfway from 100 to 10,000 in log size
        (10_000, 4e6),
        (100_000, 3e6),
        (1_000_000, 2e6),
        (10**12, 2e6),
    ],
)
def test_bandwidth_by_footprint(device: Device, footprint: float | None, bandwidth: float) -> None:
    curve = ((100, 8e6), (10_000, 4e6), (1_000_000, 2e6))
    assert bandwidth_at(device(curve=curve), footprint) == pytest.approx(bandwidth)


def test_without_a_curve_dram_bandwidth_holds(device: Device) -> None:
    assert bandwidth_at(device(), 100) == 1e6


def test_predict_calibrated_by_hand(device: Device) -> None:
    model = TimeModel(1e-3, 1.5, 2.0, 1e-6, 0.5, 1e-4, relative_residual=0.1, n_points=9)
    traffic = Traffic(
        (
            StepTraffic("score", 8_000, flops=20_000, elements=1_000, pieces=4),
            StepTraffic("gather", 900, 100, access="gather", launches=2),
        )
    )
    time = predict_calibrated(traffic, device(), model, "float16")
    # score: 8 ms * 1.5, 1 ms + 2 ms * 0.5, 1 ms + 0.4 ms; gather: 1 ms * 2, nothing, 2 ms
    assert [step.time_s for step in time.steps] == pytest.approx([12e-3 + 2e-3 + 1.4e-3, 2e-3 + 2e-3])
    assert time.time_s.expected == pytest.approx(19.4e-3)
    assert time.time_s.lower == pytest.approx(19.4e-3 * 0.8)
    assert time.time_s.upper == pytest.approx(19.4e-3 * 1.2)
    assert (time.bound, time.evidence) == ("memory", "calibrated")
    assert (time.read_bytes, time.write_bytes, time.flops) == (8_900, 100, 20_000)


def test_the_footprint_chooses_the_bandwidth(device: Device) -> None:
    model = replace(TRUTH, launch_s=0.0, piece_s=0.0, element_s=0.0, compute_share=0.0, stream_slowdown=1.0)
    traffic = Traffic((StepTraffic("attend", 1_000),))
    hardware = device(curve=((100, 8e6), (10_000, 4e6)))
    assert predict_calibrated(traffic, hardware, model, "float16").time_s.expected == pytest.approx(1e-3)
    warm = predict_calibrated(traffic, hardware, model, "float16", footprint_bytes=10)
    assert warm.time_s.expected == pytest.approx(1e-3 / 8)


def test_the_interval_has_a_least_width_and_ends_at_the_roofline(device: Device) -> None:
    model = TimeModel(0.0, 1.01, 1.0, 0.0, 0.0, 0.0, relative_residual=0.0, n_points=9)
    time = predict_calibrated(Traffic((StepTraffic("attend", 1_000),)), device(), model, "float16").time_s
    assert time.upper == pytest.approx(time.expected * (1 + MINIMUM_RELATIVE_WIDTH))
    assert time.lower == pytest.approx(1e-3)  # 5 % below the expected time would beat the ceiling


@pytest.mark.parametrize("peak", [1e11, 1e8])
@pytest.mark.parametrize("bandwidth", [2e10, 1e7])
def test_never_below_the_roofline(device: Device, bandwidth: float, peak: float) -> None:
    hardware = device(bandwidth=bandwidth, peak=peak)
    free = TimeModel(0.0, 1.0, 1.0, 0.0, 0.0, 0.0, relative_residual=0.4, n_points=6)
    for model in (free, TRUTH, fit(points())):
        for traffic in traffics():
            time = predict_calibrated(traffic, hardware, model, "float32")
            roofline = max((traffic.read_bytes + traffic.write_bytes) / bandwidth, traffic.flops / peak)
            assert roofline <= time.time_s.lower <= time.time_s.expected <= time.time_s.upper
            assert sum(step.time_s for step in time.steps) == pytest.approx(time.time_s.expected, rel=1e-12)


def test_hidden_arithmetic_becomes_the_ceiling(device: Device) -> None:
    free = TimeModel(0.0, 1.0, 1.0, 0.0, 0.0, 0.0, relative_residual=0.0, n_points=6)
    traffic = Traffic((StepTraffic("score", 1_000, flops=80_000), StepTraffic("gather", 3_000, access="gather")))
    time = predict_calibrated(traffic, device(), free, "float16")
    # 80,000 FLOP take 8 ms, the bytes 1 + 3 ms: both steps stretch twofold.
    assert (time.time_s.lower, time.time_s.expected) == pytest.approx((8e-3, 8e-3))
    assert [step.time_s for step in time.steps] == pytest.approx([2e-3, 6e-3])
    assert time.bound == "compute"


def test_bound_is_the_largest_share(device: Device) -> None:
    traffic = traffics()[2]
    slow = {"stream_slowdown": 1e6, "launch_s": 1e6, "element_s": 1e6}
    for field, bound in zip(slow, ("memory", "latency", "compute"), strict=True):
        model = replace(TRUTH, **{field: slow[field]})
        assert predict_calibrated(traffic, device(), model, "float32").bound == bound


def test_parameters_have_their_least() -> None:
    assert set(LEAST) == set(asdict(TRUTH)) - {"relative_residual", "n_points"}
