"""One look at some series: their evidence, adjusted for how many they are, and what it shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import expm1, log1p
from typing import Literal

from scipy.special import ndtri
from scipy.stats import false_discovery_control

from sparq_perf.gate.paired import RatioTest, geometric_mean, paired_test, relative, stored_test
from sparq_perf.gate.series import Series
from sparq_perf.gate.settings import GateSettings, Limits
from sparq_perf.gate.verdicts import Evidence, Method
from sparq_perf.report.wording import percent

# What one look at the numbers says. "open": neither a difference nor its absence is shown.
Finding = Literal["worse", "better", "same", "open"]


@dataclass(frozen=True, slots=True)
class Look:
    """One series' evidence in one look, and its limits."""

    evidence: Evidence
    limits: Limits

    @property
    def noisy(self) -> bool:
        """Differences above the largest floor lie within what the same revision shows."""
        return self.evidence.method == "paired" and self.evidence.floor > self.limits.largest_floor

    def excludes(self, settings: GateSettings) -> bool:
        """Whether a worsening of `Evidence.excluded` is excluded.

        By the pairs' own scatter; on a noisy machine, whose floor is above that, also by the spread that the same
        revision shows: eight pairs may agree with each other by luck, and with no other eight.
        """
        evidence = self.evidence
        upper = evidence.interval[1]
        if self.noisy:
            reach = float(ndtri(settings.confidence)) * evidence.spread
            upper = max(upper, relative(log1p(evidence.effect) + reach))
        return upper < evidence.excluded


def find(look: Look, settings: GateSettings) -> Finding:
    """What one look says: significant and beyond the floor, or excluded, or neither."""
    evidence = look.evidence
    level = significance_level(evidence.method, settings)
    if evidence.q_worse <= level and evidence.effect >= evidence.floor:
        return "worse"
    improved = evidence.q_better <= level and evidence.effect <= expm1(-log1p(evidence.floor))
    if improved and not look.noisy:
        return "better"
    return "same" if look.excludes(settings) else "open"


def significance_level(method: Method, settings: GateSettings) -> float:
    """Largest adjusted probability that is significant.

    A suspicion that fresh pairs will have to confirm is wrong in this share of cases, and both in its square. Stored
    records have no fresh pairs: one look must be as improbable as two.
    """
    rate = settings.false_discovery_rate
    return rate**2 if method == "stored" and settings.confirm else rate


def look_at(chosen: Mapping[int, Series], settings: GateSettings, method: Method, pairs: slice) -> dict[int, Look]:
    """Evidence on some series, adjusted for how many they are."""
    tests = {index: _test(one, settings, method, pairs) for index, one in chosen.items()}
    if not tests:
        return {}
    q_worse = false_discovery_control([test.p_worse for test in tests.values()])
    q_better = false_discovery_control([test.p_better for test in tests.values()])
    looks = {}
    for (index, test), worse, better in zip(tests.items(), q_worse, q_better, strict=True):
        one = chosen[index]
        base, candidate = one.part(pairs)
        limits = settings.limits(one.key, one.metric)
        evidence = Evidence(
            method=method,
            n_base=len(base),
            n_candidate=len(candidate),
            base=geometric_mean(base),
            candidate=geometric_mean(candidate),
            effect=test.effect,
            interval=test.interval,
            p_worse=test.p_worse,
            p_better=test.p_better,
            q_worse=float(worse),
            q_better=float(better),
            spread=test.spread,
            **_floors(test, limits, settings, method),
        )
        looks[index] = Look(evidence, limits)
    return looks


def _test(one: Series, settings: GateSettings, method: Method, pairs: slice) -> RatioTest:
    if method == "stored":
        base, candidate = one.part(pairs)
        job_noise, process_noise = settings.job_noise, settings.process_noise
        return stored_test(base, candidate, settings.confidence, job_noise=job_noise, process_noise=process_noise)
    return paired_test(*one.part(pairs), settings.confidence, one.aa_spread)


def _floors(test: RatioTest, limits: Limits, settings: GateSettings, method: Method) -> dict[str, float]:
    """The smallest effect that counts, and what SAME excludes."""
    if method == "stored":
        return {"floor": limits.stored_floor, "excluded": limits.stored_excluded}
    floor = max(limits.floor, relative(settings.spread_multiple * test.spread))
    # On a noisy machine small effects do not count, and still a pass must exclude large ones.
    return {"floor": floor, "excluded": min(floor, limits.largest_floor)}


def told(evidence: Evidence) -> str:
    """Effect and interval in a phrase."""
    lower, upper = evidence.interval
    shown = (percent(value, signed=True) for value in (evidence.effect, lower, upper))
    return "{} [{}, {}]".format(*shown)
