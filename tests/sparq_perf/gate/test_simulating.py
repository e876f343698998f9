"""The gate's error rates on processes that never ran; tests/benchmarks/bench_gate.py prints the whole table."""

import numpy as np
import pytest

from sparq_perf.gate.settings import GateSettings
from sparq_perf.gate.simulating import (
    NoiseModel,
    paired_ps,
    pooled_ranks,
    simulate_gate,
    simulate_stored,
    stored_ratios,
)

NOISE = NoiseModel()
SETTINGS = GateSettings()


def test_the_model_is_the_one_of_the_published_simulation() -> None:
    # What it says of rules that are often used: 43 %, 13 %, 1.5 %; 99.9 % of +3 % found.
    random = np.random.default_rng(1)
    assert (pooled_ranks(random, 4000, NOISE) < 0.002).mean() == pytest.approx(0.43, abs=0.03)
    ratios = stored_ratios(random, 20_000, NOISE)
    assert (ratios > 1.05).mean() == pytest.approx(0.13, abs=0.015)
    assert (ratios > 1.10).mean() == pytest.approx(0.015, abs=0.004)
    assert (paired_ps(random, 20_000, 8, NOISE) < 0.01).mean() == pytest.approx(0.01, abs=0.003)
    assert (paired_ps(random, 4000, 8, NOISE, 1.03) < 0.01).mean() > 0.998
    any_of_100 = (paired_ps(random, 40_000, 8, NOISE).reshape(-1, 100) < 0.01).any(axis=1)
    assert any_of_100.mean() == pytest.approx(0.64, abs=0.08)


def test_no_false_alarm_in_a_suite_of_100() -> None:
    random = np.random.default_rng(2)
    trials = [simulate_gate(random, SETTINGS, n_configurations=100) for _ in range(40)]
    verdicts = {one.verdict for trial in trials for one in trial}
    assert "REGRESSED" not in verdicts
    green = [all(one.verdict in SETTINGS.green for one in trial) for trial in trials]
    assert sum(green) >= 39


def test_five_per_cent_in_one_of_100_is_found() -> None:
    random = np.random.default_rng(3)
    trials = [simulate_gate(random, SETTINGS, n_configurations=100, slowdowns={17: 1.05}) for _ in range(40)]
    assert sum(trial[17].verdict == "REGRESSED" for trial in trials) >= 39
    others = [one.verdict for trial in trials for index, one in enumerate(trial) if index != 17]
    assert "REGRESSED" not in others


def test_noise_of_a_stored_baseline() -> None:
    random = np.random.default_rng(4)
    for shared in (True, False):
        trials = [simulate_stored(random, SETTINGS, n_configurations=100, job_is_shared=shared) for _ in range(100)]
        assert sum(any(one.verdict == "REGRESSED" for one in trial) for trial in trials) <= 3
        slower = [
            simulate_stored(random, SETTINGS, n_configurations=100, slowdowns={3: 1.4}, job_is_shared=shared)[3]
            for _ in range(100)
        ]
        assert sum(one.verdict == "REGRESSED" for one in slower) >= 95


def test_the_same_seed_gives_the_same_trials() -> None:
    one, other = (
        simulate_gate(np.random.default_rng(5), SETTINGS, n_configurations=3, slowdowns={0: 1.1}) for _ in range(2)
    )
    assert one == other
