"""Bytes per step: formulas, counted accesses and DRAM counters beside each other, from numbers by hand."""

from collections.abc import Iterable

import pytest

from sparq_perf.records.reading import Absence
from sparq_perf.report.view import build_view
from sparq_profiles import AttentionShape, SparqConfig

R32 = SparqConfig(32, 128, 32)
SHAPE = AttentionShape(1, 4096, 32, 32, 128, "float16")


def only(items: Iterable[object]):
    (item,) = items
    return item


def rows_of(view):
    return {row.name: row for row in only(only(view.step_bytes.groups).configurations).rows}


@pytest.fixture
def sparq(gpu):
    return gpu.measurement("sparq-triton", SHAPE, R32, time_s=1e-4)


def test_dram_bytes_are_summed_by_step_and_kernels_without_one_stand_alone(gpu, sparq) -> None:
    kernels = [
        ("_score", "score", 40e6, 1e6),
        ("_score_tail", "score", 8e6, 1e6),
        ("_gather", "gather", 9e6, 0.0),
        ("fill", None, 0.0, 2e6),
    ]
    view = build_view([sparq, gpu.dram(sparq, kernels)])
    rows = rows_of(view)
    score = rows["score"].dram
    assert (score.total_bytes, score.read_bytes, score.write_bytes) == (50e6, 48e6, 2e6)
    assert rows["select"].dram is None  # the formulas name it, and no kernel is of it
    assert (rows["fill"].kind, rows["fill"].moved, rows["fill"].dram.total_bytes) == ("outside", None, 2e6)
    assert list(rows)[-1] == "whole call"
    assert rows["whole call"].dram.total_bytes == 61e6
    # S·r of two bytes each in 32 heads, and q.
    moved = rows["score"].moved.total_bytes
    assert moved == 4096 * 32 * 2 * 32 + 32 * 128 * 2
    assert rows["score"].dram_difference == pytest.approx(moved / 50e6 - 1)
    assert view.step_bytes.sources == "Nsight Compute (ncu 2025.1)"


def test_rates_are_of_measured_bytes_over_measured_time(gpu, sparq) -> None:
    dram = gpu.dram(sparq, [("_score", "score", 40e6, 0.0), ("_gather", "gather", 10e6, 0.0)])
    profile = gpu.kernel_profile(sparq)
    score_s = next(step.time_s for step in profile.steps if step.name == "score")
    rows = rows_of(build_view([sparq, profile, dram]))
    assert rows["score"].rate_bytes_per_s == pytest.approx(40e6 / score_s)
    assert rows["whole call"].rate_bytes_per_s == pytest.approx(50e6 / 1e-4)
    # Neither the formulas' bytes nor a profile alone make a rate.
    assert all(row.rate_bytes_per_s is None for row in rows_of(build_view([sparq, profile])).values())
    assert rows_of(build_view([sparq, dram]))["score"].rate_bytes_per_s is None


def test_no_rate_comes_from_an_invalid_time(gpu) -> None:
    invalid = gpu.measurement("sparq-triton", SHAPE, R32, status="invalid", reasons=["noisy"])
    rows = rows_of(build_view([invalid, gpu.dram(invalid, [("_score", "score", 40e6, 0.0)])]))
    assert rows["whole call"].rate_bytes_per_s is None


def test_counted_bytes_stand_beside_their_own_formula(gpu, sparq) -> None:
    view = build_view([sparq, gpu.counted(sparq, [("score", 1000, 1010), ("gather", 500, 480), ("scratch", 0, 7)])])
    rows = rows_of(view)
    assert rows["score"].accessed.difference == pytest.approx(0.01)
    assert rows["gather"].accessed.difference == pytest.approx(-0.04)
    assert rows["scratch"].accessed.difference is None  # nothing was accessed: no fraction of it
    whole = rows["whole call"].accessed
    assert (whole.counted_bytes, whole.analytic_bytes) == (1500, 1497)
    assert whole.sector_bytes == pytest.approx(1650)
    assert rows["mean_value"].accessed is None
    assert (view.step_bytes.has_counted, view.step_bytes.has_dram) == (True, False)


def test_a_reason_is_told_once_with_its_count(gpu) -> None:
    lines = [gpu.run()]
    for batch, megabytes in ((1, "67"), (16, "1,074"), (2, "134")):
        shape = AttentionShape(batch, 4096, 32, 32, 128, "float16")
        measured = gpu.measurement("dense-triton", shape)
        lines += [measured, gpu.not_counted(measured, f"the KV cache takes {megabytes} MB"), gpu.no_dram(measured)]
    bytes_ = build_view(lines).step_bytes
    assert not bytes_.has_counted
    assert not bytes_.has_dram
    told = {what: (reason.text, len(reason.keys)) for what, reason in bytes_.nowhere}
    assert told == {
        "Counted bytes": ("not asked: the KV cache takes 67 to 1,074 MB", 3),
        "DRAM bytes": ("not asked: the suite does not ask for it here", 3),
    }
    assert [group.name.split(",")[1] for group in bytes_.groups] == [" batch 16", " batch 2", " batch 1"]
    assert bytes_.notes == ()


