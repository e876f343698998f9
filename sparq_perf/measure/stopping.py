"""When to stop sampling, and what the samples say."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median
from typing import Literal

StopReason = Literal["noise", "timeout", "interrupted"]

CONFIDENCE = 0.95


@lru_cache(maxsize=1024)
def median_ranks(n: int, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """0-based ranks of the order statistics that hold the median with at least ``confidence``.

    From the binomial distribution (each sample lies below the median with probability 1/2), so nothing is assumed of
    the samples' distribution. Below 6 samples even the extremes hold it with less than 95 %.
    """
    # P(median < x_(j)) = P(Binomial(n, 1/2) < j) for the j-th smallest, counted from 1.
    tail = (1 - confidence) / 2
    # From ten standard deviations below the middle: what lies before has no weight, and 0.5**n is 0 above n = 1074.
    first = max(0, math.floor(n / 2 - 5 * math.sqrt(n)))
    log_ways = math.lgamma(n + 1) - math.lgamma(first + 1) - math.lgamma(n - first + 1)
    probability, cumulative, below = math.exp(log_ways - n * math.log(2)), 0.0, first
    for successes in range(first, n // 2 + 1):
        cumulative += probability
        if cumulative > tail:
            break
        below = successes + 1
        probability = probability * (n - successes) / (successes + 1)
    lower = max(below - 1, 0)
    return lower, n - 1 - lower


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """95 % confidence interval of the median, from order statistics; the extremes below 6 samples."""
    ordered = sorted(samples)
    lower, upper = median_ranks(len(ordered))
    return ordered[lower], ordered[upper]


def relative_noise(samples: Sequence[float]) -> float:
    """Half of the median's confidence interval over the median."""
    lower, upper = median_interval(samples)
    return (upper - lower) / 2 / median(samples)


@dataclass(slots=True)
class StoppingRule:
    """Sampling ends when the median is known well enough, or when time is up.

    Attributes:
        target_noise: relative noise to reach.
        minimum_samples: never fewer: below 6 the interval has not its confidence, from 9 on it leaves out the extremes.
        minimum_time_s: never less sampled time, so that short kernels are seen over more than an instant.
        timeout_s: elapsed time, flushes and all, at which to give up.
    """

    target_noise: float = 0.025
    minimum_samples: int = 9
    minimum_time_s: float = 0.05
    timeout_s: float = 8.0
    samples: list[float] = field(default_factory=list)

    def add(self, sample_s: float) -> None:
        """Take one sample."""
        self.samples.append(sample_s)

    def finished(self, elapsed_s: float) -> StopReason | None:
        """Why to stop now, or None to go on."""
        enough = len(self.samples) >= self.minimum_samples
        if enough and sum(self.samples) >= self.minimum_time_s and relative_noise(self.samples) <= self.target_noise:
            return "noise"
        if elapsed_s >= self.timeout_s and self.samples:
            return "timeout"
        return None
