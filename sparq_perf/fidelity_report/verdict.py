"""Recommendations in words: what to take, how sure that is, and what else is as good."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sparq_perf.fidelity.frontier import Bench, Loss, Recommendation, SettingPoint, loss_of
from sparq_perf.fidelity.tolerance import Metric, Tolerance
from sparq_perf.report.settings import other_settings
from sparq_perf.report.wording import count, listed, significant
from sparq_profiles import SparqConfig

Names = Mapping[SparqConfig | None, str]
Sureness = Literal["ok", "invalid", "failed"]
# The page's chips: green where it is sure, amber where the noise decides, red where nothing is within.
CHIPS: dict[str, tuple[Sureness, str]] = {
    "within": ("ok", "within"),
    "undecided": ("invalid", "not sure"),
    "outside": ("failed", "none within"),
    "unknown": ("invalid", "not measured"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One tolerance's answer in one bench.

    Attributes:
        asked: the tolerance in words; chip: the class and the words of its sureness.
        setting: its name; None where there is none. transfers: in words.
        loss: with its standard error.
        notes: what else a reader should know, a sentence each.
    """

    asked: str
    chip: tuple[Sureness, str]
    setting: str | None
    transfers: str | None
    loss: str | None
    notes: tuple[str, ...]
    point: SettingPoint | None

    @property
    def rest(self) -> str:
        """The settings that ``setting`` leaves out."""
        words = other_settings(self.point.config).split(", ") if self.point and self.setting else []
        return ", ".join(word for word in words if word not in (self.setting or ""))

    @property
    def headline(self) -> str:
        """The setting, what it transfers and loses; or that there is none."""
        if self.point is None:
            return f"For {self.asked}: {self.notes[0]}"
        share = f"{self.point.transfer_ratio:.2g} of the dense transfers"
        return f"For {self.asked}: {self.setting}, {share}, {self.loss}."

    @property
    def sentence(self) -> str:
        """The headline, and how sure it is."""
        return " ".join((self.headline, *(self.notes if self.point is not None else ())))


def asked_words(tolerance: Tolerance) -> str:
    """A tolerance in words."""
    limit = f"{tolerance.limit:g}"
    return {
        "kl": f"KL at most {limit} nats",
        "agreement": f"agreement of at least {tolerance.limit * 100:g}\u00a0%",
        "perplexity": f"perplexity at most {limit}\u00a0× dense",
        "accuracy": f"accuracy at most {limit} below dense",
    }[tolerance.metric]


def loss_words(loss: Loss, metric: Metric) -> str:
    """A loss as the metric is read, with its standard error."""
    error = f"\u00a0±\u00a0{_near(loss.stderr, loss.value)}" if loss.stderr is not None and loss.paired else ""
    if metric == "kl":
        return f"KL {significant(loss.value, 2)}{error}\u00a0nats"
    if metric == "agreement":
        spread = f"\u00a0±\u00a0{loss.stderr * 100:.1f}" if loss.stderr is not None else ""
        return f"agreement {(1 - loss.value) * 100:.1f}{spread}\u00a0%"
    if metric == "perplexity":
        return f"perplexity {loss.value:.3f}{error}\u00a0× dense"
    return f"accuracy {abs(loss.value):.3f}{error} {'above' if loss.value < 0 else 'below'} dense"


def transfer_words(ratio: float) -> str:
    """A transfer ratio as a share and as a number: 1/4.0 (0.251)."""
    return f"1/{1 / ratio:.1f} ({ratio:.3f})" if ratio > 0 else "0"


def answer(found: Recommendation, bench: Bench, names: Names) -> Answer:
    """A recommendation in words."""
    metric = found.tolerance.metric
    asked, chip = asked_words(found.tolerance), CHIPS[found.judgement]
    if found.point is None:
        return Answer(asked, chip, None, None, None, (_nothing(found, names),), None)
    assert found.loss is not None
    return Answer(
        asked,
        chip,
        names[found.point.config],
        transfer_words(found.point.transfer_ratio),
        loss_words(found.loss, metric),
        tuple(_notes(found, found.loss, bench, names)),
        found.point,
    )


def _nothing(found: Recommendation, names: Names) -> str:
    metric = found.tolerance.metric
    if found.judgement == "unknown":
        return f"not measured: no setting here has {'an' if metric in ('accuracy', 'agreement') else 'a'} {metric}."
    near = found.nearest
    loss = loss_of(near, metric) if near else None
    if near is None or loss is None:
        return "no measured setting is within."
    return f"no measured setting is within; the nearest is {names[near.config]} with {loss_words(loss, metric)}."


def _notes(found: Recommendation, loss: Loss, bench: Bench, names: Names) -> list[str]:
    notes = []
    if found.judgement == "undecided":
        notes.append(_why_undecided(loss, bench))
    if found.alike:
        what = "not told apart by the standard errors" if loss.paired and loss.stderr is not None else "losing the same"
        notes.append(f"As cheap, and {what}: {listed(names[point.config] for point in found.alike)}.")
    cheaper = found.cheaper_undecided
    if cheaper is not None:
        other = loss_of(cheaper, found.tolerance.metric)
        assert other is not None
        notes.append(
            f"Cheaper, and its mean is within, but not with its standard error: {names[cheaper.config]} "
            f"({transfer_words(cheaper.transfer_ratio)}, {loss_words(other, found.tolerance.metric)})."
        )
    return notes


def _why_undecided(loss: Loss, bench: Bench) -> str:
    if loss.stderr is None:
        return f"Not sure: {count(bench.n_examples, 'example')} and no standard error: the mean alone is within."
    if not loss.paired:
        return (
            "Not sure: the mean is within, and the records hold no standard error of the difference from dense, only "
            f"the examples' own spread (± {significant(loss.stderr, 2)})."
        )
    return "Within the noise: the mean is within, and with its standard error it is not."


def _near(error: float, value: float) -> str:
    """An error with as many decimals as two digits of the value have."""
    digits = significant(value, 2)
    decimals = len(digits.partition(".")[2])
    return f"{error:.{decimals}f}" if error >= 0.5 * 10**-decimals or error == 0 else significant(error, 1)
