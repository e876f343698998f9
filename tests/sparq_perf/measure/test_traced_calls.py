"""Calls, kernels and steps read out of traces written by hand."""

from typing import Any

import pytest

from sparq_perf.measure.traced_calls import (
    CALL_RANGE,
    Piece,
    TracedCall,
    calls_on_device,
    calls_on_host,
    kernel_shares,
    step_shares,
    usual_call,
)

HOST = {"pid": 10, "tid": 11}
OTHER_THREAD = {"pid": 10, "tid": 12}
STREAM = {"pid": 0, "tid": 7}


def event(cat: str, name: str, ts: float, dur: float, place: dict[str, int], correlation: int | None = None) -> Any:
    args = {} if correlation is None else {"correlation": correlation}
    return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur, "args": args, **place}


def annotated(name: str, start: float, end: float, place: dict[str, int] = HOST) -> Any:
    return event("user_annotation", name, start, end - start, place)


def operation(name: str, start: float, end: float) -> Any:
    return event("cpu_op", name, start, end - start, HOST)


def launched(
    at: float, correlation: int, dur: float, *, name: str = "k", cat: str = "cuda_runtime", work: str = "kernel"
) -> list[Any]:
    return [
        event(cat, "launch", at, 1, HOST, correlation),
        event(work, name, 1000 + at, dur, STREAM, correlation),
    ]


def trace(*events: Any) -> dict[str, Any]:
    flat = [one for entry in events for one in (entry if isinstance(entry, list) else [entry])]
    other = [{"ph": "M", "name": "process_name"}, {"ph": "s", "cat": "ac2g", "ts": 3, "id": 1}]
    return {"traceEvents": flat + other}


def times(shares: Any) -> dict[tuple[str, str | None], tuple[float, float]]:
    return {(share.name, share.step): (share.launches, share.time_s) for share in shares}


class TestOnADevice:
    def test_by_hand(self) -> None:
        calls = calls_on_device(
            trace(
                annotated(CALL_RANGE, 0, 100),
                annotated("sparq::score", 10, 20),
                annotated("sparq::gather", 30, 40),
                launched(5, 1, 3.0, name="cast"),  # of the call, but of no step
                launched(12, 2, 50.0, cat="cuda_driver"),  # as Triton launches
                launched(15, 3, 7.0),
                launched(35, 4, 20.0, name="fill", work="gpu_memset"),
                launched(150, 5, 1e6),  # the next flush
            )
        )
        # Kernels run long after their launch, and last longer than the range.
        (call,) = calls
        assert call.total_s == pytest.approx(80e-6)
        assert call.span_s == pytest.approx(1062e-6 - 1005e-6)
        assert call.pieces[0] == Piece("cast", None, 0.0, pytest.approx(3e-6), pytest.approx(3e-6))
        assert call.pieces[1].start_s == pytest.approx(7e-6)
        assert times(step_shares(calls)) == {
            ("score", "score"): (2, pytest.approx(57e-6)),
            ("gather", "gather"): (1, pytest.approx(20e-6)),
        }
        assert times(kernel_shares(calls)) == {
            ("cast", None): (1, pytest.approx(3e-6)),
            ("k", "score"): (2, pytest.approx(57e-6)),
            ("fill", "gather"): (1, pytest.approx(20e-6)),
        }

    def test_calls_stay_apart_and_means_are_over_them(self) -> None:
        calls = calls_on_device(
            trace(
                annotated(CALL_RANGE, 0, 10),
                annotated("sparq::score", 0, 10),
                launched(5, 1, 2.0),
                annotated(CALL_RANGE, 20, 30),
                annotated("sparq::score", 20, 30),
                launched(25, 2, 4.0),
                launched(26, 3, 4.0),
            )
        )
        assert [call.total_s for call in calls] == [pytest.approx(2e-6), pytest.approx(8e-6)]
        assert times(step_shares(calls)) == {("score", "score"): (1.5, pytest.approx(5e-6))}
        assert calls[1].began_s - calls[0].began_s == pytest.approx(20e-6)

    def test_the_innermost_range_counts(self) -> None:
        calls = calls_on_device(
            trace(
                annotated(CALL_RANGE, 0, 200),
                annotated("sparq::score", 0, 100),
                annotated("sparq::append", 10, 20),
                launched(15, 1, 2.0),
            )
        )
        assert times(step_shares(calls)) == {("append", "append"): (1, pytest.approx(2e-6))}

    def test_ranges_of_other_threads_hold_nothing(self) -> None:
        assert calls_on_device(trace(annotated(CALL_RANGE, 0, 100, OTHER_THREAD), launched(15, 1, 2.0))) == []

    def test_without_the_launch_the_devices_own_ranges_count(self) -> None:
        calls = calls_on_device(
            trace(
                event("gpu_user_annotation", CALL_RANGE, 1000, 100, STREAM),
                event("gpu_user_annotation", "sparq::score", 1000, 50, STREAM),
                event("gpu_user_annotation", "sparq::gather", 1060, 10, {"pid": 0, "tid": 9}),
                event("kernel", "k", 1010, 4.0, STREAM, 77),
                event("kernel", "k", 1065, 4.0, STREAM),
            )
        )
        assert times(step_shares(calls)) == {("score", "score"): (1, pytest.approx(4e-6))}
        assert calls[0].total_s == pytest.approx(8e-6)

    def test_a_launch_beside_its_range_is_found_on_the_device(self) -> None:
        calls = calls_on_device(
            trace(
                annotated(CALL_RANGE, 0, 11),
                annotated("sparq::score", 0, 10),
                launched(10.5, 1, 4.0),
                event("gpu_user_annotation", "sparq::score", 1010, 5, STREAM),
            )
        )
        assert times(step_shares(calls)) == {("score", "score"): (1, pytest.approx(4e-6))}

    def test_a_trace_without_kernels(self) -> None:
        lonely = trace(annotated(CALL_RANGE, 0, 100), event("cuda_runtime", "launch", 5, 1, HOST, 1))
        assert calls_on_device(lonely) == []


