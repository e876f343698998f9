"""How often the gate alarms wrongly, and what it finds, on processes simulated from a model of their noise.

The model: relative standard deviations of 0.3 % within a process, 0.8 % between processes, 3 % between jobs. Bounds are
exact (Clopper and Pearson), one-sided, 95 %. Takes some minutes.
"""

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from sparq_perf.gate.false_alarms import rate
from sparq_perf.gate.history.changes import find_changes
from sparq_perf.gate.judging import judge, wanting
from sparq_perf.gate.metrics import METRICS, Metric
from sparq_perf.gate.series import Series
from sparq_perf.gate.settings import GateSettings
from sparq_perf.gate.simulating import (
    NoiseModel,
    paired_ps,
    pooled_ranks,
    simulate_gate,
    simulate_stored,
    stored_ratios,
)
from sparq_perf.gate.verdicts import Judgement

SEED = 20260314
TRIALS = 200
MANY = 20_000
N_CONFIGURATIONS = 100
NOISE = NoiseModel()
SETTINGS = GateSettings()


def line(what: str, n: int, trials: int, wanted: str = "") -> None:
    """One row of the table."""
    found = rate(n, trials)
    bounds = f"{found.lower:6.1%} to {found.upper:6.1%}"
    print(f"{what:<72} {n:>6} of {trials:>6} {found.seen:>7.1%}  {bounds}  {wanted}")


def naive(random: np.random.Generator) -> None:
    """Rules that are often used."""
    print("\nsimpler rules, one configuration                                         events              rate  bounds")
    line(
        "one process each, iterations pooled, rank test p < 0.002",
        alarms(pooled_ranks(random, MANY, NOISE), 0.002),
        MANY,
    )
    for threshold in (0.05, 0.10):
        ratios = stored_ratios(random, MANY, NOISE)
        line(f"stored baseline, threshold {threshold:.0%}", int((ratios > 1 + threshold).sum()), MANY)
    for level in (0.01, 0.005):
        line(f"8 pairs, one-sided paired t, p < {level:g}", alarms(paired_ps(random, MANY, 8, NOISE), level), MANY)
        line("    found: +3 %", alarms(paired_ps(random, MANY, 8, NOISE, 1.03), level), MANY)
    print("100 configurations")
    raw = paired_ps(random, MANY, 8, NOISE).reshape(-1, N_CONFIGURATIONS)
    line("8 pairs, any configuration with p < 0.01", int((raw < 0.01).any(axis=1).sum()), len(raw))
    unconfirmed = GateSettings(confirm=False)
    trials = [simulate_gate(random, unconfirmed, n_configurations=N_CONFIGURATIONS) for _ in range(TRIALS)]
    n = sum(has(trial, "REGRESSED") for trial in trials)
    line("8 pairs, Benjamini-Hochberg at 5 %, 2 % floor, not confirmed", n, TRIALS)


def alarms(ps: np.ndarray, level: float) -> int:
    """How many are significant."""
    return int((ps < level).sum())


def has(judgements: tuple[Judgement, ...], *verdicts: str) -> bool:
    """Whether any of them was given."""
    return any(one.verdict in verdicts for one in judgements)


def is_green(judgements: tuple[Judgement, ...]) -> bool:
    """Whether they pass."""
    return all(one.verdict in SETTINGS.green for one in judgements)


def gate(random: np.random.Generator, metrics: tuple[Metric, ...], slowdowns: Sequence[float]) -> None:
    """The gate's own rules over a whole suite."""
    tests = N_CONFIGURATIONS * len(metrics)
    print(f"\nthe gate, {N_CONFIGURATIONS} configurations, {tests} tests, 8 pairs, 8 fresh ones of what is not clear")

    def simulated(changed: dict[int, float]) -> list[tuple[Judgement, ...]]:
        sizes = {"n_configurations": N_CONFIGURATIONS, "metrics": metrics, "slowdowns": changed}
        return [simulate_gate(random, SETTINGS, **sizes) for _ in range(TRIALS)]

    unchanged = simulated({})
    line("nothing changed: a REGRESSED anywhere", sum(has(t, "REGRESSED") for t in unchanged), TRIALS, "at most 2 %")
    line("nothing changed: not green", sum(not is_green(t) for t in unchanged), TRIALS)
    line("nothing changed: an IMPROVED anywhere", sum(has(t, "IMPROVED") for t in unchanged), TRIALS)
    for slowdown in slowdowns:
        trials = simulated({17: slowdown})
        found = sum(t[17 * len(metrics)].verdict == "REGRESSED" for t in trials)
        line(
            f"one configuration {slowdown - 1:+.0%}: found", found, TRIALS, "at least 95 %" if slowdown == 1.05 else ""
        )
        line(f"one configuration {slowdown - 1:+.0%}: passed as green", sum(map(is_green, trials)), TRIALS)


def stored(random: np.random.Generator) -> None:
    """The gate on one stored run and one of today."""
    print(f"\nthe gate on stored records, one run each, {N_CONFIGURATIONS} configurations")
    for shared, words in ((True, "job noise shared"), (False, "job noise of each configuration its own")):
        for slowdown in (1.0, 1.05, 1.10, 1.20, 1.30):
            trials = [
                simulate_stored(
                    random,
                    SETTINGS,
                    n_configurations=N_CONFIGURATIONS,
                    slowdowns={17: slowdown},
                    job_is_shared=shared,
                )
                for _ in range(TRIALS)
            ]
            what = f"{words}, one {slowdown - 1:+.0%}" if slowdown > 1 else f"{words}, nothing changed"
            line(f"{what}: REGRESSED", sum(has(t, "REGRESSED") for t in trials), TRIALS)
            line(f"{what}: green", sum(map(is_green, trials)), TRIALS)


