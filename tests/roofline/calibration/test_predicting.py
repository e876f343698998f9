"""Predictions by a model, worked by hand; and what must hold of them whatever was fitted."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sparq_profiles import AttentionShape, HardwareProfile, SparqConfig
from sparq_roofline import StepTraffic, Traffic
from sparq_roofline.calibration import TimeModel, bandwidth_at, predict_calibrated
from sparq_roofline.calibration.cost import LEAST
from sparq_roofline.calibration.factors import Axis, Factors
from sparq_roofline.calibration.predicting import NINETY_PERCENT, SPREAD_AN_OCTAVE, WARM_OCTAVES

Device = Callable[..., HardwareProfile]
SHAPE = AttentionShape(2, 1000, 8, 4, 64)
CONFIG = SparqConfig(16, 32)
TRAFFIC = Traffic(
    (
        StepTraffic("score", 8_000, flops=20_000, elements=1_000, pieces=4),
        StepTraffic("gather", 900, 100, access="gather", launches=2),
    )
)


def model(**fields: Any) -> TimeModel:
    costs: dict[str, Any] = {"host_s": 0.0, "overlap": 1.0, **LEAST}
    return TimeModel(**{**costs, "left_out_error": 0.1, "n_points": 9, **fields})


def test_a_prediction_by_hand(device: Device) -> None:
    costs = model(
        host_s=1e-3, launch_s=1e-3, stream_slowdown=1.5, gather_slowdown=2.0, element_s=1e-6, compute_share=0.5,
        piece_s=1e-4, position_s=5e-6,
    )  # fmt: skip
    time = predict_calibrated(TRAFFIC, SHAPE, CONFIG, device(), costs)
    # Streaming: 8 ms × 1.5 and half of 2 ms; beside it a chain of 5 ms; elements 1 ms; a launch and 4 pieces.
    score = math.hypot(13e-3, 5e-3) + 1e-3 + 1e-3 + 0.4e-3
    gather = 1e-3 * 2 + 2e-3
    assert time.time_s.expected == pytest.approx(score + gather + 1e-3)
    # The host's millisecond stretches both steps.
    stretch = (score + gather + 1e-3) / (score + gather)
    assert [step.time_s for step in time.steps] == pytest.approx([score * stretch, gather * stretch])
    assert [step.name for step in time.steps] == ["score", "gather"]
    width = math.exp(NINETY_PERCENT * 0.1)
    assert time.time_s.upper == pytest.approx(time.time_s.expected * width)
    assert time.time_s.lower == pytest.approx(time.time_s.expected / width)
    assert (time.bound, time.evidence, time.extrapolated) == ("memory", "calibrated", ())
    assert (time.read_bytes, time.write_bytes, time.flops) == (8_900, 100, 20_000)


def test_factors_vary_each_cost(device: Device) -> None:
    axis = Axis(0.0, 1.0, 1)
    logs = {"host": 0.1, "stream": 0.2, "select": 0.3, "gather": 0.4, "position": 0.5}
    factors = Factors((axis,) * 4, *(((value,)) for value in logs.values()), spread=(0.0,))
    costs = model(host_s=1e-3, overlap=2.0, element_s=1e-6, compute_share=0.5, position_s=5e-6, factors=factors)
    time = predict_calibrated(TRAFFIC, SHAPE, CONFIG, device(), costs).time_s
    streaming = math.hypot((8e-3 + 1e-3) * math.exp(0.2), 5e-3 * math.exp(0.5))
    busy = streaming + 1e-3 * math.exp(0.3) + 1e-3 * math.exp(0.4)
    assert time.expected == pytest.approx(math.hypot(busy, 1e-3 * math.exp(0.1)))
    assert time.lower == time.expected == time.upper


def test_the_place_among_the_nodes(device: Device) -> None:
    # Streaming is twice as dear at 4,096 positions as at 1,024, by the same factor at each step between.
    axes = (Axis(3.0, 1.0, 1), Axis(10.0, 2.0, 2), Axis(0.0, 1.0, 1), Axis(0.0, 1.0, 1))
    flat = (0.0, 0.0)
    factors = Factors(axes, flat, (0.0, math.log(2)), flat, (0.0,), (0.0,), spread=(0.1, 0.3))
    costs = model(factors=factors)
    moved = Traffic((StepTraffic("attend", 1_000),))
    for seq_len, factor, spread in (
        (512, 1, 0.1),
        (1024, 1, 0.1),
        (2048, math.sqrt(2), 0.2),
        (4096, 2, 0.3),
        (9999, 2, 0.3),
    ):
        time = predict_calibrated(moved, replace(SHAPE, seq_len=seq_len), None, device(), costs).time_s
        assert time.expected == pytest.approx(1e-3 * factor)
        assert time.upper / time.expected == pytest.approx(math.exp(NINETY_PERCENT * spread))


@pytest.mark.parametrize(
    ("change", "extrapolated", "octaves"),
    [
        ({}, (), []),
        ({"seq_len": 4000}, ("seq_len",), [2.0]),
        ({"batch": 1, "seq_len": 250}, ("kv_heads", "seq_len"), [1.0, 2.0]),
        ({"n_heads": 4}, ("group_size",), [1.0]),
        ({"head_dim": 256}, ("head_dim",), [2.0]),
    ],
)
def test_outside_what_was_seen(
    device: Device, change: dict[str, int], extrapolated: tuple[str, ...], octaves: list[float]
) -> None:
    ranges = {
        "kv_heads": (8, 8), "seq_len": (1000, 1000), "rank": (1, 1), "top_k": (1, 1), "group_size": (2, 2),
        "head_dim": (64, 64),
    }  # fmt: skip
    moved = Traffic((StepTraffic("attend", 1_000),))
    time = predict_calibrated(moved, replace(SHAPE, **change), None, device(), model(ranges=ranges))
    assert time.extrapolated == extrapolated
    spread = math.hypot(0.1, *(SPREAD_AN_OCTAVE * n for n in octaves))
    assert time.time_s.upper / time.time_s.expected == pytest.approx(math.exp(NINETY_PERCENT * spread))
    assert time.time_s.expected == pytest.approx(1e-3)


def test_the_further_the_wider(device: Device) -> None:
    moved = Traffic((StepTraffic("attend", 1_000),))
    ranges = {"kv_heads": (8, 8), "seq_len": (1000, 2000), "rank": (1, 1), "top_k": (1, 1), "group_size": (2, 2),
              "head_dim": (64, 64)}  # fmt: skip
    widths = []
    for seq_len in (1500, 2000, 4000, 16_000, 64_000, 10**6):
        time = predict_calibrated(moved, replace(SHAPE, seq_len=seq_len), None, device(), model(ranges=ranges)).time_s
        widths.append(time.upper / time.expected)
    assert widths[0] == widths[1]
    assert widths[1:] == sorted(set(widths[1:]))


def test_what_else_was_not_seen(device: Device) -> None:
    one = predict_calibrated(TRAFFIC, SHAPE, CONFIG, device(), model(), unseen=("dtype",))
    assert one.extrapolated == ("dtype",)
    spread = math.hypot(0.1, SPREAD_AN_OCTAVE)
    assert one.time_s.upper / one.time_s.expected == pytest.approx(math.exp(NINETY_PERCENT * spread))


def test_the_footprint_chooses_the_bandwidth(device: Device) -> None:
    traffic = Traffic((StepTraffic("attend", 1_000),))
    hardware = device(curve=((100, 8e6), (10_000, 4e6)))
    cold = predict_calibrated(traffic, SHAPE, None, hardware, model())
    assert cold.time_s.expected == pytest.approx(1e-3)
    warm = predict_calibrated(traffic, SHAPE, None, hardware, model(), footprint_bytes=10)
    assert warm.time_s.expected == pytest.approx(1e-3 / 8)
    # Calibrations see cold caches.
    assert warm.extrapolated == ("cache_state",)
    spread = math.hypot(0.1, WARM_OCTAVES * SPREAD_AN_OCTAVE)
    assert warm.time_s.upper / warm.time_s.expected == pytest.approx(math.exp(NINETY_PERCENT * spread))


def test_the_interval_ends_at_the_roofline(device: Device) -> None:
    time = predict_calibrated(Traffic((StepTraffic("attend", 1_000),)), SHAPE, None, device(), model()).time_s
    assert time.lower == time.expected == pytest.approx(1e-3)


def test_hidden_arithmetic_becomes_the_ceiling(device: Device) -> None:
    traffic = Traffic((StepTraffic("score", 1_000, flops=80_000), StepTraffic("gather", 3_000, access="gather")))
    time = predict_calibrated(traffic, SHAPE, CONFIG, device(), model())
    # 80,000 FLOP take 8 ms, the bytes 1 + 3 ms: both steps stretch twofold.
    assert (time.time_s.lower, time.time_s.expected) == pytest.approx((8e-3, 8e-3))
    assert [step.time_s for step in time.steps] == pytest.approx([2e-3, 6e-3])
    assert time.bound == "compute"


@pytest.mark.parametrize(
    ("slow", "bound"),
    [
        ({"stream_slowdown": 1e6}, "memory"),
        ({"gather_slowdown": 1e6}, "memory"),
        ({"element_s": 1e6}, "compute"),
        ({"compute_share": 1e6}, "compute"),
        ({"launch_s": 1e6}, "latency"),
        ({"position_s": 1e6}, "latency"),
        ({"host_s": 1e6, "overlap": 8.0}, "latency"),
    ],
)
def test_bound_is_the_largest_share(device: Device, slow: dict[str, float], bound: str) -> None:
    assert predict_calibrated(TRAFFIC, SHAPE, CONFIG, device(), model(**slow)).bound == bound


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


@pytest.mark.parametrize(
    ("field", "value"),
    [("stream_slowdown", 0.99), ("gather_slowdown", 0.0), ("launch_s", -1e-9), ("overlap", 0.5), ("host_s", math.nan),
     ("element_s", math.inf)],
)  # fmt: skip
def test_costs_that_cannot_be(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} is {value!r}: it must be a number of at least"):
        model(**{field: value})
