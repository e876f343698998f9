"""False-alarm rates with their bounds."""

from collections.abc import Callable
from math import log, sqrt
from typing import Any

import pytest
from scipy.stats import binomtest

from sparq_perf.gate.checking import check
from sparq_perf.gate.false_alarms import aa_spreads, false_alarms, rate
from sparq_perf.gate.series import Series
from sparq_perf.gate.settings import GateSettings

Make = Callable[..., Series]


def test_none_of_twenty_by_hand() -> None:
    # The rate at which 20 runs show none with 5 % probability: 1 - 0.05 ** (1 / 20).
    found = rate(0, 20)
    assert (found.seen, found.lower) == (0, 0)
    assert found.upper == pytest.approx(1 - 0.05 ** (1 / 20))
    assert str(found) == "0 of 20 (0.0%; at most 13.9%, 95% confidence)"


@pytest.mark.parametrize(("n", "trials"), [(1, 20), (3, 200), (199, 200), (200, 200), (50, 100)])
def test_agrees_with_scipy(n: int, trials: int) -> None:
    # An interval of 90 % has an upper end at 95 %.
    exact = binomtest(n, trials).proportion_ci(0.90, "exact")
    found = rate(n, trials)
    assert (found.lower, found.upper) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize(("n", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_no_trials(n: int, trials: int) -> None:
    with pytest.raises(ValueError, match="there must be trials"):
        rate(n, trials)


def test_of_outcomes(runs: Any) -> None:
    same = {"a": 1e-3, "b": 2e-3}
    outcomes = []
    for index, candidate in enumerate((same, {**same, "b": 2.3e-3}, same, {"a": 1e-3})):
        runs.folder = runs.folder / str(index)
        outcomes.append(check(*runs.abba(same, candidate), GateSettings(confirm=False)))
    found = false_alarms(outcomes)
    assert (found.alarms.n, found.alarms.trials) == (1, 4)
    assert found.not_green.n == 2
    assert (found.tests.n, found.tests.trials) == (1, 8)
    assert found.counts == {"REGRESSED": 1, "INVALID": 1, "AMBIGUOUS": 0, "IMPROVED": 0, "SAME": 6}
    assert found.lines[0].startswith("false alarms   1 of 4 (25.0%; between 1.3% and 75.1%")
    assert found.as_json()["alarms"]["upper"] == pytest.approx(found.alarms.upper)


def test_spreads(runs: Any) -> None:
    outcomes = []
    for index, ratio in enumerate((1.01, 0.98)):
        runs.folder = runs.folder / str(index)
        outcomes.append(check(*runs.abba({"a": 1e-3}, {"a": ratio * 1e-3})))
    expected = sqrt((log(1.01) ** 2 + log(0.98) ** 2) / 2)
    assert aa_spreads(outcomes)["a", "time"] == pytest.approx(expected, rel=1e-6)
    (only,) = outcomes[0].judgements
    assert only.first is not None
    assert aa_spreads(outcomes[:1]) == {("a", "time"): only.first.spread}
