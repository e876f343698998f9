"""Launches, kernels and gaps of the profiler's pass."""

from collections.abc import Iterable

import pytest

from sparq_perf.records.schema import ProfiledKernel, ProfiledStep
from sparq_perf.report.view import build_view
from sparq_profiles import AttentionShape, SparqConfig

R32 = SparqConfig(32, 128, 32)
SHAPE = AttentionShape(1, 4096, 32, 32, 128, "float16")


def only(items: Iterable[object]):
    (item,) = items
    return item


def detail_of(view):
    return only(only(view.step_times.groups).details)


@pytest.fixture
def sparq(gpu):
    return gpu.measurement("sparq-triton", SHAPE, R32)


def kernel(name: str, step: str | None, time_s: float, launches: float = 1) -> ProfiledKernel:
    return ProfiledKernel(name=name, step=step, launches=launches, time_s=time_s)


def test_steps_kernels_and_gaps(gpu, sparq) -> None:
    kernels = (kernel("_score", "score", 6e-6), kernel("sort", "select", 3e-6, 2.5), kernel("fill", None, 1e-6, 4))
    profile = gpu.kernel_profile(sparq).model_copy(
        update={
            "total_s": 10e-6,
            "span_s": 12.5e-6,
            "kernels": kernels,
            "steps": (
                ProfiledStep(name="score", time_s=6e-6, launches=1),
                ProfiledStep(name="select", time_s=3e-6, launches=2.5),
            ),
        }
    )
    detail = detail_of(build_view([gpu.run(), sparq, profile]))
    rows = {row.name: row for row in detail.rows}
    assert (rows["score"].time_s, rows["score"].launches) == (6e-6, 1)
    assert rows["score"].predicted_s == next(s.time_s for s in sparq.prediction.steps if s.name == "score")
    assert rows["outside named steps"].time_s == pytest.approx(1e-6)
    assert rows["outside named steps"].launches == 4
    assert detail.launches == 7.5
    assert detail.total_name == "all kernels"
    assert detail.gap_s == pytest.approx(2.5e-6)
    assert [k.name for k in detail.kernels] == ["_score", "sort", "fill"]


def test_kernels_beyond_the_longest_twelve_are_summed(gpu, sparq) -> None:
    kernels = tuple(kernel(f"k{n}", "score", n * 1e-6) for n in range(1, 15))
    profile = gpu.kernel_profile(sparq).model_copy(update={"kernels": kernels})
    detail = detail_of(build_view([sparq, profile]))
    assert [k.name for k in detail.kernels] == [f"k{n}" for n in range(14, 2, -1)]
    assert detail.n_more == 2
    assert detail.more_s == pytest.approx(3e-6)


def test_steps_that_one_side_lacks_are_said(gpu, sparq) -> None:
    steps = (ProfiledStep(name="score", time_s=6e-6), ProfiledStep(name="quantise", time_s=1e-6))
    profile = gpu.kernel_profile(sparq).model_copy(update={"steps": steps, "total_s": 7e-6})
    view = build_view([sparq, profile])
    notes = " ".join(view.step_times.notes)
    for name in ("select", "gather", "mean_value"):
        assert f"sparq-triton: the step {name} is named by the prediction, and the profiler saw none of it" in notes
    assert (
        "sparq-triton: the step quantise was profiled, and the prediction has no step of that name (1 configuration)."
        in view.step_times.notes
    )
    assert "score" not in notes


def test_a_profile_without_any_prediction_lacks_nothing(gpu, sparq) -> None:
    bare = gpu.kernel_profile(sparq)
    steps = tuple(step.model_copy(update={"predicted_s": None}) for step in bare.steps)
    view = build_view([bare.model_copy(update={"steps": steps})])
    assert view.step_times.notes == ()
    assert all(row.predicted_s is None for row in detail_of(view).rows)
    # Version 3 carries its own predictions, which hold where the measurement is missing.
    assert all(row.predicted_s for row in detail_of(build_view([bare])).rows if row.name != "outside named steps")


def test_a_cpu_has_no_gaps_and_older_records_no_launches(records) -> None:
    shape = AttentionShape(1, 4096, 32, 32, 128, "float32")
    measured = records.measurement("sparq-cpu", shape, R32)
    profile = records.step_profile(measured)
    run = records.run().model_copy(update={"run_id": profile.run_id})
    with_span = profile.model_copy(update={"span_s": profile.total_s})
    for one in (profile, with_span):
        detail = detail_of(build_view([run, measured, one]))
        assert (detail.gap_s, detail.launches, detail.kernels) == (None, None, ())
        assert detail.total_name == "whole call"


def test_kernels_side_by_side_leave_a_negative_gap(gpu, sparq) -> None:
    profile = gpu.kernel_profile(sparq)
    overlapping = profile.model_copy(update={"span_s": 0.5 * profile.total_s})
    assert detail_of(build_view([sparq, overlapping])).gap_s == pytest.approx(-0.5 * profile.total_s)
