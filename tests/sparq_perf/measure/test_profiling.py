"""The profiler's pass on a real, small step."""

from typing import Any

import pytest

from sparq_perf.measure import profiling
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.cpu_machine import CpuMachine
from sparq_perf.measure.inputs import build_cache
from sparq_perf.measure.profiling import ITERATIONS, profile_steps
from sparq_profiles import AttentionShape, SparqConfig

SHAPE = AttentionShape(1, 600, 4, 2, 32, "float32")


@pytest.mark.parametrize(
    ("implementation", "config", "expected"),
    [
        ("dense-cpu", None, {"attend"}),
        ("dense-sdpa", None, {"attend"}),
        ("sparq-cpu", SparqConfig(8, 64), {"score", "select", "gather"}),
        ("sparq-torch", SparqConfig(8, 64), {"score", "select", "gather"}),
    ],
)
def test_steps_are_named_and_add_up_to_less_than_the_call(
    implementation: str, config: SparqConfig | None, expected: set[str]
) -> None:
    flushes: list[int] = []
    machine: Any = CpuMachine(1)
    machine.flush = lambda: flushes.append(1)
    contender, cache = Contender(implementation, config), build_cache(SHAPE, "two_copies", 1)
    profiled = profile_steps(machine, cache, SHAPE, contender, "cold", 2)
    assert profiled is not None
    total_s, steps = profiled
    assert {step.name for step in steps} >= expected
    assert all(step.time_s > 0 for step in steps)
    assert sum(step.time_s for step in steps) <= total_s
    assert len(flushes) == ITERATIONS
    profile_steps(machine, cache, SHAPE, contender, "warm", 2)
    assert len(flushes) == ITERATIONS


def test_the_ranges_cost_nothing_while_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    from sparq_kernels.profiling import step_range

    monkeypatch.setattr(profiling.torch.profiler, "record_function", lambda name: pytest.fail("a range was recorded"))
    with step_range("score"):
        pass
