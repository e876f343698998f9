"""What the statistics are given: one configuration and metric, a number a process."""

from collections.abc import Sequence
from dataclasses import dataclass

from sparq_perf.gate.metrics import Metric


@dataclass(frozen=True, slots=True)
class Series:
    """One configuration and metric in both revisions.

    Attributes:
        key: identifies the configuration; any text.
        base, candidate: the median of each process, in the metric's unit; where they are pairs, in the pairs' order.
        invalid: why there can be no verdict; empty where nothing speaks against one.
        aa_spread: standard deviation of the mean log ratio in A/A runs of this configuration; None where not known.
        remarks: what a reader should know of the numbers.
    """

    key: str
    metric: Metric
    base: tuple[float, ...] = ()
    candidate: tuple[float, ...] = ()
    invalid: tuple[str, ...] = ()
    aa_spread: float | None = None
    remarks: tuple[str, ...] = ()

    def part(self, pairs: slice) -> tuple[Sequence[float], Sequence[float]]:
        """Some of the pairs."""
        return self.base[pairs], self.candidate[pairs]