class TestOnAHost:
    def test_time_of_its_own_goes_to_each_operation_once(self) -> None:
        calls = calls_on_host(
            trace(
                operation("aten::randn", -50, -10),  # the query, before the call
                annotated(CALL_RANGE, 0, 100),
                annotated("sparq::score", 10, 60),
                operation("aten::matmul", 20, 50),
                operation("aten::bmm", 25, 45),
                annotated("sparq::gather", 60, 90),  # begins where the other ends; one compiled call
                operation("aten::empty", 92, 95),
            )
        )
        (call,) = calls
        assert call.total_s == call.span_s == pytest.approx(100e-6)
        assert times(kernel_shares(calls)) == {
            ("own code", "score"): (1, pytest.approx(20e-6)),
            ("aten::matmul", "score"): (1, pytest.approx(10e-6)),
            ("aten::bmm", "score"): (1, pytest.approx(20e-6)),
            ("own code", "gather"): (1, pytest.approx(30e-6)),
            ("aten::empty", None): (1, pytest.approx(3e-6)),
        }
        assert times(step_shares(calls)) == {
            ("score", "score"): (3, pytest.approx(50e-6)),
            ("gather", "gather"): (1, pytest.approx(30e-6)),
        }
        ranges = [(piece.name, piece.start_s, piece.duration_s) for piece in call.pieces if piece.is_range]
        assert ranges == [
            ("score", pytest.approx(10e-6), pytest.approx(50e-6)),
            ("gather", pytest.approx(60e-6), pytest.approx(30e-6)),
        ]

    def test_other_threads_are_not_the_calls(self) -> None:
        (call,) = calls_on_host(trace(annotated(CALL_RANGE, 0, 100), event("cpu_op", "aten::mul", 10, 5, OTHER_THREAD)))
        assert call.pieces == ()


def test_the_usual_call_is_one_that_happened() -> None:
    calls = [TracedCall(0.0, total_s, total_s, ()) for total_s in (3.0, 1.0, 4.0, 2.0)]
    assert usual_call(calls) is calls[3]  # the lower middle
