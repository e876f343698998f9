import numpy as np
import pytest

from sparq_roofline.calibration.cost_fit import Evaluated, Observations
from sparq_roofline.calibration.factors import TABLES
from sparq_roofline.calibration.kriging import GROUPS, Kriging, Part

N = 20


def observed(layouts: int = 1, n: int = N, seed: int = 0) -> tuple[Observations, Evaluated]:
    """Places at random, and loads that add up to 1, with two parameters that matter a little."""
    generator = np.random.default_rng(seed)
    places = generator.uniform((5, 11, 4, 6), (11, 16, 6, 9), size=(n, 4))
    shares = generator.dirichlet(np.ones(len(GROUPS)), size=n)
    loads = {group: shares[:, i] for i, group in enumerate(GROUPS)}
    sensitivity = generator.uniform(0, 0.2, size=(n, 2))
    return (
        Observations(np.empty((n, 0)), places, np.arange(n) % layouts),
        Evaluated(np.zeros(n), loads, sensitivity),
    )


def krige(residuals: np.ndarray, layouts: int = 1, extra: np.ndarray | None = None) -> Kriging:
    seen, evaluated = observed(layouts)
    return Kriging(seen, evaluated, residuals, np.zeros(N) if extra is None else extra, np.array([0.5, 0.5]))


def test_nothing_to_explain() -> None:
    kriging = krige(np.zeros(N))
    mean, covariance = kriging.log_factors(kriging.prior.parts, [observed()[0].places] * len(kriging.prior.parts))
    assert np.all(mean == 0)
    assert np.all(np.diag(covariance) > 0)
    assert np.all(kriging.left_out == 0)


def test_parts_of_groups_and_layouts() -> None:
    groups = [(part.group, part.layout) for part in krige(np.zeros(N), layouts=2).prior.parts]
    shared = [(name, None) for name in ("host", "select", "gather")]
    own = [(name, layout) for name in ("stream", "position") for layout in (0, 1)]
    assert sorted(groups, key=str) == sorted(shared + own, key=str)


def test_factors_explain_what_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, evaluated = observed()
    wave = 0.2 * np.sin(seen.places[:, 1])
    kriging = Kriging(seen, evaluated, evaluated.loads["stream"] * wave, np.zeros(N), np.array([0.5, 0.5]))
    parts = list(kriging.prior.parts)
    mean, _ = kriging.log_factors(parts, [seen.places] * len(parts))
    explained = sum(evaluated.loads[part.group] * mean[i * N : (i + 1) * N] for i, part in enumerate(parts))
    left = evaluated.loads["stream"] * wave - explained
    assert np.abs(left).mean() < 0.25 * np.abs(evaluated.loads["stream"] * wave).mean()


def test_hyperparameters_are_where_the_slope_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    caught = {}
    from scipy import optimize

    minimize = optimize.minimize

    def spy(objective, start, **options):  # type: ignore[no-untyped-def]
        caught["objective"], caught["start"] = objective, start
        return minimize(objective, start, **options)

    monkeypatch.setattr(optimize, "minimize", spy)
    kriging = krige(np.random.default_rng(1).normal(0, 0.05, N), layouts=2)
    objective, at = caught["objective"], caught["start"] + 0.1
    _, gradient = objective(at)
    for index in range(at.size):
        step = np.zeros(at.size)
        step[index] = 1e-5
        slope = (objective(at + step)[0] - objective(at - step)[0]) / 2e-5
        assert gradient[index] == pytest.approx(slope, rel=1e-4, abs=1e-6), index
    assert kriging.surprise <= objective(caught["start"])[0]


def test_left_out_is_what_the_others_foretell() -> None:
    residuals = np.random.default_rng(2).normal(0, 0.1, N)
    kriging = krige(residuals)
    full = np.linalg.inv(kriging._inverse)
    for i in (0, 7, 19):
        others = np.arange(N) != i
        weights = np.linalg.solve(full[np.ix_(others, others)], full[others, i])
        assert kriging.left_out[i] == pytest.approx(residuals[i] - weights @ residuals[others])
        assert kriging.left_out_deviation[i] ** 2 == pytest.approx(full[i, i] - weights @ full[others, i])


def test_uncertainty_grows_away_from_the_points() -> None:
    kriging = krige(np.random.default_rng(3).normal(0, 0.1, N))
    seen, evaluated = observed()
    near = kriging.deviation(seen, evaluated)
    away = Observations(seen.columns, seen.places + 6.0, seen.layouts)
    far = kriging.deviation(away, evaluated)
    assert np.all(far > near)
    assert np.all(near >= np.exp(kriging.hyperparameters[-1]) - 1e-12)


def test_a_disturbed_point_counts_for_little() -> None:
    residuals = np.zeros(N)
    residuals[4] = 0.5
    extra = np.zeros(N)
    extra[4] = 0.3**2
    seen, _ = observed()

    def moved(kriging: Kriging) -> float:
        parts = kriging.prior.parts
        mean, _ = kriging.log_factors(parts, [seen.places] * len(parts))
        return float(np.abs(mean).max())

    assert moved(krige(residuals, extra=extra)) < 0.3 * moved(krige(residuals))


def test_layouts_have_factors_of_their_own() -> None:
    seen, evaluated = observed(2)
    residuals = np.where(seen.layouts == 1, 0.2 * evaluated.loads["stream"], 0.0)
    kriging = krige(residuals, layouts=2)
    mean, _ = kriging.log_factors([Part("stream", 0), Part("stream", 1)], [seen.places, seen.places])
    assert mean[N:].mean() > 3 * abs(mean[:N].mean())


def test_every_group_has_a_table() -> None:
    assert set(GROUPS) | {"spread"} == set(TABLES)
