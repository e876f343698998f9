"""Settings whose loss was measured on a real model, from which a sizing chooses in place of the recipe."""

from dataclasses import dataclass
from typing import Literal

from sparq_profiles import ConfigError, SparqConfig

# A sizing warns where its context is more than so many times the measured one, or less than this part of it.
FAR_CONTEXT = 2.0

Score = Literal["kl", "agreement", "perplexity", "accuracy"]

_WORDS: dict[Score, str] = {
    "kl": "KL {} nats",
    "agreement": "agreement {}",
    "perplexity": "perplexity {} of dense's",
    "accuracy": "accuracy {} below dense",
}


@dataclass(frozen=True, slots=True)
class MeasuredLoss:
    """What one setting lost on one model.

    Attributes:
        score: ``kl`` in nats, ``agreement`` as a share, ``perplexity`` over dense's, ``accuracy`` as the drop from
            dense's.
        stderr: of the value, over the examples; None where there is none.
        model: as the record names it; context: tokens that were read before the measured steps.
    """

    score: Score
    value: float
    stderr: float | None
    task: str
    n_examples: int
    context: int
    model: str

    def __str__(self) -> str:
        error = " without a standard error" if self.stderr is None else f" ± {self.stderr:.2g}"
        words = _WORDS[self.score].format(f"{self.value:.3g}{error}")
        examples = f"{self.n_examples:,} example{'' if self.n_examples == 1 else 's'}"
        return f"{words}, measured on {self.model}: {self.task}, {examples}, {self.context:,} tokens of context"


@dataclass(frozen=True, slots=True)
class MeasuredSetting:
    """One setting with its loss; the config's ``k_layout`` says nothing."""

    config: SparqConfig
    loss: MeasuredLoss


@dataclass(frozen=True, slots=True)
class MeasuredSettings:
    """What a sizing may choose from.

    Attributes:
        tolerance: as the caller wrote it.
        n_measured: settings of which some are within it.
        within: those whose loss is.
        reason: why none is; None where any is.
        notes: what a reader should know of the choice.
    """

    tolerance: str
    n_measured: int
    within: tuple[MeasuredSetting, ...]
    reason: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.within) == (self.reason is not None):
            raise ConfigError("measured settings: a reason must be given exactly where none is within the tolerance")

    def warnings(self, context: int) -> tuple[str, ...]:
        """What a sizing with prompts of ``context`` tokens should say of the evidence."""
        far = [
            measured
            for measured in dict.fromkeys(setting.loss.context for setting in self.within)
            if not 1 / FAR_CONTEXT <= context / measured <= FAR_CONTEXT
        ]
        return (
            *self.notes,
            *(
                f"losses were measured at {measured:,} tokens of context and {context:,} are sized: what a setting "
                "loses there was not measured"
                for measured in far
            ),
        )
