"""A/A: how often the gate alarms where nothing changed, with the bound that so many runs can give."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log1p, sqrt
from statistics import fmean
from typing import Any

from scipy.special import betaincinv

from sparq_perf.gate.metrics import Metric
from sparq_perf.gate.outcome import Outcome
from sparq_perf.gate.verdicts import VERDICTS, Judgement, Verdict


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happened in independent trials.

    Attributes:
        lower, upper: exact bounds of the rate (Clopper and Pearson), each one-sided at ``confidence``.
    """

    n: int
    trials: int
    lower: float
    upper: float
    confidence: float

    @property
    def seen(self) -> float:
        """Share of the trials."""
        return self.n / self.trials

    def __str__(self) -> str:
        bounds = f"at most {self.upper:.1%}" if self.lower == 0 else f"between {self.lower:.1%} and {self.upper:.1%}"
        return f"{self.n} of {self.trials} ({self.seen:.1%}; {bounds}, {self.confidence:.0%} confidence)"


def rate(n: int, trials: int, confidence: float = 0.95) -> Rate:
    """The rate of ``n`` events in ``trials`` (at least 1) with its bounds."""
    if not 0 <= n <= trials or trials < 1:
        raise ValueError(f"{n} of {trials}: there must be trials, and no more events than trials")
    lower = 0.0 if n == 0 else float(betaincinv(n, trials - n + 1, 1 - confidence))
    upper = 1.0 if n == trials else float(betaincinv(n + 1, trials - n, confidence))
    return Rate(n, trials, lower, upper, confidence)


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """What the gate said of comparisons in which base and candidate are the same code.

    Attributes:
        alarms: comparisons with a REGRESSED; not_green: with anything that fails the gate, that included.
        tests: single configurations and metrics that were REGRESSED. Those of one comparison share its machine and
            minutes, so that their bound is too narrow: the comparisons' is the one to trust.
        counts: of every verdict.
    """

    alarms: Rate
    not_green: Rate
    tests: Rate
    counts: dict[Verdict, int]

    @property
    def lines(self) -> tuple[str, ...]:
        """For people."""
        counted = ", ".join(f"{n} {verdict}" for verdict, n in self.counts.items())
        return (
            f"false alarms   {self.alarms} of A/A comparisons",
            f"not green      {self.not_green}",
            f"tests          {self.tests}; not independent of each other",
            f"verdicts       {counted}",
        )

    def as_json(self) -> dict[str, Any]:
        """For machines: fractions."""
        rates = {"alarms": self.alarms, "not_green": self.not_green, "tests": self.tests}
        return {
            name: {"n": one.n, "trials": one.trials, "rate": one.seen, "lower": one.lower, "upper": one.upper}
            for name, one in rates.items()
        } | {"verdicts": dict(self.counts), "confidence": self.alarms.confidence}


def false_alarms(outcomes: Sequence[Outcome], confidence: float = 0.95) -> FalseAlarms:
    """How often the gate alarmed in A/A comparisons, of which there must be one, with something judged."""
    judgements = [judgement for outcome in outcomes for judgement in outcome.judgements]
    counts = {verdict: sum(one.verdict == verdict for one in judgements) for verdict in VERDICTS}
    return FalseAlarms(
        alarms=rate(sum(outcome.exit_code == 1 for outcome in outcomes), len(outcomes), confidence),
        not_green=rate(sum(outcome.exit_code != 0 for outcome in outcomes), len(outcomes), confidence),
        tests=rate(counts["REGRESSED"], len(judgements), confidence),
        counts=counts,
    )


def aa_spreads(outcomes: Iterable[Outcome]) -> dict[tuple[str, Metric], float]:
    """Standard deviation around 0 of the mean log ratio in A/A comparisons, by configuration and metric.

    What `check` takes as ``spreads``. Of one comparison alone it is the spread that its own pairs show.
    """
    found: dict[tuple[str, Metric], list[Judgement]] = {}
    for outcome in outcomes:
        for one in outcome.judgements:
            if one.first is not None:
                found.setdefault((one.key, one.metric), []).append(one)
    return {test: _spread(ones) for test, ones in found.items()}


def _spread(judgements: Sequence[Judgement]) -> float:
    looks = [one.first for one in judgements if one.first is not None]
    if len(looks) == 1:
        return looks[0].spread
    return sqrt(fmean(log1p(look.effect) ** 2 for look in looks))
