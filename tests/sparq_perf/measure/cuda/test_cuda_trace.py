"""Kernels given to the ranges that launched them, in traces written by hand."""

from typing import Any

import pytest

from sparq_perf.measure.cuda_trace import times_in_ranges

PREFIXES = ("call", "sparq::")
HOST = {"pid": 10, "tid": 11}
OTHER_THREAD = {"pid": 10, "tid": 12}
STREAM = {"pid": 0, "tid": 7}


def event(cat: str, name: str, ts: float, dur: float, place: dict[str, int], correlation: int | None = None) -> Any:
    args = {} if correlation is None else {"correlation": correlation}
    return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur, "args": args, **place}


def annotated(name: str, start: float, end: float, place: dict[str, int] = HOST) -> Any:
    return event("user_annotation", name, start, end - start, place)


def launched(at: float, correlation: int, dur: float, *, cat: str = "cuda_runtime", work: str = "kernel") -> list[Any]:
    return [
        event(cat, "launch", at, 1, HOST, correlation),
        event(work, "k", 1000 + at, dur, STREAM, correlation),
    ]


def times(*events: Any) -> dict[str, float]:
    flat = [one for entry in events for one in (entry if isinstance(entry, list) else [entry])]
    other = [{"ph": "M", "name": "process_name"}, {"ph": "s", "cat": "ac2g", "ts": 3, "id": 1}]
    return times_in_ranges({"traceEvents": flat + other}, PREFIXES)


def test_by_hand() -> None:
    found = times(
        annotated("call", 0, 100),
        annotated("sparq::score", 10, 20),
        annotated("sparq::gather", 30, 40),
        launched(5, 1, 3.0),  # of the call, but of no step
        launched(12, 2, 50.0, cat="cuda_driver"),  # as Triton launches
        launched(15, 3, 7.0),
        launched(35, 4, 20.0, work="gpu_memset"),
        launched(150, 5, 1e6),  # the next flush
    )
    # Kernels run long after their launch, and last longer than the range.
    assert found == pytest.approx({"call": 80e-6, "sparq::score": 57e-6, "sparq::gather": 20e-6})


def test_iterations_add_up() -> None:
    found = times(
        annotated("sparq::score", 0, 10), launched(5, 1, 2.0), annotated("sparq::score", 20, 30), launched(25, 2, 3.0)
    )
    assert found == pytest.approx({"sparq::score": 5e-6})


def test_the_innermost_range_counts() -> None:
    found = times(annotated("sparq::score", 0, 100), annotated("sparq::append", 10, 20), launched(15, 1, 2.0))
    assert found == pytest.approx({"sparq::append": 2e-6})


def test_ranges_of_other_threads_hold_nothing() -> None:
    assert times(annotated("sparq::score", 0, 100, OTHER_THREAD), launched(15, 1, 2.0)) == {}


def test_without_the_launch_the_devices_own_ranges_count() -> None:
    found = times(
        event("gpu_user_annotation", "sparq::score", 1000, 50, STREAM),
        event("gpu_user_annotation", "sparq::gather", 1060, 10, {"pid": 0, "tid": 9}),
        event("kernel", "k", 1010, 4.0, STREAM, 77),
        event("kernel", "k", 1065, 4.0, STREAM),
    )
    assert found == pytest.approx({"sparq::score": 4e-6})


def test_a_launch_beside_its_range_is_found_on_the_device() -> None:
    found = times(
        annotated("sparq::score", 0, 10),
        launched(10.5, 1, 4.0),
        event("gpu_user_annotation", "sparq::score", 1010, 5, STREAM),
    )
    assert found == pytest.approx({"sparq::score": 4e-6})


def test_a_trace_without_kernels() -> None:
    assert times(annotated("call", 0, 100), event("cuda_runtime", "launch", 5, 1, HOST, 1)) == {}
