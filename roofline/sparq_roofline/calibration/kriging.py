"""What the costs leave unexplained, as factors that vary smoothly with the size of each step.

Log time is the cost function's plus, for each group of costs, its load times the logarithm of its factor; a factor's
logarithm is a Gaussian process (Matérn 5/2) over the logarithms of the sizes that its step depends on. Kriging gives
the most probable factors and how far a prediction may be off, which is little near the points and more away from them.
How strong the factors are and over how many octaves they vary is fitted too, near what is usual.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparq_roofline.calibration.cost_fit import Evaluated, Observations
from sparq_roofline.calibration.factors import TABLES

Floats = NDArray[np.float64]

GROUPS = ("host", "stream", "select", "gather", "position")
# Those of which every layout of K has its own.
GROUPS_OF_A_LAYOUT = ("stream", "position")
# What is usual, and standard deviations of the logarithms: factors move by 15 % (the host's by half of that) over one
# and a half octaves of heads and positions, one of the rank, two of the number of keys.
STRENGTH = {"host": 0.08, "stream": 0.15, "select": 0.15, "gather": 0.15, "position": 0.15}
OCTAVES = (1.5, 1.5, 1.0, 2.0)
NOISE = 0.02
DEVIATIONS = (0.5, 0.4, 0.4)  # of strengths, octaves and noise
SMALLEST_NOISE, LARGEST_NOISE = 0.004, 0.2
# How much of the priors of the costs is left uncertain beside the factors.
COST_SHARE = 0.5
# Under a square root, whose slope at 0 is infinite.
TINY = 1e-12


class Part(NamedTuple):
    """The factor of one group of costs: of all layouts of K together, or of one by its index."""

    group: str
    layout: int | None

    def load(self, observations: Observations, evaluated: Evaluated) -> Floats:
        """[n] by how much log time rises with the logarithm of this factor."""
        load: Floats = evaluated.loads[self.group]
        return load if self.layout is None else np.where(observations.layouts == self.layout, load, 0.0)


@dataclass(frozen=True, slots=True)
class Prior:
    """Strengths of the parts present, octaves of the coordinates, and noise: logarithms, one after another."""

    parts: tuple[Part, ...]
    usual: Floats
    deviations: Floats

    @classmethod
    def of(cls, observations: Observations, evaluated: Evaluated) -> "Prior":
        """For the parts that bear any load."""
        layouts = range(int(observations.layouts.max()) + 1)
        every = [Part(g, i) for g in GROUPS for i in (layouts if g in GROUPS_OF_A_LAYOUT else (None,))]
        parts = tuple(
            part for part in every if part.group in evaluated.loads and np.any(part.load(observations, evaluated) > 0)
        )
        usual = np.log([*(STRENGTH[part.group] for part in parts), *OCTAVES, NOISE])
        strength, octaves, noise = DEVIATIONS
        return cls(parts, usual, np.array([*[strength] * len(parts), *[octaves] * len(OCTAVES), noise]))


class Kriging:
    """Factors fitted to the residuals of one `CostFit`.

    Args:
        observations, evaluated: the points, and what the costs make of them.
        residuals: [n] measured less fitted log time.
        extra_variance: [n] of points that are known to be disturbed.
        deviations: prior standard deviations of the costs' parameters.
        start: hyperparameters to begin at; None begins at the usual.

    Attributes:
        surprise: minus the logarithm of the probability of hyperparameters and residuals, less a constant.
        left_out: [n] residual of each point, by a fit of the factors without it; left_out_deviation: how far off
            that may be.
    """

    def __init__(
        self,
        observations: Observations,
        evaluated: Evaluated,
        residuals: Floats,
        extra_variance: Floats,
        deviations: Floats,
        start: Floats | None = None,
    ) -> None:
        self._seen, self._evaluated, self._residuals = observations, evaluated, residuals
        self._extra, self._deviations = extra_variance, deviations
        self.prior = Prior.of(observations, evaluated)
        self._loads = [part.load(observations, evaluated) for part in self.prior.parts]
        found = self._most_probable(self.prior.usual if start is None else start)
        self.hyperparameters, self.surprise = found
        noise = np.exp(2 * self.hyperparameters[-1])
        self.covariance = self._factors(observations, evaluated) + np.diag(noise + extra_variance)
        self._weights = np.linalg.solve(self.covariance, residuals)
        # With the costs' own uncertainty, for how far predictions may be off.
        self._inverse = np.linalg.inv(self.covariance + self._of_costs(evaluated, evaluated))
        precision = np.diag(self._inverse)
        self.left_out = self._inverse @ residuals / precision
        self.left_out_deviation = 1 / np.sqrt(precision)

    def log_factors(self, parts: Sequence[Part], places: Sequence[Floats]) -> tuple[Floats, Floats]:
        """Logarithms of factors, one part after another: most probable values and their covariance.

        Args:
            parts: of the `prior`, each once.
            places: for each part [n, 4] log2 of `place.COORDINATES`.
        """
        indices = [self.prior.parts.index(part) for part in parts]
        carried = [
            self._kernel(i, at, self._seen.places) * self._loads[i] for i, at in zip(indices, places, strict=True)
        ]
        toward = np.vstack(carried)
        covariance = -toward @ np.linalg.solve(self.covariance, toward.T)
        first = 0
        for index, at in zip(indices, places, strict=True):
            here = slice(first, first + len(at))
            covariance[here, here] += self._kernel(index, at, at)
            first += len(at)
        return toward @ self._weights, covariance

    def deviation(self, observations: Observations, evaluated: Evaluated) -> Floats:
        """[n] standard deviation of log times about their predictions, the noise of measuring included."""
        between = self._factors(observations, evaluated) + self._of_costs(evaluated, self._evaluated)
        costs = (evaluated.sensitivity * self._deviations * COST_SHARE) ** 2
        noise = np.exp(2 * self.hyperparameters[-1])
        variance = noise + costs.sum(axis=1)
        for index, part in enumerate(self.prior.parts):
            variance = variance + np.exp(2 * self.hyperparameters[index]) * part.load(observations, evaluated) ** 2
        variance -= np.einsum("ij,jk,ik->i", between, self._inverse, between)
        return np.asarray(np.sqrt(np.maximum(variance, noise)))

    def _of_costs(self, one: Evaluated, other: Evaluated) -> Floats:
        scale = (self._deviations * COST_SHARE) ** 2
        return np.asarray((one.sensitivity * scale) @ other.sensitivity.T)

    def _factors(self, observations: Observations, evaluated: Evaluated) -> Floats:
        total = np.zeros((len(observations.places), len(self._residuals)))
        for index, part in enumerate(self.prior.parts):
            loads = np.outer(part.load(observations, evaluated), self._loads[index])
            total += loads * self._kernel(index, observations.places, self._seen.places)
        return total

    def _kernel(self, index: int, places: Floats, others: Floats) -> Floats:
        distance = np.sqrt(sum(self._squares(index, places, others, self.hyperparameters)) + TINY)
        return np.asarray(np.exp(2 * self.hyperparameters[index]) * _matern(distance))

    def _squares(self, index: int, places: Floats, others: Floats, hyperparameters: Floats) -> list[Floats]:
        octaves = np.exp(hyperparameters[len(self.prior.parts) :])
        coordinates = TABLES[self.prior.parts[index].group]
        return [((places[:, None, i] - others[None, :, i]) / octaves[i]) ** 2 for i in coordinates]

    def _most_probable(self, start: Floats) -> tuple[Floats, float]:
        """Hyperparameters, and minus the logarithm of how probable they and the residuals are."""
        from scipy.optimize import minimize

        usual, parts, places = self.prior.usual, self.prior.parts, self._seen.places
        lowest, highest = usual - 2.5, usual + 2.5
        lowest[-1], highest[-1] = np.log(SMALLEST_NOISE), np.log(LARGEST_NOISE)
        loads = [np.outer(load, load) for load in self._loads]
        given = np.diag(self._extra) + self._of_costs(self._evaluated, self._evaluated)

        def objective(hyperparameters: Floats) -> tuple[float, Floats]:
            noise = np.exp(2 * hyperparameters[-1])
            covariance = given + noise * np.eye(len(self._residuals))
            pieces = []
            for index in range(len(parts)):
                squares = self._squares(index, places, places, hyperparameters)
                distance = np.sqrt(sum(squares) + TINY)
                scale = np.exp(2 * hyperparameters[index]) * loads[index]
                piece = scale * _matern(distance)
                pieces.append((piece, scale * _matern_slope(distance), squares))
                covariance = covariance + piece
            off = (hyperparameters - usual) / self.prior.deviations
            inverse = np.linalg.inv(covariance)
            weights = inverse @ self._residuals
            value = 0.5 * (self._residuals @ weights + np.linalg.slogdet(covariance)[1] + off @ off)
            by_covariance = 0.5 * (inverse - np.outer(weights, weights))
            gradient = off / self.prior.deviations
            for index, (piece, slope, squares) in enumerate(pieces):
                gradient[index] += 2 * np.sum(by_covariance * piece)
                for coordinate, square in zip(TABLES[parts[index].group], squares, strict=True):
                    gradient[len(parts) + coordinate] += np.sum(by_covariance * slope * square)
            gradient[-1] += 2 * noise * np.trace(by_covariance)
            return float(value), gradient

        bounds = list(zip(lowest, highest, strict=True))
        solution = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds)
        return np.asarray(solution.x), float(solution.fun)


def _matern(distance: Floats) -> Floats:
    scaled = np.sqrt(5.0) * distance
    return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled))


def _matern_slope(distance: Floats) -> Floats:
    """Minus the derivative of `_matern` by the logarithm of a length, over that coordinate's square."""
    scaled = np.sqrt(5.0) * distance
    return np.asarray(5 / 3 * (1 + scaled) * np.exp(-scaled))
