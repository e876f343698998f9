"""One configuration and metric: what pairs of processes, or stored records, say of candidate over base."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, expm1, log, sqrt
from statistics import fmean, stdev

from scipy.special import ndtr, ndtri, stdtr, stdtrit

# A factor of e**±36 is as good as any beyond: so that no bound overflows, and no effect is -100 %.
LARGEST_LOG = 36.0
# Metrics that are counted come out the same every time. Their ratios then have no spread but rounding, and a t value
# needs one: differences below this are none.
SMALLEST_SPREAD = 1e-9


@dataclass(frozen=True, slots=True)
class RatioTest:
    """The ratio of candidate to base, tested on both sides; all in natural logarithms but the probabilities.

    Attributes:
        mean: of the log ratios; lower, upper: one-sided bounds of it.
        p_worse: probability of a mean this high where there is no difference; p_better: of one this low.
        spread: of the mean, where there is no difference.
    """

    mean: float
    lower: float
    upper: float
    p_worse: float
    p_better: float
    spread: float

    @property
    def effect(self) -> float:
        """Candidate over base, less 1."""
        return relative(self.mean)

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the effect."""
        return relative(self.lower), relative(self.upper)


def paired_test(
    base: Sequence[float], candidate: Sequence[float], confidence: float, spread: float | None = None
) -> RatioTest:
    """Student's t test of the log ratios of pairs of processes, each pair measured back to back.

    Whatever a pair shares, such as the job's machine and its clock, cancels in the ratio; what differs from process to
    process is in the ratios' own spread. Iterations within a process are no sample of that: 43 % false alarms.

    Args:
        base, candidate: one positive median a process, pair by pair; at least two pairs.
        confidence: of each bound.
        spread: of the mean log ratio in A/A runs; where None, it is taken from base processes that follow each other.
    """
    ratios = [log(new) - log(old) for old, new in zip(base, candidate, strict=True)]
    n, mean = len(ratios), fmean(ratios)
    error = max(stdev(ratios), SMALLEST_SPREAD) / sqrt(n)
    reach = float(stdtrit(n - 1, confidence)) * error
    return RatioTest(
        mean=mean,
        lower=mean - reach,
        upper=mean + reach,
        p_worse=float(stdtr(n - 1, -mean / error)),
        p_better=float(stdtr(n - 1, mean / error)),
        spread=_base_spread(base) if spread is None else spread,
    )


def _base_spread(base: Sequence[float]) -> float:
    """Spread of the mean log ratio of as many pairs in which both processes are the base's."""
    steps = [log(later) - log(earlier) for earlier, later in pairwise(base)]
    return sqrt(fmean(step * step for step in steps) / len(base))


def stored_test(
    base: Sequence[float], candidate: Sequence[float], confidence: float, *, job_noise: float, process_noise: float
) -> RatioTest:
    """Test of records made at different times, by a normal distribution whose spread is assumed.

    Processes of one job share that job's speed, so that no number of them shows how much jobs differ; more of them only
    average their own noise away. That is taken as assumed, or as seen among them where they are noisier.

    Args:
        base, candidate: one positive median a process.
        confidence: of each bound.
        job_noise, process_noise: relative standard deviations.
    """
    arms = [[log(value) for value in arm] for arm in (base, candidate)]
    variance = 0.0
    for arm in arms:
        seen = stdev(arm) if len(arm) > 1 else 0.0
        variance += job_noise**2 + max(process_noise, seen) ** 2 / len(arm)
    spread = max(sqrt(variance), SMALLEST_SPREAD)
    mean = fmean(arms[1]) - fmean(arms[0])
    reach = float(ndtri(confidence)) * spread
    return RatioTest(
        mean=mean,
        lower=mean - reach,
        upper=mean + reach,
        p_worse=float(ndtr(-mean / spread)),
        p_better=float(ndtr(mean / spread)),
        spread=spread,
    )


def relative(log_ratio: float) -> float:
    """A log ratio as a relative difference."""
    return expm1(min(max(log_ratio, -LARGEST_LOG), LARGEST_LOG))


def geometric_mean(values: Sequence[float]) -> float:
    """Of positive values."""
    return exp(fmean(map(log, values)))
