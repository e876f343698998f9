from dataclasses import asdict

import numpy as np
import pytest

from sparq_profiles import HardwareProfile
from sparq_roofline.calibration import TimeModel, algorithm_traffic, predict_calibrated
from sparq_roofline.calibration.cost import GROUP_OF, LEAST, amounts
from sparq_roofline.calibration.cost_fit import COSTS, OF_A_LAYOUT, CostFit, CostFunction, Observations
from sparq_roofline.calibration.place import Place

from .conftest import BANDWIDTH, PEAK, TRUTH, Points, truth_of


def observe(points: list) -> Observations:  # type: ignore[type-arg]
    columns, layouts = [], []
    for point in points:
        asked = amounts(algorithm_traffic(point.shape, point.config).steps, point.shape.seq_len)
        columns.append(
            asked._replace(
                stream_bytes=asked.stream_bytes / BANDWIDTH,
                gather_bytes=asked.gather_bytes / BANDWIDTH,
                flops=asked.flops / PEAK,
            )
        )
        layouts.append(int(point.k_layout == "row_major"))
    places = np.log2([Place.of(point.shape, point.config)[:4] for point in points])
    return Observations(np.array(columns, dtype=float), places, np.array(layouts))


def fit_of(points: list) -> CostFit:  # type: ignore[type-arg]
    return CostFit(observe(points), np.log([point.time_s for point in points]), 1 / BANDWIDTH, PEAK)


def parameters_of(model: TimeModel, *others: TimeModel) -> np.ndarray:
    costs = [getattr(model, name) - LEAST[name] for name in COSTS]
    own = [getattr(other, name) - LEAST[name] for other in others for name in OF_A_LAYOUT]
    return np.log([model.host_s, model.overlap - 1, *costs, *own])


def test_the_function_is_what_predicts(points: Points, gpu: HardwareProfile) -> None:
    both = points(("two_copies", "row_major"))
    fit = fit_of(both)
    truth = parameters_of(TRUTH, truth_of("row_major"))
    found = fit.function.evaluate(truth, fit.expanded)
    np.testing.assert_allclose(found.log_time, np.log([point.time_s for point in both]), rtol=0, atol=1e-9)


def test_derivatives(points: Points) -> None:
    fit = fit_of(points(("two_copies", "row_major"))[::5])
    at = parameters_of(TRUTH, truth_of("row_major"))
    found = fit.function.evaluate(at, fit.expanded)
    for index in range(at.size):
        step = np.zeros(at.size)
        step[index] = 1e-6
        up = fit.function.evaluate(at + step, fit.expanded).log_time
        down = fit.function.evaluate(at - step, fit.expanded).log_time
        np.testing.assert_allclose(found.sensitivity[:, index], (up - down) / 2e-6, atol=1e-7)


def test_loads_are_what_a_group_adds(points: Points) -> None:
    fit = fit_of(points(("two_copies",))[::7])
    at = parameters_of(TRUTH)
    found = fit.function.evaluate(at, fit.expanded)
    total = sum(found.loads.values())
    # What no group has: launches and pieces.
    assert np.all(total <= 1 + 1e-12)
    assert set(found.loads) == {"host", *GROUP_OF.values()}
    raised = at + np.array([0, 0, *(1e-6 if GROUP_OF.get(name) == "gather" else 0 for name in COSTS)])
    by_gather = (fit.function.evaluate(raised, fit.expanded).log_time - found.log_time) / 1e-6
    # The parameter is the slowdown over 1: 1.2 of 2.2.
    np.testing.assert_allclose(by_gather, found.loads["gather"] * 1.2 / 2.2, atol=1e-5)


def test_each_layout_has_columns_of_its_own(points: Points) -> None:
    both = points(("two_copies", "row_major"))
    expanded = CostFunction(2).expand(observe(both))
    assert expanded.shape == (len(both), len(COSTS) + len(OF_A_LAYOUT))
    stream = COSTS.index("stream_slowdown")
    first, second = expanded[: len(both) // 2], expanded[len(both) // 2 :]
    assert np.all(first[:, stream] > 0)
    assert not first[:, len(COSTS) :].any()
    assert not second[:, stream].any()
    assert np.all(second[:, len(COSTS) :] > 0)


def test_rough_fit_recovers_the_costs(points: Points) -> None:
    fit = fit_of(points())
    found = fit.function.costs(fit.rough(), 0)
    expected = asdict(TRUTH)
    for name in ("host_s", "stream_slowdown", "gather_slowdown", "element_s", "position_s"):
        assert found[name] == pytest.approx(expected[name], rel=0.12), name


def test_layouts_share_what_does_not_depend_on_them(points: Points) -> None:
    fit = fit_of(points(("two_copies", "row_major")))
    parameters = fit.rough()
    copies, rows = (fit.function.costs(parameters, layout) for layout in (0, 1))
    for name in copies:
        assert (copies[name] == rows[name]) == (name not in OF_A_LAYOUT), name
    assert rows["position_s"] == pytest.approx(1e-8, rel=0.15)


def test_one_disturbed_point_does_not_bend_the_rough_fit(points: Points) -> None:
    clean = points()
    disturbed = points(
        factor=lambda shape, config: 2.0 if (shape, config) == (clean[40].shape, clean[40].config) else 1.0
    )
    one, other = fit_of(clean), fit_of(disturbed)
    apart = (
        one.function.evaluate(one.rough(), one.expanded).log_time
        - other.function.evaluate(other.rough(), other.expanded).log_time
    )
    assert np.abs(apart).max() < 0.02


def test_costs_stay_above_their_least(points: Points) -> None:
    # Times that only slowdowns below 1 could explain.
    fit = fit_of(points(factor=lambda shape, config: 0.3))
    found = fit.function.costs(fit.rough(), 0)
    for name, least in LEAST.items():
        assert found[name] >= least, name
    assert found["overlap"] >= 1


def test_few_points_stay_near_what_is_usual(points: Points, gpu: HardwareProfile) -> None:
    seen = points()[60:66]
    fit = fit_of(seen)
    costs = fit.function.costs(fit.rough(), 0)
    model = TimeModel(**costs, left_out_error=0.0, n_points=6)
    for point in points()[::9]:
        traffic = algorithm_traffic(point.shape, point.config)
        time_s = predict_calibrated(traffic, point.shape, point.config, gpu, model).time_s.expected
        assert 0.4 < time_s / point.time_s < 2.5
