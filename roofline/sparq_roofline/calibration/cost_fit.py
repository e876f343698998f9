"""The costs of `cost.py` fitted to measured times: most probable values under weak priors.

Residuals are of log times: a 20 µs call counts as much as a 100 ms one. Every cost has a log-normal prior, wide (a
factor of two to twenty either way) and relative to the device's own bandwidth, so that what the points do not tell
stays plausible, and none can be negative. K's layouts share what cannot depend on them: the host, launches, selection
and gathering; each has its own costs of streaming.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparq_roofline.calibration.cost import CROWDING, GROUP_OF, LEAST, beside

Floats = NDArray[np.float64]

COSTS = tuple(LEAST)
# Costs of which every layout of K has its own.
OF_A_LAYOUT = ("stream_slowdown", "compute_share", "position_s")

# Medians of the priors; times in multiples of the time of one byte at the device's bandwidth. A score is written and
# read once or twice as fp32; an instruction's worth of arithmetic beside a byte is a twentieth of its time; a head
# costs some KB, and a position of a head's own chain half a row. Then standard deviations of logarithms.
PRIORS: dict[str, tuple[float, float]] = {
    "launch_s": (4e-6, 2.0),  # seconds: a launch takes microseconds on every device
    "stream_slowdown": (0.25, 1.0),  # over 1
    "gather_slowdown": (1.0, 1.0),  # over 1
    "element_s": (8.0, 3.0),
    "compute_share": (0.05, 3.0),
    "piece_s": (1e4, 3.0),
    "position_s": (100.0, 3.0),
}
HOST_PRIOR = (1e-4, 1.5)  # seconds: some dozen launches of some µs; it cannot exceed the shortest time seen by much
OVERLAP_PRIOR = (3.0, 0.7)  # over 1
LARGEST_OVERLAP = 16.0  # beyond it the longer of host and device counts, whatever the number
ROUGH_NOISE = 0.04  # of the first fit, which has no factors to explain the rest


@dataclass(frozen=True, slots=True)
class Observations:
    """Configurations as the fit sees them.

    Attributes:
        columns: [n, costs] seconds that each amount takes at a cost of 1: bytes over the bandwidth, FLOPs over the
            peak, the other amounts as they are.
        places: [n, 4] log2 of `place.COORDINATES`.
        layouts: [n] which of K's layouts, from 0.
    """

    columns: Floats
    places: Floats
    layouts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a set of parameters makes of some configurations.

    Attributes:
        log_time: [n] logarithm of the time.
        loads: [n] for each group of costs (and ``host``), by how much log time rises with the log of its factor.
        sensitivity: [n, parameters] derivatives of log time.
    """

    log_time: Floats
    loads: dict[str, Floats]
    sensitivity: Floats


