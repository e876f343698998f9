"""Profiled kernels given to their subjects, and summed by hand."""

from collections.abc import Callable

import pytest

from sparq_perf.measure.dram.exchange import ChildOutcomes, SubjectOutcome, subject_of, subject_range
from sparq_perf.measure.dram.ncu import METRIC_SETS
from sparq_perf.measure.dram.ncu_counts import count_subjects, function_name, share_out
from sparq_perf.measure.dram.ncu_csv import KernelRow, read_kernels
from sparq_perf.measure.dram.subjects import DramCounts
from sparq_perf.records.dram import DramKernel
from sparq_perf.records.reading import Absence

NOTHING = Absence(kind="failed", detail="nothing")
DENSE = SubjectOutcome(steps={"attend": "attend"})
SPARQ = SubjectOutcome(steps={"score": "score", "select": "select", "attend": "gather"})
Captured = Callable[[str], str]


def rows_of(text: str) -> tuple[KernelRow, ...]:
    return read_kernels(text, METRIC_SETS[0])


def outcomes(*subjects: SubjectOutcome) -> ChildOutcomes:
    return ChildOutcomes(subjects=subjects)


def test_by_ranges(captured: Captured) -> None:
    rows = rows_of(captured("ncu-2025-raw-nvtx"))
    dense, sparq, sdpa = count_subjects(rows, 3, outcomes(DENSE, SPARQ, SubjectOutcome()), NOTHING)
    assert dense == DramCounts(
        134_217_728 + 65_536,
        134_217_728,
        65_536,
        (
            DramKernel(
                name="attend",
                step="attend",
                launches=1,
                read_bytes=134_217_728,
                write_bytes=65_536,
                l2_read_bytes=32 * 4_194_304,
            ),
        ),
    )
    assert isinstance(sparq, DramCounts)
    assert [(kernel.name, kernel.step, kernel.read_bytes) for kernel in sparq.kernels] == [
        ("score", "score", 33_554_432),
        ("select", "select", 4_096),
        ("attend", "gather", 4_194_304),
    ]
    assert (sparq.read_bytes, sparq.write_bytes, sparq.total_bytes) == (37_752_832, 9_216, 37_762_048)
    # Two launches of one kernel are one line; torch's kernels belong to no named step.
    assert isinstance(sdpa, DramCounts)
    assert [(k.name, k.step, k.launches, k.read_bytes, k.l2_read_bytes) for k in sdpa.kernels] == [
        ("flash_fwd_splitkv_kernel", None, 2, 300_000, 320_000),
        ("flash_fwd_splitkv_combine_kernel", None, 1, 50, 64_000),
    ]


def test_by_markers_where_the_table_has_no_ranges(captured: Captured) -> None:
    dense, sparq = count_subjects(rows_of(captured("ncu-2022-details")), 2, outcomes(DENSE, SPARQ), NOTHING)
    assert isinstance(dense, DramCounts)
    assert dense.read_bytes == 134_217_728
    assert isinstance(sparq, DramCounts)
    assert [(kernel.name, kernel.step) for kernel in sparq.kernels] == [
        ("score", "score"),
        ("vectorized_elementwise_kernel", None),
    ]
    assert (sparq.read_bytes, sparq.write_bytes) == (33_554_432, 1_024 + 4_096)


def test_both_ways_agree(captured: Captured) -> None:
    rows = rows_of(captured("ncu-2025-raw-nvtx"))
    without = [KernelRow(row.name, None, row.metrics) for row in rows]
    empty = [KernelRow(row.name, "", row.metrics) for row in rows]
    names = {index: [row.name for row in own] for index, own in share_out(rows).items()}
    assert sorted(names) == [0, 1, 2]
    for lost in (without, empty):
        assert {index: [row.name for row in own] for index, own in share_out(lost).items()} == names


def test_kernels_before_the_first_marker_are_nobodys() -> None:
    assert share_out([KernelRow("stray", None, {})]) == {}


def test_a_subject_that_failed_has_its_own_reason() -> None:
    failed = SubjectOutcome(failure="OutOfMemoryError: CUDA out of memory")
    (found,) = count_subjects([], 1, outcomes(failed), NOTHING)
    assert found == Absence(kind="failed", detail="in the child: OutOfMemoryError: CUDA out of memory")


def test_a_subject_without_kernels(captured: Captured) -> None:
    rows = [row for row in rows_of(captured("ncu-2025-raw-nvtx")) if "subject-1" not in str(row.ranges)]
    _, missing, _, never = count_subjects(rows, 4, outcomes(DENSE, SPARQ, SubjectOutcome()), NOTHING)
    assert missing == never == NOTHING


def test_a_subject_that_the_child_died_in(captured: Captured) -> None:
    dense, sparq, _ = count_subjects(rows_of(captured("ncu-2025-raw-nvtx")), 3, outcomes(DENSE), NOTHING)
    assert isinstance(dense, DramCounts)
    assert isinstance(sparq, Absence)
    assert "the child ended during its call" in sparq.detail


@pytest.mark.parametrize(("sliced", "kind"), [(False, "not_supported"), (True, "mig")])
def test_a_kernel_that_was_not_counted(sliced: bool, kind: str) -> None:
    rows = [
        KernelRow("k1", subject_range(0), {"dram__bytes_read.sum": 1.0, "dram__bytes_write.sum": 0.0}),
        KernelRow("k2", subject_range(0), {"dram__bytes_read.sum": 1.0}),
    ]
    (found,) = count_subjects(rows, 1, outcomes(SubjectOutcome()), NOTHING, sliced=sliced)
    assert isinstance(found, Absence)
    assert found.kind == kind


def test_the_l2_may_be_missing(captured: Captured) -> None:
    (found,) = count_subjects(
        [KernelRow(row.name, subject_range(0), row.metrics) for row in rows_of(captured("ncu-2025-details-cc12"))],
        1,
        outcomes(DENSE),
        NOTHING,
    )
    assert isinstance(found, DramCounts)
    assert (found.read_bytes, found.write_bytes) == (53_261_312, 3_377_920)
    assert found.kernels[0].l2_read_bytes is None


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ("score", "score"),
        ("void at::cuda::(anonymous namespace)::spin_kernel(long)", "spin_kernel"),
        ("void flash::flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<(int)64>, (bool)0>(Flash_fwd_params)",
         "flash_fwd_splitkv_kernel"),
        ("cudnn_generated_fort_native_sdpa_sm90", "cudnn_generated_fort_native_sdpa_sm90"),
        ("<unnamed>::vector_add_kernel(const float *)", "vector_add_kernel"),
        (" ", " "),
    ],
)  # fmt: skip
def test_function_names(printed: str, name: str) -> None:
    assert function_name(printed) == name


def test_ranges_name_subjects() -> None:
    assert subject_of(f'1  "<default domain>:{subject_range(12)}:none:none"') == 12
    assert subject_of('1  "<default domain>:sparq-dram:none:none"') is None
