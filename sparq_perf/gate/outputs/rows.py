"""An outcome in words: what every output shows, in its own form."""

from dataclasses import dataclass

from sparq_perf.gate.metrics import TITLES, UNITS, Metric
from sparq_perf.gate.outcome import Outcome, Side
from sparq_perf.gate.verdicts import Judgement, Verdict
from sparq_perf.report.wording import count, listed, moment, percent, si, significant, times_faster

NOTHING = "–"
# What each verdict says, for who has not read the documentation.
MEANINGS: dict[Verdict, str] = {
    "REGRESSED": "worse by more than the floor, significant among all tests, and seen again by fresh pairs",
    "INVALID": "could not be judged",
    "AMBIGUOUS": "neither a worsening nor its absence is shown",
    "IMPROVED": "better by more than the floor, significant among all tests",
    "SAME": "a worsening of the floor is excluded, or of largest_floor on a noisy machine",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One configuration and metric, in words.

    Attributes:
        passes: the verdict does not fail the gate.
        processes: how many pairs, or runs of each, the numbers are of.
        effect, interval, floor: relative; an en dash where there is none.
    """

    key: str
    metric: str
    verdict: Verdict
    passes: bool
    base: str = NOTHING
    candidate: str = NOTHING
    effect: str = NOTHING
    interval: str = NOTHING
    floor: str = NOTHING
    significance: str = NOTHING
    processes: str = NOTHING
    reasons: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """All that matters of it, in one line."""
        numbers = f" {self.effect} {self.interval}, {self.base} to {self.candidate}" if self.effect != NOTHING else ""
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return f"{self.metric} of {self.key}:{numbers or ' no numbers'}{why}"


def rows(outcome: Outcome) -> tuple[Row, ...]:
    """Every judgement, most alarming first."""
    return tuple(_row(judgement, judgement.verdict in outcome.green) for judgement in outcome.by_concern)


def _row(judgement: Judgement, passes: bool) -> Row:
    evidence = judgement.evidence
    common = (judgement.key, TITLES[judgement.metric], judgement.verdict, passes)
    if evidence is None:
        return Row(*common, reasons=judgement.reasons)
    lower, upper = (percent(end, signed=True) for end in evidence.interval)
    worse_is_shown = evidence.effect >= 0
    processes = f"{evidence.n_base} and {evidence.n_candidate} runs"
    if evidence.method == "paired":
        fresh = "fresh " if evidence is judgement.fresh else ""
        processes = count(evidence.n_base, f"{fresh}pair")
    return Row(
        *common,
        base=show(evidence.base, judgement.metric),
        candidate=show(evidence.candidate, judgement.metric),
        effect=percent(evidence.effect, signed=True),
        interval=f"[{lower}, {upper}]",
        floor=percent(evidence.floor),
        significance=_probability(evidence.q_worse if worse_is_shown else evidence.q_better),
        processes=processes,
        reasons=judgement.reasons,
    )


def show(value: float, metric: Metric) -> str:
    """A number with its unit."""
    return times_faster(value) if metric == "prediction_error" else si(value, UNITS[metric])


def _probability(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else significant(value, 2)


def headline(outcome: Outcome) -> str:
    """The whole comparison in one sentence."""
    tests = count(len(outcome.judgements), "test")
    if not outcome.judgements:
        return "Nothing was judged: there is nothing to compare."
    if outcome.exit_code == 1:
        return f"Regressed: {outcome.counts['REGRESSED']} of {tests}."
    if outcome.exit_code == 2:
        found = [f"{n} {verdict}" for verdict, n in outcome.counts.items() if n and verdict not in outcome.green]
        return f"Not judged: {listed(found)} of {tests}."
    return f"No regression in {tests}."


def counted(outcome: Outcome) -> str:
    """How often each verdict was given."""
    return ", ".join(f"{n} {verdict}" for verdict, n in outcome.counts.items() if n)


def side(side: Side) -> str:
    """A revision and how it was measured."""
    commits = f", commit {', '.join(side.commits)}" if side.commits else ""
    when = f", {moment(side.began)}" if side.began else ""
    return f"{side.label} ({count(side.n_runs, 'run')}{commits}{when})"


def how(outcome: Outcome) -> str:
    """What the intervals and verdicts rest on."""
    if outcome.method == "paired":
        return "pairs of processes measured in turn, t test on the logarithms of their ratios"
    return "stored records: noise between jobs is assumed, not seen"
