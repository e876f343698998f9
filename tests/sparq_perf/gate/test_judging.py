"""From numbers to verdicts."""

from collections.abc import Callable
from typing import Any

import pytest

from sparq_perf.gate.judging import judge, wanting
from sparq_perf.gate.series import Series
from sparq_perf.gate.settings import GateSettings, Threshold
from sparq_perf.gate.verdicts import Judgement

Make = Callable[..., Series]
SETTINGS = GateSettings()


def verdict_of(series: Series, settings: GateSettings = SETTINGS, **fields: Any) -> str:
    (found,) = judge([series], settings, **fields)
    return found.verdict


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, "SAME"),
        ({"ratio": 1.015}, "SAME"),  # significant, and below the floor
        ({"ratio": 0.985}, "SAME"),
        ({"ratio": 1.05}, "AMBIGUOUS"),  # not confirmed yet
        ({"ratio": 1.05, "fresh_ratio": 1.05}, "REGRESSED"),
        ({"ratio": 3.0, "fresh_ratio": 3.0}, "REGRESSED"),
        ({"ratio": 1.05, "fresh_ratio": 1.0}, "SAME"),  # a false suspicion
        ({"ratio": 1.05, "fresh_ratio": 0.9}, "AMBIGUOUS"),  # contradicts itself
        ({"ratio": 1.03, "noise": 8.0, "fresh_ratio": 1.03}, "AMBIGUOUS"),  # never significant
        ({"ratio": 0.95}, "IMPROVED"),
        ({"noise": 9.0, "aa_spread": 0.001}, "AMBIGUOUS"),  # 2 % is not excluded
        ({"noise": 9.0, "aa_spread": 0.001, "fresh_ratio": 1.0}, "SAME"),  # all pairs together exclude it
        ({"noise": 15.0, "aa_spread": 0.001, "fresh_ratio": 1.0}, "AMBIGUOUS"),
        ({"noise": 40.0}, "AMBIGUOUS"),  # too noisy
        ({"n": 5}, "INVALID"),
        ({"n": 6}, "SAME"),
        ({"invalid": ("throttled",)}, "INVALID"),
    ],
)
def test_verdicts(make_pairs: Make, fields: dict[str, Any], verdict: str) -> None:
    assert verdict_of(make_pairs(**fields)) == verdict


def test_what_is_open_is_decided_by_fresh_pairs_alone(make_pairs: Make) -> None:
    quiet, noisy = make_pairs(), make_pairs(noise=9.0)
    series = Series("a", "time", noisy.base + quiet.base, noisy.candidate + quiet.candidate, aa_spread=0.001)
    (found,) = judge([series], SETTINGS)
    assert found.verdict == "SAME"
    assert found.first is not None
    assert found.fresh is not None
    assert found.first.interval[1] > 0.02 > found.fresh.interval[1]
    assert found.evidence == found.fresh
    assert found.fresh.n_base == 8


def test_what_neither_part_decides_all_pairs_together_may(make_pairs: Make) -> None:
    noisy = make_pairs(noise=9.0, fresh_ratio=1.0, aa_spread=0.001)
    (found,) = judge([noisy], SETTINGS)
    assert found.first is not None
    assert found.fresh is not None
    assert found.first.interval[1] > 0.02 < found.fresh.interval[1]
    assert found.verdict == "SAME"
    assert found.evidence == found.together
    assert found.together is not None
    assert found.together.n_base == 16
    assert found.together.interval[1] < 0.02
    assert found.reasons == ("by the first and the fresh pairs together: neither decides alone",)
    # A suspicion is for the fresh pairs alone to settle: what raised it cannot help to lay it.
    first, calm = make_pairs(ratio=1.05), make_pairs(ratio=0.98, noise=25.0)
    both = Series("a", "time", first.base + calm.base, first.candidate + calm.candidate, aa_spread=0.001)
    (found,) = judge([both], GateSettings(floor=0.045))
    assert (found.verdict, found.together) == ("AMBIGUOUS", None)