def steps(random: np.random.Generator, n: int, n_pairs: int) -> np.ndarray:
    """A machine that gets slower by 1 % from process to process, in the order ABBA."""
    order = np.array([(2 * i, 2 * i + 1) if i % 2 == 0 else (2 * i + 1, 2 * i) for i in range(n_pairs)])
    return random.normal(0, 0.008, (n, 2, n_pairs)) + 0.01 * order.T


# Logarithms of times: [configurations, 2, pairs].
HARDER: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "heavy tails (t with 3 degrees of freedom)": lambda r, n, k: 0.008 * r.standard_t(3, (n, 2, k)),
    "5 % between processes": lambda r, n, k: r.normal(0, 0.05, (n, 2, k)),
    "one process in ten 35 % slower": lambda r, n, k: 0.3 * (r.random((n, 2, k)) < 0.1) + r.normal(0, 0.01, (n, 2, k)),
    "2 % between processes, the same for all configurations": lambda r, n, k: (
        r.normal(0, 0.008, (n, 2, k)) + r.normal(0, 0.02, (1, 2, k))
    ),
    "1 % slower from process to process": steps,
}


def harder(random: np.random.Generator) -> None:
    """The gate where noise is not what the model says, and nothing changed."""
    print(f"\nthe gate under other noise, nothing changed, {N_CONFIGURATIONS} configurations")
    n_pairs = SETTINGS.pairs
    for what, noise in HARDER.items():
        red = green = 0
        for _ in range(TRIALS):
            times = np.exp(noise(random, N_CONFIGURATIONS, 2 * n_pairs)).tolist()

            def series(again: set[str], times: list[list[list[float]]] = times) -> list[Series]:
                n_of = {str(i): 2 * n_pairs if str(i) in again else n_pairs for i in range(N_CONFIGURATIONS)}
                return [
                    Series(key, "time", tuple(base[:n]), tuple(candidate[:n]))
                    for (key, n), (base, candidate) in zip(n_of.items(), times, strict=True)
                ]

            judged = judge(series(set()), SETTINGS)
            judged = judge(series(set(wanting(judged))), SETTINGS)
            red += has(judged, "REGRESSED")
            green += is_green(judged)
        line(f"{what}: a REGRESSED", red, TRIALS)
        line(f"{what}: green", green, TRIALS)


def noisy(random: np.random.Generator) -> None:
    """What a green is worth on a noisy machine."""
    n = 12
    print(f"\nthe gate on noisy machines, one of {n} configurations slower")
    for between in (0.05, 0.10):
        for slowdown in (1.05, 1.10, 1.15):
            noise = NoiseModel(process=between)
            trials = [
                simulate_gate(random, SETTINGS, n_configurations=n, slowdowns={3: slowdown}, noise=noise)
                for _ in range(TRIALS)
            ]
            what = f"{between:.0%} between processes, {slowdown - 1:+.0%}"
            line(f"{what}: passed", sum(t[3].verdict in SETTINGS.green for t in trials), TRIALS)
            line(f"{what}: found", sum(t[3].verdict == "REGRESSED" for t in trials), TRIALS)


def history(random: np.random.Generator) -> None:
    """Change points over time, one run a job."""
    n_jobs, after = 30, (3, 4, 5, 6, 8)
    print(f"\nthe history, {N_CONFIGURATIONS} series of {n_jobs} jobs")
    floors = [SETTINGS.floor] * N_CONFIGURATIONS
    steady = [find_changes(levels(random, n_jobs), floors=floors, seed=seed) for seed in range(TRIALS)]
    line("nothing changed: a change anywhere", sum(any(found) for found in steady), TRIALS)
    for n in after:
        trials = [find_changes(levels(random, n_jobs, n), floors=floors, seed=seed) for seed in range(TRIALS)]
        line(f"one series +10 %, {n} jobs ago: found", sum(bool(found[17]) for found in trials), TRIALS)


def levels(random: np.random.Generator, n_jobs: int, n_slower: int = 0) -> list[list[float]]:
    """Series of medians, of which one is 10 % slower in the last jobs."""
    values = np.exp(NOISE.jobs(random, N_CONFIGURATIONS, n_jobs))
    values[17, n_jobs - n_slower :] *= 1.1
    return [list(map(float, row)) for row in values]


def main() -> None:
    """Print the tables."""
    random = np.random.default_rng(SEED)
    sections: tuple[Callable[[], None], ...] = (
        lambda: naive(random),
        lambda: gate(random, ("time",), (1.02, 1.03, 1.05, 1.10)),
        lambda: gate(random, METRICS, (1.05,)),
        lambda: stored(random),
        lambda: harder(random),
        lambda: history(random),
        lambda: noisy(np.random.default_rng(SEED + 1)),
    )
    for section in sections:
        began = perf_counter()
        section()
        print(f"({perf_counter() - began:.0f} s)")


if __name__ == "__main__":
    main()
