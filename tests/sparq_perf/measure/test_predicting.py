"""Calibration points outside the suites, and predictions worked by hand from a model."""

import math
from dataclasses import replace
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest

from sparq_kernels import find_implementation
from sparq_perf.measure import calibrating
from sparq_perf.measure.calibrating import calibrate
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.cpu_machine import CALIBRATION, PACE
from sparq_perf.measure.cuda_machine import CALIBRATION as GPU_CALIBRATION
from sparq_perf.measure.machine import CalibrationGrid
from sparq_perf.measure.plan import DEVICE_KINDS, Group, plan
from sparq_perf.measure.predicting import predict_contender
from sparq_perf.measure.timing import Timing
from sparq_profiles import AttentionShape, SparqConfig, load_suite
from sparq_profiles.load import list_names
from sparq_roofline.calibration import MINIMUM_POINTS, TimeModel
from sparq_roofline.calibration.cost import LEAST

SHAPE = AttentionShape(1, 4096, 4, 4, 32, "float32")
CONFIG = SparqConfig(8, 64)
NAMES = ("dense-cpu", "sparq-cpu")


def group(cache_state: str, *contenders: Contender) -> Group:
    return Group("tiny", SHAPE, cache_state, "two_copies", contenders)  # type: ignore[arg-type]


GRIDS = {"cpu": CALIBRATION, "cuda": GPU_CALIBRATION}
MEASURED = [
    (name, device)
    for name in list_names("suites")
    for device in GRIDS
    if load_suite(name).device in ("any", DEVICE_KINDS[device])
]


@pytest.mark.parametrize(("suite", "device"), MEASURED)
def test_no_suite_measures_a_calibration_point(suite: str, device: str) -> None:
    loaded, grid = load_suite(suite), GRIDS[device]
    for planned in plan(loaded, device):
        s = planned.shape
        assert (s.batch, s.seq_len, s.n_heads, s.n_kv_heads, s.head_dim) not in grid.shapes
        for contender in planned.contenders:
            if contender.config is not None:
                assert (contender.config.rank, contender.config.top_k) not in grid.settings


