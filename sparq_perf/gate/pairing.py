"""Which runs of base and candidate are pairs: those that were made one right after the other."""

from collections.abc import Sequence
from dataclasses import dataclass

from sparq_perf.gate.runs import ProcessRun


@dataclass(frozen=True, slots=True)
class Pairing:
    """Runs of both revisions, in the order of time.

    Attributes:
        pairs: base and candidate.
        n_alone: runs that stand in no pair.
        base_first: pairs whose base ran first.
    """

    pairs: tuple[tuple[ProcessRun, ProcessRun], ...]
    n_alone: int
    base_first: int

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader should know of how the runs were made."""
        remarks = []
        if self.n_alone:
            remarks.append(f"{self.n_alone} runs stand in no pair and are not used")
        if len(self.pairs) > 1 and self.base_first in (0, len(self.pairs)):
            first = "base" if self.base_first else "candidate"
            remarks.append(
                f"the {first} ran first in every pair: a machine that slows down or speeds up during the runs is taken "
                "for a difference; take turns (ABBA)"
            )
        return tuple(remarks)


def pair_up(base: Sequence[ProcessRun], candidate: Sequence[ProcessRun]) -> Pairing:
    """Pairs of neighbours in time that are one run of each.

    Runs made in turn, in whatever order within a pair, come out as pairs: ABBA, ABAB. Runs of one revision made after
    all of the other's share nothing with a partner, and at most one pair is found.
    """
    in_time = sorted(
        [*((run, True) for run in base), *((run, False) for run in candidate)], key=lambda item: item[0].began
    )
    pairs, base_first, alone, index = [], 0, 0, 0
    while index < len(in_time):
        (run, is_base), following = in_time[index], in_time[index + 1 : index + 2]
        if following and following[0][1] != is_base and following[0][0].began >= run.ended:
            other, other_is_base = following[0]
            sides = {is_base: run, other_is_base: other}
            pairs.append((sides[True], sides[False]))  # no pair, and no verdict, of two runs of one revision
            base_first += is_base
            index += 2
        else:
            alone += 1
            index += 1
    return Pairing(tuple(pairs), alone, base_first)
