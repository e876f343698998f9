"""The profiler's pass on a real, small step."""

from typing import Any

import pytest
import torch

from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.cpu_machine import CpuMachine
from sparq_perf.measure.inputs import build_cache
from sparq_perf.measure.observing import Place, watch
from sparq_perf.measure.plan import Group
from sparq_perf.measure.profiling import ITERATIONS, ProfileObserver
from sparq_perf.measure.traced_calls import OWN_CODE
from sparq_profiles import AttentionShape, SparqConfig

SHAPE = AttentionShape(1, 600, 4, 2, 32, "float32")
SPARQ = SparqConfig(8, 64)


def profile(lines: Any, implementation: str, config: SparqConfig | None, cache_state: Any = "cold") -> tuple[Any, int]:
    """The profile's fields, and how often caches were flushed."""
    flushes: list[int] = []
    machine: Any = CpuMachine(1)
    machine.flush = lambda: flushes.append(1)
    contender = Contender(implementation, config)
    place = Place(Group("tiny", SHAPE, cache_state, "two_copies", (contender,)), contender)
    observer = ProfileObserver(machine.tracer(), lambda _: lines.prediction(1e-6, 2e-6, 3e-6), note=pytest.fail)
    calls = machine.calls(build_cache(SHAPE, "two_copies", 1), place, 2, replayed=False)
    return watch(observer, place, calls), len(flushes)


@pytest.mark.parametrize(
    ("implementation", "config", "expected"),
    [
        ("dense-cpu", None, {"attend"}),
        ("dense-sdpa", None, {"attend"}),
        ("sparq-cpu", SPARQ, {"score", "select", "gather"}),
        ("sparq-torch", SPARQ, {"score", "select", "gather"}),
    ],
)
def test_steps_and_kernels_add_up_to_less_than_the_call(
    lines: Any, implementation: str, config: SparqConfig | None, expected: set[str]
) -> None:
    found, flushes = profile(lines, implementation, config)
    assert flushes == found["iterations"] == ITERATIONS
    steps, kernels = found["steps"], found["kernels"]
    assert {step.name for step in steps} >= expected
    assert all(step.time_s > 0 and step.launches >= 1 for step in steps)
    assert sum(step.time_s for step in steps) <= found["total_s"] == found["span_s"]
    for step in steps:
        own = [kernel for kernel in kernels if kernel.step == step.name]
        assert sum(kernel.time_s for kernel in own) == pytest.approx(step.time_s)
        assert sum(kernel.launches for kernel in own) == pytest.approx(step.launches)
    # The prediction names one step, which dense attention has.
    assert {step.name: step.predicted_s for step in steps if step.predicted_s} == (
        {"attend": 2e-6} if config is None else {}
    )


def test_compiled_code_is_told_from_torchs_operations(lines: Any) -> None:
    compiled, _ = profile(lines, "sparq-cpu", SPARQ)
    gathers = {kernel.name for kernel in compiled["kernels"] if kernel.step == "gather"}
    assert OWN_CODE in gathers
    plain, _ = profile(lines, "sparq-torch", SPARQ)
    assert {"aten::softmax", "aten::_softmax"} & {kernel.name for kernel in plain["kernels"] if kernel.step == "select"}


def test_one_call_is_kept_whole_for_the_timeline(lines: Any) -> None:
    found, _ = profile(lines, "sparq-torch", SPARQ)
    call = found["call"]
    assert [piece.name for piece in call if piece.is_range] == ["score", "select", "gather"]
    assert all(0 <= piece.start_s <= piece.start_s + piece.duration_s <= 2 * found["total_s"] for piece in call)
    assert found["began"].tzinfo is not None


def test_warm_calls_are_not_flushed(lines: Any) -> None:
    _, flushes = profile(lines, "dense-cpu", None, "warm")
    assert flushes == 0


def test_the_ranges_cost_nothing_while_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    from sparq_kernels.profiling import step_range

    monkeypatch.setattr(torch.profiler, "record_function", lambda name: pytest.fail("a range was recorded"))
    with step_range("score"):
        pass
