"""The scores that charts are drawn of, and a point's place and error bar in one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sparq_perf.fidelity.frontier import SettingPoint
from sparq_perf.fidelity.tolerance import Tolerance
from sparq_perf.report.wording import significant

# Below this a KL is rounding: drawn here, its number in the hover text.
LEAST_KL = 1e-6


@dataclass(frozen=True, slots=True)
class Score:
    """A score that charts are drawn of.

    Attributes:
        log: its axis is logarithmic; better: ``low`` or ``high``.
    """

    name: str
    title: str
    log: bool
    better: str

    @property
    def sign(self) -> int:
        """Times this, less is better."""
        return -1 if self.better == "high" else 1


SCORES = (
    Score("kl_nats", "KL from dense (nats)", True, "low"),
    Score("accuracy", "Accuracy", False, "high"),
    Score("rouge_l", "ROUGE-L", False, "high"),
    Score("matched_characters", "Characters repeated", False, "high"),
    Score("agreement", "Agreement with dense", False, "high"),
    Score("perplexity", "Perplexity", False, "low"),
    Score("output_error", "Output error", False, "low"),
    Score("recall", "Top-k recall", False, "high"),
)


def value_of(point: SettingPoint, score: Score) -> float | None:
    """A score of a point; None where the records have none."""
    value = point.scores.get(score.name)
    return value if value is not None and math.isfinite(value) else None


def signed(point: SettingPoint, score: Score) -> float | None:
    """The score so that less is better; None without it."""
    value = value_of(point, score)
    return None if value is None else score.sign * value


def drawn(point: SettingPoint, score: Score) -> float:
    """Where a point stands on the score's axis: a KL below `LEAST_KL` at that."""
    value = value_of(point, score)
    assert value is not None
    return max(value, LEAST_KL) if score.log else value


def ends(point: SettingPoint, score: Score) -> tuple[float, float]:
    """Lengths of the error bar down and up; on a logarithmic axis it ends above 0."""
    error, value = point.stderr.get(score.name, 0.0), drawn(point, score)
    return (min(error, 0.95 * value) if score.log else error), error


def told(point: SettingPoint, score: Score) -> str:
    """The score with its error and n, for hover texts."""
    error = point.stderr.get(score.name)
    value = point.scores[score.name]
    n = point.bench.n_examples
    spread = f" ± {significant(error, 2)}" if error is not None else ""
    return f"{score.title}: {significant(value, 3)}{spread}, n = {n}"


def limits_of(score: Score, tolerances: Sequence[Tolerance]) -> list[float]:
    """Tolerances that are limits of this very score."""
    metric = {"kl_nats": "kl", "agreement": "agreement"}.get(score.name)
    return [t.limit for t in tolerances if t.metric == metric and (t.limit > 0 or not score.log)]
