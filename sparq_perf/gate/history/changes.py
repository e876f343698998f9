"""Where the level of a series of numbers changed, by how much, and how sure that is.

Binary segmentation: the split with the largest difference of means, in units of its standard error, is a change if few
random orders of the same numbers have one as large; then both sides are searched. Orders are drawn, not a distribution
assumed, so that an outlier does not count for more than it is. Noise is taken to be independent from job to job: where
a machine drifts for days it is not, and what is found is a change of the machine. That is why it only warns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import false_discovery_control

from sparq_perf.gate.paired import SMALLEST_SPREAD, relative

Array = NDArray[np.float64]

# Fewer points than this on one side are no level yet.
FEWEST = 3
# Orders drawn, in turn, as long as hardly any has shown as large a difference: most series are settled by the first.
ORDERS = (199, 1_800, 18_000)
SETTLED = 10
MOST_AT_ONCE = 1_000_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Change:
    """A change of level.

    Attributes:
        index: of the first point after it.
        effect: level after it over the one before, less 1; interval: each end a one-sided 95 % bound.
        p: share of random orders with as large a change; q: adjusted for all series that were searched.
    """

    index: int
    effect: float
    interval: tuple[float, float]
    p: float
    q: float


@dataclass(frozen=True, slots=True)
class _Split:
    index: int
    p: float


def find_changes(
    series: Sequence[Sequence[float]], *, floors: Sequence[float], rate: float = 0.05, seed: int = 0
) -> list[list[Change]]:
    """Changes in each of some series of positive numbers, in the order of time.

    Args:
        series: each in the order of time.
        floors: of each series, the smallest relative change that counts.
        rate: share of series allowed to be flagged falsely among those flagged.
        seed: of the random orders: the same history gives the same changes.
    """
    logs = [np.log(np.asarray(values, dtype=np.float64)) for values in series]
    random = np.random.default_rng(seed)
    first = [_best_split(values, random) for values in logs]
    ps = [1.0 if split is None else split.p for split in first]
    qs = false_discovery_control(ps) if ps else []
    found = []
    for values, split, q, floor in zip(logs, first, qs, floors, strict=True):
        splits: dict[int, _Split] = {}
        if split is not None and q <= rate:
            _search(values, 0, split, rate, random, splits)
        found.append(_measured(values, splits, float(q), floor))
    return found


def _search(
    values: Array, start: int, split: _Split, rate: float, random: np.random.Generator, splits: dict[int, _Split]
) -> None:
    """A change that was found, and those on either side of it."""
    splits[start + split.index] = split
    for offset, part in ((0, values[: split.index]), (split.index, values[split.index :])):
        further = _best_split(part, random)
        if further is not None and further.p <= rate / 2:  # of two sides
            _search(part, start + offset, further, rate, random, splits)


def _best_split(values: Array, random: np.random.Generator) -> _Split | None:
    """The largest change of one stretch, and how often chance has one as large; None where it is too short."""
    if len(values) < 2 * FEWEST:
        return None
    scores = _scores(values[None, :])[0]
    largest = float(scores.max())
    if largest <= SMALLEST_SPREAD**2:  # a constant, but for rounding
        return None
    as_large = drawn = 0
    for n in ORDERS:
        if as_large >= SETTLED:
            break
        # Rounding must not make an order that is the same one look smaller.
        as_large += sum(_count_above(values, size, largest * (1 - 1e-9), random) for size in _batches(n, len(values)))
        drawn += n
    return _Split(int(scores.argmax()) + FEWEST, (as_large + 1) / (drawn + 1))


def _batches(n: int, width: int) -> list[int]:
    """Sizes in which ``n`` orders of ``width`` numbers are drawn, so that they fit in memory."""
    size = max(MOST_AT_ONCE // width, 1)
    return [min(size, n - drawn) for drawn in range(0, n, size)]


def _count_above(values: Array, n: int, largest: float, random: np.random.Generator) -> int:
    orders = random.permuted(np.broadcast_to(values, (n, len(values))), axis=1)
    return int((_scores(orders).max(axis=1) >= largest).sum())


def _scores(rows: Array) -> Array:
    """What every allowed split of every row explains of its sum of squares: [rows, splits].

    All orders of the same numbers have the same sum, so that who explains most has the largest t value too.
    """
    n = rows.shape[1]
    before = np.arange(FEWEST, n - FEWEST + 1)
    centred = rows - rows.mean(axis=1, keepdims=True)
    sums = np.cumsum(centred, axis=1)[:, before - 1]
    # Of a centred row, the sum before a split is minus the one after it.
    scores: Array = sums**2 * (1 / before + 1 / (n - before))
    return scores


def _measured(values: Array, splits: dict[int, _Split], q: float, floor: float) -> list[Change]:
    """Effect and interval of each change between the levels next to it; levels closer than the floor are one."""
    kept = sorted(splits)
    while kept:
        differences = [abs(_difference(*sides)) for sides in _sides(values, kept)]
        smallest = min(range(len(kept)), key=differences.__getitem__)
        if differences[smallest] >= log1p(floor):
            break
        del kept[smallest]
    changes = []
    for index, (before, after) in zip(kept, _sides(values, kept), strict=True):
        mean = _difference(before, after)
        variance = float(before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after))
        reach = float(stdtrit(_freedom(before, after), CONFIDENCE)) * max(sqrt(variance), SMALLEST_SPREAD)
        interval = (relative(mean - reach), relative(mean + reach))
        changes.append(Change(index, relative(mean), interval, splits[index].p, q))
    return changes


def _sides(values: Array, splits: Sequence[int]) -> list[tuple[Array, Array]]:
    """The levels before and after each split."""
    ends = [0, *splits, len(values)]
    return [(values[ends[at - 1] : ends[at]], values[ends[at] : ends[at + 1]]) for at in range(1, len(ends) - 1)]


def _difference(before: Array, after: Array) -> float:
    return float(after.mean() - before.mean())


def _freedom(before: Array, after: Array) -> float:
    """Degrees of freedom of the difference of two means (Welch)."""
    parts = [float(side.var(ddof=1)) / len(side) for side in (before, after)]
    squares = sum(part**2 / (len(side) - 1) for part, side in zip(parts, (before, after), strict=True))
    return sum(parts) ** 2 / squares if squares > 0 else float(len(before) + len(after) - 2)