@pytest.mark.parametrize("grid", [CALIBRATION, GPU_CALIBRATION])
def test_calibration_shapes_differ_in_all_that_costs(grid: CalibrationGrid) -> None:
    assert len(set(grid.shapes)) == len(grid.shapes) >= MINIMUM_POINTS
    assert {n_heads // n_kv_heads for _, _, n_heads, n_kv_heads, _ in grid.shapes} >= {1, 4}
    assert {size[-1] for size in grid.shapes} == {64, 128}


def test_calibration_fits_the_medians(lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hardware = lines.hardware()
    states: list[str] = []

    def seconds(shape: AttentionShape, contender: Contender) -> float:
        # Twice the roofline's memory time, and 20 µs a launch.
        traffic = find_implementation(contender.implementation).traffic(shape, contender.config)
        return sum(2 * step.moved_bytes / 10e9 + step.launches * 20e-6 for step in traffic.steps)

    class FakeRounds:
        def __init__(self, machine: Any, cache: Any, shape: AttentionShape, state: str, seed: int) -> None:
            self.shape = shape
            states.append(state)

        def time(self, contenders: list[Contender], rule: Any, **_: Any) -> list[Timing]:
            expected = [seconds(self.shape, contender) for contender in contenders]
            return [Timing((9 * s, s, 0.5 * s), "noise", 10e9) for s in expected]

    monkeypatch.setattr(calibrating, "Rounds", FakeRounds)
    monkeypatch.setattr(calibrating, "build_cache", lambda *_: None)
    told: list[str] = []
    released: list[int] = []
    machine: Any = SimpleNamespace(
        calibration=CALIBRATION, pace=PACE, device="here", release=lambda: released.append(len(states))
    )
    found = calibrate(machine, NAMES, hardware, "float32", seed=1, progress=told.append)
    assert released == list(range(1, len(CALIBRATION.shapes) + 1))
    assert set(states) == {"cold"}
    assert len(told) == len(states) == len(CALIBRATION.shapes)
    assert {name: len(result.points) for name, result in found.items()} == {
        "dense-cpu": len(CALIBRATION.shapes),
        "sparq-cpu": len(CALIBRATION.shapes) * len(CALIBRATION.settings),
    }
    for name, result in found.items():
        assert result.model.n_points == len(result.points)
        assert result.model.left_out_error < 0.05
        assert not any(point.disturbed for point in result.points)
        for point in result.points:
            expected = seconds(point.shape, Contender(name, point.config))
            assert point.measured_s == pytest.approx(median((9 * expected, expected, 0.5 * expected)))
            assert point.fitted_s == pytest.approx(expected, rel=0.05)


def model(**fields: float) -> TimeModel:
    costs = {"host_s": 0.0, "overlap": 1.0, **LEAST, **fields}
    return TimeModel(**costs, left_out_error=0.1, n_points=11)


def test_a_calibrated_prediction_by_hand(lines: Any) -> None:
    dense = Contender("dense-cpu", None)
    traffic = find_implementation("dense-cpu").traffic(SHAPE, None)
    predicted = predict_contender(
        group("cold", dense), dense, lines.hardware(), {"dense-cpu": model(stream_slowdown=3.0)}
    )
    moved = sum(step.moved_bytes for step in traffic.steps)
    assert moved >= 2 * 4096 * 32 * 4 * 4
    assert predicted.time_s.expected == pytest.approx(3 * moved / 10e9)
    assert predicted.evidence == "calibrated"
    # 90 % of a normal distribution, where the spread of log time is a tenth.
    assert predicted.time_s.upper == pytest.approx(math.exp(0.1645) * predicted.time_s.expected)
    assert predicted.extrapolated == ()


def test_a_warm_prediction_uses_the_bandwidth_of_its_footprint(lines: Any) -> None:
    dense = Contender("dense-cpu", None)
    models = {"dense-cpu": model()}
    small = AttentionShape(1, 512, 4, 4, 32, "float32")  # 512 KiB of K and V: below the curve's first point, 40 GB/s
    place = Group("tiny", small, "warm", "two_copies", (dense,))
    warm = predict_contender(place, dense, lines.hardware(), models)
    cold = predict_contender(Group("tiny", small, "cold", "two_copies", (dense,)), dense, lines.hardware(), models)
    assert cold.time_s.expected / warm.time_s.expected == pytest.approx(4.0)
    # Calibration saw cold caches only.
    assert (cold.extrapolated, warm.extrapolated) == ((), ("cache_state",))
    assert warm.time_s.upper / warm.time_s.expected > cold.time_s.upper / cold.time_s.expected


def test_sparq_comes_back_to_half_of_the_cache(lines: Any) -> None:
    sparq = Contender("sparq-cpu", CONFIG)
    # 2 MiB of K and V, so 1 MiB of K: the curve's first point. All of both would be on its slope.
    middle = AttentionShape(1, 2048, 4, 4, 32, "float32")
    assert middle.kv_bytes == 2 * 2**20
    models = {"sparq-cpu": model()}
    warm = predict_contender(Group("tiny", middle, "warm", "two_copies", (sparq,)), sparq, lines.hardware(), models)
    cold = predict_contender(Group("tiny", middle, "cold", "two_copies", (sparq,)), sparq, lines.hardware(), models)
    assert cold.time_s.expected / warm.time_s.expected == pytest.approx(4.0)


def test_a_layout_that_calibration_does_not_measure_is_said(lines: Any) -> None:
    for layout, extrapolated in (("two_copies", ()), ("row_major", ("k_layout",))):
        sparq = Contender("sparq-cpu", replace(CONFIG, k_layout=layout))  # type: ignore[arg-type]
        place = Group("tiny", SHAPE, "cold", layout, (sparq,))  # type: ignore[arg-type]
        predicted = predict_contender(place, sparq, lines.hardware(), {"sparq-cpu": model()})
        assert predicted.extrapolated == extrapolated


def test_without_a_model_the_ceilings_predict(lines: Any) -> None:
    sparq = Contender("sparq-torch", CONFIG)
    predicted = predict_contender(group("cold", sparq), sparq, lines.hardware(), {})
    assert predicted.evidence == "measured"
    assert predicted.time_s.lower < predicted.time_s.expected < predicted.time_s.upper
