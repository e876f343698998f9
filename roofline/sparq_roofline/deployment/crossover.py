"""Where SparQ starts to win: the smallest sequence length or batch at which the whole step is faster."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
PROBES = 64
LONGEST = 2**20


def first_win(step_speedup: Callable[[Whole], Any], low: int, high: int) -> int | None:
    """Smallest whole number in [low, high] whose expected step speedup exceeds 1; None where there is none.

    The speedup is taken to rise once it has passed 1 between two probes; probes are spread evenly in the logarithm,
    then refined between the two that surround the crossing.
    """
    probes = np.unique(np.rint(np.geomspace(low, high, PROBES)).astype(np.int64))
    while True:
        wins = np.asarray(step_speedup(probes)) > 1
        if not wins.any():
            return None
        first = int(np.argmax(wins))
        if first == 0 or probes[first] - probes[first - 1] == 1:
            return int(probes[first])
        probes = np.unique(np.rint(np.linspace(probes[first - 1], probes[first], PROBES)).astype(np.int64))
