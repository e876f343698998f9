"""Most probable tables of factors among those with which more work never takes less time.

A factor may fall with a size, but not as fast as the cost that it multiplies rises. Between neighbouring nodes of a
table that is one linear inequality; kriging gives the most probable values at the nodes and their covariance; what is
wanted is the most probable point where all inequalities hold, a quadratic programme whose dual is a least-squares
problem without negative unknowns.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sparq_roofline.calibration.factors import Axis

Floats = NDArray[np.float64]

# Rounds that add inequalities violated by the solution so far; two or three are usual.
ROUNDS = 20
TOLERANCE = 1e-9


def slopes(axes: Sequence[Axis], least_exponents: Sequence[float]) -> tuple[Floats, Floats]:
    """Inequalities ``rows @ logs >= least`` by which ``factor · size^exponent`` never falls along any axis.

    Args:
        axes: the table's; ``logs`` has its nodes flat, the last axis running fastest.
        least_exponents: one for each axis.
    """
    shape = [axis.nodes for axis in axes]
    index = np.arange(int(np.prod(shape))).reshape(shape)
    rows, least = [], []
    for direction, (axis, exponent) in enumerate(zip(axes, least_exponents, strict=True)):
        below = np.moveaxis(index, direction, 0)[:-1].ravel()
        above = np.moveaxis(index, direction, 0)[1:].ravel()
        block = np.zeros((below.size, index.size))
        block[np.arange(below.size), below] = -1.0
        block[np.arange(below.size), above] = 1.0
        rows.append(block)
        least.append(np.full(below.size, -exponent * axis.step * np.log(2.0)))
    return np.vstack(rows), np.concatenate(least)


def most_probable(mean: Floats, covariance: Floats, rows: Floats, least: Floats) -> Floats:
    """The point of highest density of a normal distribution where ``rows @ point >= least``."""
    from scipy.optimize import nnls

    point, active = mean, np.zeros(len(rows), dtype=bool)
    for _ in range(ROUNDS):
        violated = rows @ point < least - TOLERANCE
        if not np.any(violated & ~active):
            break
        active |= violated
        chosen = rows[active]
        spread = chosen @ covariance @ chosen.T
        spread += np.eye(len(spread)) * (1e-10 + 1e-8 * np.trace(spread) / len(spread))
        root = np.linalg.cholesky(spread).T
        target = np.linalg.solve(root.T, least[active] - chosen @ mean)
        pushes, _ = nnls(root, target, maxiter=100 * len(spread))
        point = mean + covariance @ chosen.T @ pushes
    return np.asarray(point)
