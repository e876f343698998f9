"""Speedups against the best dense, and how far predictions were off, from numbers worked by hand."""

import math
from typing import Any

import pytest

from sparq_perf.comparison import compare, measured_time, median_absolute_error, prediction_error
from sparq_profiles import AttentionShape


def test_speedup_and_its_interval(lines: Any, config: Any) -> None:
    dense = lines.measurement((8.0,), median_ci_s=(6.0, 9.0), predicted=(4.0, 6.0, 9.0))
    sparq = lines.measurement((2.0,), config=config, median_ci_s=(1.5, 4.0), predicted=(2.0, 3.0, 4.5))
    (comparison,) = compare([dense, sparq])
    assert comparison.sparq == sparq
    assert comparison.dense == dense
    speedup = comparison.speedup
    assert (speedup.lower, speedup.expected, speedup.upper) == (6 / 4, 4.0, 6.0)
    assert comparison.predicted_speedup is not None
    predicted = comparison.predicted_speedup
    # Both are 1.5 times as long at most, independently of each other: logarithms add as squares do.
    factor = math.exp(math.sqrt(2) * math.log(1.5))
    assert (predicted.lower, predicted.expected, predicted.upper) == pytest.approx((2 / factor, 2.0, 2 * factor))


def test_measured_time(lines: Any) -> None:
    time = measured_time(lines.measurement((1.0, 3.0, 2.0), median_ci_s=(0.5, 4.0)))
    assert (time.lower, time.expected, time.upper) == (0.5, 2.0, 4.0)


@pytest.mark.parametrize("order", [1, -1])
def test_the_fastest_dense_is_the_baseline(lines: Any, config: Any, order: int) -> None:
    slow = lines.measurement((9.0,), implementation="dense-sdpa")
    fast = lines.measurement((6.0,), implementation="dense-cpu")
    sparq = lines.measurement((3.0,), config=config)
    (comparison,) = compare([*[slow, fast][::order], sparq])
    assert comparison.dense.implementation == "dense-cpu"
    assert comparison.speedup.expected == 2.0


@pytest.mark.parametrize("status", ["invalid", "failed"])
def test_what_is_not_valid_takes_no_part(lines: Any, config: Any, status: str) -> None:
    bad = {"status": status, "reasons": ("a reason",)}
    samples = None if status == "failed" else (1.0,)
    dense, fast = lines.measurement((6.0,)), lines.measurement(samples, implementation="dense-sdpa", **bad)
    sparq = lines.measurement((3.0,), config=config)
    (comparison,) = compare([dense, fast, sparq])
    assert comparison.speedup.expected == 2.0
    assert compare([lines.measurement(samples, **bad), sparq]) == []
    assert compare([dense, lines.measurement(samples, config=config, **bad)]) == []


def test_only_the_same_workload_is_compared(lines: Any, config: Any, shape: AttentionShape) -> None:
    sparq = lines.measurement((3.0,), config=config)
    longer = AttentionShape(1, 2 * shape.seq_len, shape.n_heads, shape.n_kv_heads, shape.head_dim, shape.dtype)
    for other in ({"shape": longer}, {"cache_state": "warm"}, {"model": "other"}):
        assert compare([lines.measurement((6.0,), **other), sparq]) == []
    assert len(compare([lines.measurement((6.0,)), sparq])) == 1


def test_the_latest_measurement_counts(lines: Any, config: Any) -> None:
    dense = lines.measurement((6.0,))
    first, again = lines.measurement((3.0,), config=config), lines.measurement((2.0,), config=config)
    (comparison,) = compare([dense, first, again])
    assert comparison.speedup.expected == 3.0


def test_a_missing_prediction_is_none(lines: Any, config: Any) -> None:
    dense = lines.measurement((6.0,), predicted=(4.0, 6.0, 9.0))
    (comparison,) = compare([dense, lines.measurement((3.0,), config=config)])
    assert comparison.predicted_speedup is None


def test_the_sign_of_a_prediction_error(lines: Any) -> None:
    assert prediction_error(lines.measurement((2.0,), predicted=(1.0, 3.0, 4.0))) == pytest.approx(0.5)
    assert prediction_error(lines.measurement((4.0,), predicted=(1.0, 3.0, 4.0))) == pytest.approx(-0.25)


def test_no_prediction_error_without_both(lines: Any) -> None:
    bad = {"reasons": ("a reason",), "predicted": (1.0, 3.0, 4.0)}
    assert prediction_error(lines.measurement((2.0,))) is None
    assert prediction_error(lines.measurement((2.0,), status="invalid", **bad)) is None
    assert prediction_error(lines.measurement(status="failed", **bad)) is None


def test_median_absolute_error(lines: Any) -> None:
    # Errors of +50 %, −25 % and 0 %, and two that have none.
    measurements = [
        lines.measurement((2.0,), predicted=(1.0, 3.0, 4.0)),
        lines.measurement((4.0,), predicted=(1.0, 3.0, 4.0)),
        lines.measurement((3.0,), predicted=(1.0, 3.0, 4.0)),
        lines.measurement((3.0,)),
        lines.measurement((1.0,), predicted=(1.0, 3.0, 4.0), status="invalid", reasons=("noisy",)),
    ]
    assert median_absolute_error(measurements) == pytest.approx(0.25)
    assert median_absolute_error(measurements[:2]) == pytest.approx(0.375)
    assert median_absolute_error(measurements[3:]) is None
    assert median_absolute_error([]) is None


def test_nothing_to_compare(lines: Any) -> None:
    assert compare([]) == []
    assert compare([lines.run(), lines.ceilings(), lines.end()]) == []
