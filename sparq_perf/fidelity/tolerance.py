"""What loss of answers somebody accepts, as they write it: ``kl=0.05``, ``agreement=0.95``, ``perplexity=1.02``."""

import math
from dataclasses import dataclass
from typing import Literal, cast, get_args

from sparq_profiles import SparqPerfError

Metric = Literal["kl", "agreement", "perplexity", "accuracy"]
METRICS: tuple[Metric, ...] = get_args(Metric)

# The least and the most that makes sense of each: a perplexity is given as a ratio to dense.
_BOUNDS: dict[Metric, tuple[float, float]] = {
    "kl": (0.0, math.inf),
    "agreement": (0.0, 1.0),
    "perplexity": (1.0, math.inf),
    "accuracy": (0.0, 1.0),
}
_EXAMPLE: dict[Metric, str] = {
    "kl": "kl=0.05 (nats, at most)",
    "agreement": "agreement=0.95 (share of tokens, at least)",
    "perplexity": "perplexity=1.02 (over dense, at most)",
    "accuracy": "accuracy=0.01 (drop from dense, at most)",
}


class ToleranceError(SparqPerfError):
    """A tolerance that says nothing, or nothing that can be met."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A limit of one metric, in its own sense.

    Attributes:
        limit: ``kl``: mean KL of the next token in nats, at most; ``agreement``: share of the steps with dense's most
            probable token, at least; ``perplexity``: over dense's, at most; ``accuracy``: drop from dense's, at most.

    Raises:
        ToleranceError: an unknown metric, or a limit outside the metric's range.
    """

    metric: Metric
    limit: float

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ToleranceError(f"tolerance: metric is {self.metric!r}: choose one of {', '.join(METRICS)}")
        low, high = _BOUNDS[self.metric]
        if not math.isfinite(self.limit) or not low <= self.limit <= high:
            reach = f"at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
            raise ToleranceError(
                f"tolerance {self.metric}={self.limit:g}: the limit must be {reach}: such as {_EXAMPLE[self.metric]}"
            )

    @property
    def largest_loss(self) -> float:
        """The limit as a loss, of which less is better: 1 minus the agreement, the other limits as they are."""
        return 1.0 - self.limit if self.metric == "agreement" else self.limit

    def __str__(self) -> str:
        return f"{self.metric}={self.limit:g}"


# The first that a model was measured by is a report's headline.
DEFAULT_TOLERANCES = (
    Tolerance("kl", 0.05),
    Tolerance("kl", 0.01),
    Tolerance("agreement", 0.9),
    Tolerance("agreement", 0.95),
    Tolerance("perplexity", 1.05),
    Tolerance("perplexity", 1.02),
    Tolerance("accuracy", 0.01),
)


def parse_tolerance(text: str) -> Tolerance:
    """A tolerance from ``METRIC=LIMIT``.

    Raises:
        ToleranceError: not of that form, an unknown metric, or a limit that is no number in its range.
    """
    metric, equals, limit = (part.strip() for part in text.partition("="))
    if not equals or not metric or not limit:
        raise ToleranceError(f"tolerance {text!r}: write METRIC=LIMIT, such as {_EXAMPLE['kl']}")
    try:
        number = float(limit)
    except ValueError:
        example = _EXAMPLE[metric if metric in METRICS else "kl"]
        raise ToleranceError(f"tolerance {text!r}: {limit!r} is no number: such as {example}") from None
    return Tolerance(cast(Metric, metric), number)