def test_a_slowdown_that_the_first_pairs_only_lean_to(make_pairs: Make) -> None:
    # 4 % ± 2.5 %: p of the first look is below 5 % and not below 5 % of 50 tests; the fresh pairs are clear.
    lean, clear = make_pairs(ratio=1.04, noise=9.0), make_pairs(ratio=1.04)
    both = Series("a", "time", lean.base + clear.base, lean.candidate + clear.candidate, aa_spread=0.001)
    others = [make_pairs(str(index)) for index in range(50)]
    first, *_ = judge([both, *others], SETTINGS)
    assert first.first is not None
    assert first.first.q_worse > 0.05 > first.first.p_worse
    assert first.verdict == "REGRESSED"


def test_without_confirmation_all_pairs_count(make_pairs: Make) -> None:
    settings = GateSettings(confirm=False)
    assert verdict_of(make_pairs(ratio=1.05), settings) == "REGRESSED"
    (found,) = judge([make_pairs(ratio=1.05, fresh_ratio=1.05)], settings)
    assert found.first is not None
    assert (found.first.n_base, found.fresh) == (16, None)


def test_many_tests_raise_the_bar(make_pairs: Make) -> None:
    settings = GateSettings(confirm=False)
    slower = make_pairs("slower", ratio=1.03, noise=9.0, aa_spread=0.0)
    (alone,) = judge([slower], settings)
    assert alone.first is not None
    assert 0.01 < alone.first.p_worse < 0.05
    assert alone.verdict == "REGRESSED"
    among, *_ = judge([slower, *(make_pairs(str(index)) for index in range(99))], settings)
    assert among.verdict == "AMBIGUOUS"
    assert among.first is not None
    assert among.first.p_worse == alone.first.p_worse
    assert among.first.q_worse > 0.05


def test_metrics_count_as_tests_too(make_pairs: Make) -> None:
    settings = GateSettings(confirm=False)
    slower = make_pairs("a", ratio=1.03, noise=9.0, aa_spread=0.0)
    others = [make_pairs(f"{index}", metric="energy") for index in range(99)]
    assert judge([slower, *others], settings)[0].verdict == "AMBIGUOUS"


def test_invalid_series_are_no_tests(make_pairs: Make) -> None:
    slower = make_pairs("slower", ratio=1.03, noise=9.0, aa_spread=0.0)
    invalid = [make_pairs(str(index), invalid=("gone",)) for index in range(99)]
    found = judge([slower, *invalid], GateSettings(confirm=False))
    assert found[0].verdict == "REGRESSED"
    assert [one.verdict for one in found[1:]] == ["INVALID"] * 99


def test_the_floor_follows_the_spread(make_pairs: Make) -> None:
    settings = GateSettings(confirm=False)
    assert verdict_of(make_pairs(ratio=1.05, aa_spread=0.015), settings) == "REGRESSED"  # 4.6 %
    (found,) = judge([make_pairs(ratio=1.05, aa_spread=0.02)], settings)  # 6.2 %
    assert found.verdict == "SAME"
    assert found.first is not None
    assert found.first.floor == pytest.approx(0.0618, abs=1e-4)


def test_a_pass_on_a_noisy_machine_excludes_ten_per_cent(make_pairs: Make) -> None:
    (found,) = judge([make_pairs(aa_spread=0.04)], SETTINGS)  # a floor of 12.7 %
    assert found.verdict == "SAME"
    assert found.evidence is not None
    assert found.evidence.excluded == 0.1
    assert found.reasons == ("noisy: only a worsening of 10.0 % is excluded (A/A spread 4.0 %)",)
    # That these pairs agree with each other is luck where other runs differ so much: 1.645 × 6 % reach to 10.4 %.
    (found,) = judge([make_pairs(aa_spread=0.06)], SETTINGS)
    assert found.verdict == "AMBIGUOUS"
    assert found.reasons[0].startswith("too noisy: a worsening of 10.0 % is not excluded")
    # An effect that the spread would hide, and the limit does not.
    assert verdict_of(make_pairs(ratio=1.07, fresh_ratio=1.07, aa_spread=0.04)) == "AMBIGUOUS"
    allowed = GateSettings(largest_floor=0.2)
    assert verdict_of(make_pairs(aa_spread=0.06), allowed) == "SAME"
    # Such a machine also shows gains that are none: they pass, and are not called so.
    assert verdict_of(make_pairs(ratio=0.8, aa_spread=0.05)) == "SAME"
    assert verdict_of(make_pairs(ratio=0.8, aa_spread=0.03)) == "IMPROVED"
    # A difference beyond even that floor is still seen.
    assert verdict_of(make_pairs(ratio=1.5, fresh_ratio=1.5, aa_spread=0.04)) == "REGRESSED"


