"""Processes that never ran, from a model of their noise: what the gate's rules, and simpler ones, make of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, ttest_1samp

from sparq_perf.gate.judging import judge, wanting
from sparq_perf.gate.metrics import Metric
from sparq_perf.gate.series import Series
from sparq_perf.gate.settings import GateSettings
from sparq_perf.gate.verdicts import Judgement

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """Relative standard deviations of times, each normal in the logarithm and independent of the others.

    Attributes:
        within: of iterations of one process; process: of processes of one job; job: of jobs.
        n_samples: iterations of a process.
    """

    within: float = 0.003
    process: float = 0.008
    job: float = 0.03
    n_samples: int = 40

    def iterations(self, random: np.random.Generator, n: int) -> Array:
        """Logarithms of ``n`` processes' iterations, each process in a job of its own: [n, n_samples]."""
        levels = random.normal(0, self.process, n)
        return levels[:, None] + random.normal(0, self.within, (n, self.n_samples))

    def medians(self, random: np.random.Generator, *shape: int) -> Array:
        """Logarithms of the medians of processes that share one job."""
        # A median's standard error is sqrt(pi / 2) of the mean's.
        of_median = self.within * sqrt(pi / 2 / self.n_samples)
        return random.normal(0, self.process, shape) + random.normal(0, of_median, shape)

    def jobs(self, random: np.random.Generator, *shape: int) -> Array:
        """Logarithms of the medians of processes, each in a job of its own."""
        return self.medians(random, *shape) + random.normal(0, self.job, shape)


def simulate_gate(
    random: np.random.Generator,
    settings: GateSettings,
    *,
    n_configurations: int,
    slowdowns: Mapping[int, float] | None = None,
    metrics: tuple[Metric, ...] = ("time",),
    noise: NoiseModel | None = None,
) -> tuple[Judgement, ...]:
    """One whole gate run: the first pairs of every configuration, then fresh pairs of those that want them.

    ``slowdowns`` has factors of the time by the configuration's index; the other metrics never change.
    """
    noise, slowdowns = noise or NoiseModel(), slowdowns or {}
    keys = [str(index) for index in range(n_configurations)]
    tests = [(key, metric) for key in keys for metric in metrics]

    def measure() -> list[tuple[Array, Array]]:
        arms = noise.medians(random, len(tests), 2, settings.pairs) + random.normal(0, noise.job, (len(tests), 1, 1))
        for row, (key, metric) in enumerate(tests):
            if metric == "time":
                arms[row, 1] += log(slowdowns.get(int(key), 1.0))
        times = np.exp(arms)
        return [(row[0], row[1]) for row in times]

    first = measure()
    judgements = judge(_series(tests, first, {}), settings)
    again = set(wanting(judgements))
    if not again:
        return judgements
    fresh = {test: numbers for test, numbers in zip(tests, measure(), strict=True) if test[0] in again}
    return judge(_series(tests, first, fresh), settings)


def simulate_stored(
    random: np.random.Generator,
    settings: GateSettings,
    *,
    n_configurations: int,
    slowdowns: Mapping[int, float] | None = None,
    noise: NoiseModel | None = None,
    job_is_shared: bool = True,
) -> tuple[Judgement, ...]:
    """One run of each revision, made in different jobs.

    ``job_is_shared``: a job is as much faster or slower for one configuration as for the next; else each has its own.
    """
    noise, slowdowns = noise or NoiseModel(), slowdowns or {}
    arms = noise.medians(random, n_configurations, 2)
    arms += random.normal(0, noise.job, (1 if job_is_shared else n_configurations, 2))
    for index, slowdown in slowdowns.items():
        arms[index, 1] += log(slowdown)
    times = np.exp(arms).tolist()
    series = [Series(str(index), "time", (base,), (new,)) for index, (base, new) in enumerate(times)]
    return judge(series, settings, "stored")


def _series(
    tests: list[tuple[str, Metric]],
    first: list[tuple[Array, Array]],
    fresh: Mapping[tuple[str, Metric], tuple[Array, Array]],
) -> list[Series]:
    made = []
    for test, arms in zip(tests, first, strict=True):
        more = fresh.get(test)
        base, candidate = (
            tuple((arm if more is None else np.concatenate([arm, more[index]])).tolist())
            for index, arm in enumerate(arms)
        )
        made.append(Series(test[0], test[1], base, candidate))
    return made


def pooled_ranks(random: np.random.Generator, n: int, noise: NoiseModel, slowdown: float = 1.0) -> Array:
    """Significance (p) by a one-sided rank test of one process's pooled iterations against another's, ``n`` times."""
    base, candidate = noise.iterations(random, n), noise.iterations(random, n) + log(slowdown)
    found: Any = mannwhitneyu(candidate, base, alternative="greater", axis=1, method="asymptotic")
    return np.asarray(found.pvalue)


def stored_ratios(random: np.random.Generator, n: int, noise: NoiseModel, slowdown: float = 1.0) -> Array:
    """Ratios of one process to a stored one of another job, ``n`` times."""
    return np.exp(noise.jobs(random, n) - noise.jobs(random, n) + log(slowdown))


def paired_ps(random: np.random.Generator, n: int, n_pairs: int, noise: NoiseModel, slowdown: float = 1.0) -> Array:
    """Significance (p) by the one-sided paired t test, ``n`` times."""
    ratios = noise.medians(random, n, n_pairs) - noise.medians(random, n, n_pairs) + log(slowdown)
    found: Any = ttest_1samp(ratios, 0.0, axis=1, alternative="greater")
    return np.asarray(found.pvalue)
