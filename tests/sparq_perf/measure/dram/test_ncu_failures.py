"""What Nsight Compute says when it counts nothing, as captured in public (2022 to 2026), and what absence that is."""

from collections.abc import Callable

import pytest

from sparq_perf.measure.dram.ncu_failures import LONGEST_DETAIL, absence, explain, unknown_metric

TRACEBACK = """Traceback (most recent call last):
  File "child.py", line 1, in <module>
AssertionError: Torch not compiled with CUDA enabled
"""


@pytest.mark.parametrize(
    ("name", "stderr", "kind", "words"),
    [
        ("ncu-no-permission", "", "no_permission", "ERR_NVGPUCTRPERM - The user does not have permission"),
        ("ncu-not-supported", "", "not_supported", "Profiling is not supported on device 0"),
        ("ncu-library-not-loaded", "", "driver_missing", "LibraryNotLoaded"),
        ("ncu-counters-in-use", "", "failed", "driver resource was unavailable"),
        ("ncu-unknown-metric", "", "not_supported", "Failed to find metric dram__bytes_op_read.sum"),
        ("ncu-unknown-option", "", "not_supported", "this ncu is too old"),
        ("ncu-no-kernels", "", "failed", "No kernels were profiled. ncu saw none of the kernels"),
        ("ncu-program-failed", TRACEBACK, "failed", "error code (1). AssertionError: Torch not compiled with CUDA"),
    ],
)
def test_kinds(name: str, stderr: str, kind: str, words: str, captured: Callable[[str], str]) -> None:
    found = explain(captured(name), stderr)
    assert found.kind == kind
    assert words in found.detail
    assert "==" not in found.detail
    assert "\n" not in found.detail


def test_an_error_that_nobody_knows() -> None:
    assert explain("==ERROR== The moon is full\n", "").detail == "The moon is full"


@pytest.mark.parametrize(
    ("stderr", "words"),
    [("", "it wrote no error"), ("one\n\ntwo\n", "two"), ("==WARNING== ncu's\n", "it wrote no error")],
)
def test_nothing_at_all(stderr: str, words: str) -> None:
    assert explain("", stderr).detail == f"ncu printed no table: {words}"


def test_only_an_unknown_metric_is_worth_another_try(captured: Callable[[str], str]) -> None:
    assert unknown_metric(captured("ncu-unknown-metric"), "")
    assert unknown_metric("", "==ERROR== Failed to access the following 2 metrics: a, b")
    # A warning: the rest was counted.
    assert not unknown_metric(captured("ncu-2025-raw-nvtx"), "")
    assert not unknown_metric(captured("ncu-no-permission"), "")


def test_details_are_one_short_line() -> None:
    assert absence("failed", " a\n  b ").detail == "a b"
    cut = absence("failed", "x" * 1000).detail
    assert len(cut) == LONGEST_DETAIL
    assert cut.endswith("x…")