def test_thresholds_by_configuration_and_metric(make_pairs: Make) -> None:
    wide = Threshold(key="llama-*", metrics=("time",), floor=0.08)
    settings = GateSettings(confirm=False, thresholds=(wide,))
    series = [
        make_pairs("llama-3/x", ratio=1.05),
        make_pairs("llama-3/x", ratio=1.05, metric="energy"),
        make_pairs("pythia/x", ratio=1.05),
    ]
    assert [one.verdict for one in judge(series, settings)] == ["SAME", "REGRESSED", "REGRESSED"]


@pytest.mark.parametrize(
    ("base", "candidate"),
    [
        ((), ()),
        ((1.0,) * 8, (1.0,) * 7),
        ((1.0,) * 8, (float("nan"),) * 8),
        ((1.0,) * 8, (1.0,) * 7 + (0.0,)),
        ((1.0,) * 8, (1.0,) * 7 + (-1.0,)),
        ((float("inf"),) * 8, (1.0,) * 8),
    ],
)
def test_numbers_that_are_none(base: tuple[float, ...], candidate: tuple[float, ...]) -> None:
    assert verdict_of(Series("a", "time", base, candidate)) == "INVALID"


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(1.0, "SAME"), (1.05, "SAME"), (1.11, "SAME"), (1.13, "AMBIGUOUS"), (1.15, "REGRESSED"), (0.7, "IMPROVED")],
)
def test_stored_records(ratio: float, verdict: str) -> None:
    # Standard deviation 4.39 %: SAME below 1.2 / exp(1.645 * 0.0439) = 1.117; red where p is below 0.05²: above 1.131.
    (found,) = judge([Series("a", "time", (1.0,), (ratio,))], SETTINGS, "stored")
    assert found.verdict == verdict
    assert found.fresh is None


def test_stored_records_want_no_fresh_pairs(make_pairs: Make) -> None:
    (found,) = judge([Series("a", "time", (1.0,), (1.13,))], SETTINGS, "stored")
    assert wanting([found]) == ()


def test_what_is_wanting(make_pairs: Make) -> None:
    judgements = judge(
        [
            make_pairs("suspected", ratio=1.05),
            make_pairs("suspected", ratio=1.05, metric="energy"),
            make_pairs("noisy", noise=9.0, aa_spread=0.001),
            make_pairs("same"),
            make_pairs("broken", n=2),
            make_pairs("tried", noise=9.0, aa_spread=0.001, fresh_ratio=1.0),
        ],
        SETTINGS,
    )
    assert wanting(judgements) == ("suspected", "noisy")


def test_remarks_reach_the_reader(make_pairs: Make) -> None:
    (found,) = judge([make_pairs(remarks=("1 of 9 pairs left out: noisy",))], SETTINGS)
    assert found.reasons == ("1 of 9 pairs left out: noisy",)


@pytest.mark.parametrize(
    "fields",
    [
        {"verdict": "INVALID"},
        {"verdict": "AMBIGUOUS"},
        {"verdict": "SAME"},
        {"verdict": "REGRESSED", "reasons": ("because",)},
        {"verdict": "GREEN"},
    ],
)
def test_a_verdict_without_ground_cannot_be_built(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needs|Input should be"):
        Judgement(key="a", metric="time", **fields)
