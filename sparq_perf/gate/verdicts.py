"""What the gate says of one configuration and metric, with the evidence; frozen, validated, serialisable."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from sparq_perf.gate.metrics import Metric
from sparq_perf.records.line import NonNegative, Positive, Share, Text
from sparq_profiles.quantity import Frozen

Verdict = Literal["REGRESSED", "INVALID", "AMBIGUOUS", "IMPROVED", "SAME"]
# Most alarming first.
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

# How the noise of a ratio is known: from pairs of processes taken in turn, or assumed, for records made at other times.
Method = Literal["paired", "stored"]

Effect = Annotated[float, Field(gt=-1)]


class Evidence(Frozen):
    """What a set of processes says of one configuration and metric.

    Attributes:
        n_base, n_candidate: processes; equal where they are pairs.
        base, candidate: geometric means of the processes' medians, in the metric's unit.
        effect: candidate over base, less 1: positive is worse.
        interval: each end of it is a one-sided bound of the effect, at the settings' confidence.
        p_worse, p_better: one-sided; q_worse, q_better: adjusted for all tests judged together (Benjamini, Hochberg).
        spread: of the effect where nothing changed, in logarithms: measured A/A, or among the base's own processes.
        floor: an effect below it is none, however significant.
        excluded: SAME means that a worsening of this much is excluded; less than the floor on a noisy machine.
    """

    method: Method
    n_base: Annotated[int, Field(ge=1)]
    n_candidate: Annotated[int, Field(ge=1)]
    base: Positive
    candidate: Positive
    effect: Effect
    interval: tuple[Effect, Effect]
    p_worse: Share
    p_better: Share
    q_worse: Share
    q_better: Share
    spread: NonNegative
    floor: Positive
    excluded: Positive

    @model_validator(mode="after")
    def _effect_is_inside(self) -> "Evidence":
        if not self.interval[0] <= self.effect <= self.interval[1]:
            raise ValueError(f"interval {self.interval} does not hold the effect {self.effect}")
        if self.method == "paired" and self.n_base != self.n_candidate:
            raise ValueError(f"{self.n_base} base and {self.n_candidate} candidate processes are no pairs")
        return self


class Judgement(Frozen):
    """The verdict on one configuration and metric.

    Attributes:
        reasons: why it is INVALID or AMBIGUOUS; or what a reader of another verdict should know.
        first: of the first pairs; None where there was nothing to compare.
        fresh: of the pairs that were measured to confirm it; None where none were needed, or none are there yet.
        together: of all pairs, where neither part decides alone and both together exclude a worsening.
    """

    key: Text
    metric: Metric
    verdict: Verdict
    reasons: tuple[Text, ...] = ()
    first: Evidence | None = None
    fresh: Evidence | None = None
    together: Evidence | None = None

    @property
    def evidence(self) -> Evidence | None:
        """What decided: fresh pairs did not raise the suspicion, so that their effect is not exaggerated by it."""
        return self.together or self.fresh or self.first

    @model_validator(mode="after")
    def _verdict_rests_on_something(self) -> "Judgement":
        if self.verdict in ("INVALID", "AMBIGUOUS") and not self.reasons:
            raise ValueError(f"{self.verdict} needs a reason")
        if self.verdict != "INVALID" and self.first is None:
            raise ValueError(f"{self.verdict} needs evidence")
        return self