def test_where_some_were_counted_the_others_have_footnotes(gpu, sparq) -> None:
    dense = gpu.measurement("dense-triton", SHAPE)
    other = gpu.measurement("dense-triton", AttentionShape(8, 4096, 32, 32, 128, "float16"))
    failed = gpu.measurement("dense-sdpa-flash", SHAPE, status="failed", reasons=["out of memory"])
    lines = [sparq, dense, other, failed]
    lines += [gpu.dram(sparq, [("_score", "score", 4e7, 0.0)]), gpu.no_dram(dense), gpu.no_dram(other)]
    bytes_ = build_view(lines).step_bytes
    assert [(note.number, note.what, note.n) for note in bytes_.notes] == [(1, "DRAM bytes", 2), (2, "DRAM bytes", 1)]
    assert bytes_.notes[1].text == "its measurement failed"
    # What was counted comes before the larger setup, in which nothing was.
    watched, larger = bytes_.groups
    assert {c.label: c.dram_note for c in watched.configurations} == {
        "dense-sdpa-flash": 2,
        "dense-triton": 1,
        "sparq-triton, r\u00a032, k\u00a0128": None,
    }
    assert (watched.has_dram, larger.has_dram) == (True, False)
    assert larger.left_out == (("DRAM bytes", (1,)),)
    assert watched.left_out == ()


def test_totals_alone_say_why_there_are_no_steps(gpu, sparq) -> None:
    view = build_view([sparq, gpu.dram_total(sparq, 70e6)])
    rows = rows_of(view)
    assert rows["whole call"].dram.total_bytes == 70e6
    assert rows["whole call"].dram.read_bytes is None
    assert rows["score"].dram is None
    note = only(view.step_bytes.notes)
    assert (note.what, note.text) == (
        "DRAM bytes of single steps",
        "NVML GPM counts whole calls, not their kernels; Nsight Compute: no permission: ERR_NVGPUCTRPERM; "
        "CUPTI PM sampling: library missing: cupti-python is not installed",
    )
    assert only(only(view.step_bytes.groups).configurations).dram_steps_note == 1
    assert view.step_bytes.sources == "NVML GPM"


def test_ways_of_counting_that_differ_in_their_reasons_are_told_apart(gpu, sparq) -> None:
    from sparq_perf.records.dram import DramReading, Rung
    from sparq_perf.report.step_bytes import why_no_dram

    refused = Absence(kind="no_permission", detail="ERR_NVGPUCTRPERM")
    old = Absence(kind="not_supported", detail="before Hopper")
    rungs = (Rung(name="ncu", absence=refused), Rung(name="cupti", absence=refused), Rung(name="gpm", absence=old))
    assert why_no_dram(DramReading.missing(rungs)) == (
        "Nsight Compute and CUPTI PM sampling: no permission: ERR_NVGPUCTRPERM; NVML GPM: not supported: before Hopper"
    )


def test_counts_without_a_measurement_are_shown(gpu, sparq) -> None:
    rows = rows_of(build_view([gpu.counted(sparq, [("score", 1000, 1000)])]))
    assert list(rows) == ["score", "whole call"]
    assert rows["score"].moved is None


def test_formulas_alone_are_shown_on_a_cpu(records) -> None:
    measured = records.measurement("dense-cpu", AttentionShape(1, 1024, 32, 32, 128, "float32"))
    bytes_ = build_view([records.run(), measured, records.end()]).step_bytes
    assert [(what, reason.text) for what, reason in bytes_.nowhere] == [
        ("Counted bytes", "this run holds no such record"),
        ("DRAM bytes", "this run holds no such record"),
    ]
    row = only(only(bytes_.groups).configurations).rows[0]
    # K and V of 1,024 tokens, and q and the output, each of 32 heads of 128 numbers of four bytes.
    assert row.moved.total_bytes == 2 * 1024 * 32 * 128 * 4 + 2 * 32 * 128 * 4


def test_without_any_bytes_the_section_says_so(records) -> None:
    bare = records.measurement("dense-cpu", SHAPE, predict=False)
    assert "none were counted" in build_view([bare]).step_bytes.absent
    assert "none were counted" in build_view([]).step_bytes.absent
