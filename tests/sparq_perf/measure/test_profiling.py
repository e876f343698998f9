"""The profiler's pass on a real, small step."""

import pytest

from sparq_perf.measure import profiling
from sparq_perf.measure.inputs import build_cache
from sparq_perf.measure.profiling import ITERATIONS, profile_steps
from sparq_perf.measure.timing import Contender
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
    total_s, steps = profile_steps(
        build_cache(SHAPE, "two_copies", 1),
        SHAPE,
        Contender(implementation, config),
        lambda: flushes.append(1),  # type: ignore[arg-type]
        2,
    )
    assert {step.name for step in steps} >= expected
    assert all(step.time_s > 0 for step in steps)
    assert sum(step.time_s for step in steps) <= total_s
    assert len(flushes) == ITERATIONS


def test_the_ranges_cost_nothing_while_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    from sparq_kernels.profiling import step_range

    monkeypatch.setattr(profiling.torch.profiler, "record_function", lambda name: pytest.fail("a range was recorded"))
    with step_range("score"):
        pass
