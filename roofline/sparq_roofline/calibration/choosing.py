"""Which measurements a calibration sees: spread over the sizes, or at random; never by their times."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from sparq_roofline.calibration.place import Place
from sparq_roofline.calibration.points import MeasuredPoint

Choice = Literal["spread", "random"]

# Each next point lies at least this share of the largest distance away from those chosen; which one, the seed decides.
NEARLY_FURTHEST = 0.8


def choose(points: Sequence[MeasuredPoint], n: int, seed: int, how: Choice = "spread") -> list[int]:
    """Indices of at most ``n`` points, ascending.

    ``spread`` begins at a random point, and takes again and again one of those furthest from all that it has, in
    logarithms of the sizes, each scaled to its range.
    """
    generator = np.random.default_rng(seed)
    n = min(n, len(points))
    if n == 0:
        return []
    if how == "random":
        return sorted(generator.choice(len(points), n, replace=False).tolist())
    sizes = np.log2([Place.of(point.shape, point.config) for point in points])
    span = np.ptp(sizes, axis=0)
    where = (sizes - sizes.min(axis=0)) / np.where(span > 0, span, 1.0)
    chosen = [int(generator.integers(len(points)))]
    distance = np.linalg.norm(where - where[chosen[0]], axis=1)
    while len(chosen) < n:
        distance[chosen] = -1.0  # also where several points lie at one place
        candidates = np.flatnonzero(distance >= NEARLY_FURTHEST * distance.max())
        chosen.append(int(generator.choice(candidates)))
        distance = np.minimum(distance, np.linalg.norm(where - where[chosen[-1]], axis=1))
    return sorted(chosen)