class CostFunction:
    """Log time and its derivatives as functions of the parameters.

    The parameters are logarithms: of the host's time, of the overlap over 1, and of each cost over its least; costs
    of a second and third layout follow.

    Args:
        n_layouts: layouts of K among the configurations.
    """

    def __init__(self, n_layouts: int) -> None:
        self.names = (*COSTS, *OF_A_LAYOUT * (n_layouts - 1))
        self._least = np.array([LEAST[name] for name in self.names])

    def priors(self, byte_s: float, peak_flop_per_s: float, shortest_s: float) -> tuple[Floats, Floats]:
        """Medians and standard deviations of the parameters."""
        relative = {"element_s", "piece_s", "position_s"}
        scale = {name: byte_s if name in relative else 1.0 for name in COSTS}
        scale["compute_share"] = byte_s * peak_flop_per_s
        medians = [min(HOST_PRIOR[0], shortest_s), OVERLAP_PRIOR[0], *(PRIORS[n][0] * scale[n] for n in self.names)]
        deviations = [HOST_PRIOR[1], OVERLAP_PRIOR[1], *(PRIORS[n][1] for n in self.names)]
        return np.log(medians), np.array(deviations)

    def expand(self, observations: Observations) -> Floats:
        """[n, names] columns, each layout's own costs in columns of their own."""
        own = [COSTS.index(name) for name in OF_A_LAYOUT]
        shared, blocks = observations.columns.copy(), []
        first = len(COSTS)
        while first < len(self.names):
            here = observations.layouts == 1 + (first - len(COSTS)) // len(own)
            blocks.append(observations.columns[:, own] * here[:, None])
            first += len(own)
        for column in own:
            shared[observations.layouts > 0, column] = 0.0
        return np.hstack([shared, *blocks])

    def costs(self, parameters: Floats, layout: int) -> dict[str, float]:
        """Every cost of one layout, and ``host_s`` and ``overlap``."""
        values = self._least + np.exp(parameters[2:])
        found = dict(zip(COSTS, values.tolist(), strict=False))
        if layout > 0:
            start = len(COSTS) + (layout - 1) * len(OF_A_LAYOUT)
            found |= dict(zip(OF_A_LAYOUT, values[start : start + len(OF_A_LAYOUT)].tolist(), strict=True))
        return {"host_s": float(np.exp(parameters[0])), "overlap": float(1 + np.exp(parameters[1])), **found}

    def evaluate(self, parameters: Floats, expanded: Floats) -> Evaluated:
        """Log time, loads and derivatives of configurations whose `expand` is given."""
        log_host, overlap = parameters[0], 1.0 + np.exp(parameters[1])
        terms = expanded * (self._least + np.exp(parameters[2:]))
        effective = self._effective(terms)
        device = (terms * effective).sum(axis=1)
        log_device = np.log(device)
        log_time = np.logaddexp(overlap * log_host, overlap * log_device) / overlap
        weight = np.exp(overlap * (log_device - log_time))  # of the device; the host has the rest
        host = 1.0 - weight
        slope = effective * (weight / device)[:, None]
        shares = terms * slope
        loads = {"host": host}
        for index, name in enumerate(self.names):
            if name in GROUP_OF:
                group = GROUP_OF[name]
                loads[group] = loads.get(group, 0.0) + shares[:, index]
        over_least = expanded * np.exp(parameters[2:]) * slope
        by_overlap = (host * log_host + weight * log_device - log_time) * (overlap - 1.0) / overlap
        return Evaluated(log_time, loads, np.column_stack([host, by_overlap, over_least]))

    def _effective(self, terms: Floats) -> Floats:
        """[n, names] by how much device time rises with each term: 1 but for streaming and the chain beside it."""
        streams = [i for i, name in enumerate(self.names) if GROUP_OF.get(name) == "stream"]
        chains = [i for i, name in enumerate(self.names) if GROUP_OF.get(name) == "position"]
        stream, chain = terms[:, streams].sum(axis=1), terms[:, chains].sum(axis=1)
        both = beside(stream, chain)
        effective = np.ones_like(terms)
        effective[:, streams] = ((stream / both) ** (CROWDING - 1))[:, None]
        effective[:, chains] = ((chain / both) ** (CROWDING - 1))[:, None]
        return effective


class CostFit:
    """Measured times, and the parameters that fit them best.

    Args:
        observations, log_times: what was measured, and logarithms of the times in seconds.
        byte_s: time of one byte at the device's bandwidth.
        peak_flop_per_s: the device's.
    """

    def __init__(self, observations: Observations, log_times: Floats, byte_s: float, peak_flop_per_s: float) -> None:
        self.function = CostFunction(int(observations.layouts.max()) + 1)
        self.expanded = self.function.expand(observations)
        self._shortest_s = float(np.exp(log_times.min()))
        self.medians, self.deviations = self.function.priors(byte_s, peak_flop_per_s, self._shortest_s)
        self._log_times = log_times

    def rough(self) -> Floats:
        """Parameters without any factors, by a fit that a disturbed or ill-fitting point bends little.

        Twice from different hosts: whether short calls wait for the host or the device is a fork.
        """
        best = None
        chains = [2 + i for i, name in enumerate(self.function.names) if name == "position_s"]
        for host, chain_shift in product((np.log(0.9 * self._shortest_s), self.medians[0]), (0.0, 4.0)):
            start = self.medians.copy()
            start[0] = host
            start[chains] += chain_shift
            found = self._solve(start, np.eye(len(self._log_times)) / ROUGH_NOISE, loss="soft_l1")
            best = found if best is None or found.cost < best.cost else best
        assert best is not None
        return np.asarray(best.x)

    def refined(self, parameters: Floats, covariance: Floats) -> Floats:
        """Parameters given the covariance of the residuals, from others near."""
        whiten = np.linalg.inv(np.linalg.cholesky(covariance))
        return np.asarray(self._solve(parameters, whiten, loss="linear").x)

    def _solve(self, start: Floats, whiten: Floats, loss: str) -> Any:
        from scipy.optimize import least_squares

        def residuals(parameters: Floats) -> Floats:
            found = self.function.evaluate(parameters, self.expanded)
            off = (parameters - self.medians) / self.deviations
            return np.concatenate([whiten @ (found.log_time - self._log_times), off])

        def jacobian(parameters: Floats) -> Floats:
            found = self.function.evaluate(parameters, self.expanded)
            return np.vstack([whiten @ found.sensitivity, np.diag(1.0 / self.deviations)])

        highest = np.full(start.size, np.inf)
        highest[1] = np.log(LARGEST_OVERLAP - 1.0)
        bounds = (-np.inf, highest)
        return least_squares(residuals, start, jac=jacobian, bounds=bounds, loss=loss, x_scale=self.deviations)
