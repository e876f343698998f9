"""Expectations held against records, with numbers worked by hand."""

from typing import Any

import pytest

from sparq_perf.expectations import judge, rows
from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.quantity import Quantity
from sparq_profiles.suite import Suite

SHAPE = AttentionShape(4, 4096, 4, 2, 32, "float16")
CONFIG = SparqConfig(8, 64, 16)
PLACE = {"model": "tiny", "batch": 4, "seq_len": 4096}
SPARSE = {**PLACE, "rank": 8, "top_k": 64}


def suite(**expectation: Any) -> Suite:
    grid = {
        "model": "tiny",
        "shape": {"n_heads": 4, "n_kv_heads": 2, "head_dim": 32},
        "batch": [4],
        "seq_len": [4096],
        "configs": [{"rank": 8, "top_k": 64}],
    }
    asked = {"device": "h100", "source": "a test", **expectation}
    return Suite.model_validate({"name": "tiny", "title": "Tiny", "grids": [grid], "expectations": [asked]})


@pytest.fixture
def records(lines: Any) -> list[Any]:
    """Dense 8 ms and 6 ms, SparQ 2 ms and 3 ms, each of 1,010 bytes; 1 MB/s copied, so 1.01 ms of bytes."""
    hardware = lines.hardware().model_copy(
        update={"copy_bandwidth_bytes_per_s": Quantity(value=1e6, kind="measured", source="a test")}
    )
    predicted = (1e-3, 2e-3, 3e-3)

    def measured(seconds: float, implementation: str, **fields: Any) -> Any:
        return lines.measurement(
            (seconds,), shape=SHAPE, implementation=implementation, key=implementation, predicted=predicted, **fields
        )

    sparq = measured(2e-3, "sparq-a", config=CONFIG)
    return [
        lines.run(environment=lines.environment(device="NVIDIA H100 80GB HBM3")),
        lines.ceilings().model_copy(update={"hardware": hardware}),
        measured(8e-3, "dense-a"),
        measured(6e-3, "dense-b"),
        sparq,
        measured(3e-3, "sparq-b", config=CONFIG),
        measured(1e-9, "sparq-c", config=CONFIG, status="invalid", reasons=("noisy: very",)),
        lines.step_profile(key="sparq-a", steps=({"name": "attend", "time_s": 1.5e-3},)),
    ]


@pytest.mark.parametrize(
    ("expectation", "measured", "by"),
    [
        ({"quantity": "speedup", **SPARSE}, 3.0, "sparq-a over dense-b"),
        ({"quantity": "speedup", **SPARSE, "implementation": "sparq-b"}, 2.0, "sparq-b over dense-b"),
        ({"quantity": "share_of_copy_bandwidth", **PLACE}, 1.01 / 6, "dense-b"),
        ({"quantity": "share_of_copy_bandwidth", **PLACE, "implementation": "dense-a"}, 1.01 / 8, "dense-a"),
        ({"quantity": "share_of_copy_bandwidth", **SPARSE}, 1.01 / 2, "sparq-a"),
        (
            {"quantity": "share_of_copy_bandwidth", **SPARSE, "step": "attend"},
            1.01 / 1.5,
            "sparq-a, predicted bytes over the profiler's time",
        ),
        ({"quantity": "beyond_byte_time_s", **SPARSE}, 0.99e-3, "sparq-a"),
    ],
)
def test_measured(records: list[Any], expectation: dict[str, Any], measured: float, by: str) -> None:
    (verdict,) = judge(suite(target=1.0, **expectation), records)
    assert verdict.measured == pytest.approx(measured)
    assert verdict.by == by


@pytest.mark.parametrize(
    ("quantity", "target", "met"),
    [
        ("speedup", 3.0, True),
        ("speedup", 3.001, False),
        ("beyond_byte_time_s", 0.9901e-3, True),  # at most
        ("beyond_byte_time_s", 0.98e-3, False),
    ],
)
def test_met(records: list[Any], quantity: str, target: float, met: bool) -> None:
    (verdict,) = judge(suite(quantity=quantity, target=target, **SPARSE), records)
    assert verdict.met is met


@pytest.mark.parametrize(
    ("expectation", "reason"),
    [
        ({"quantity": "speedup", **SPARSE, "implementation": "sparq-z"}, "not measured"),
        ({"quantity": "speedup", **SPARSE, "implementation": "sparq-c"}, "not measured: invalid: noisy: very"),
        (
            {"quantity": "share_of_copy_bandwidth", **SPARSE, "step": "score"},
            "not measured: the profiler's pass has no time for the step score",
        ),
    ],
)
def test_not_measured(records: list[Any], expectation: dict[str, Any], reason: str) -> None:
    (verdict,) = judge(suite(target=1.0, **expectation), records)
    assert (verdict.measured, verdict.met, verdict.by) == (None, None, reason)
    assert rows([verdict])[0][2:] == (reason, "–", "")


def test_without_a_dense_baseline(records: list[Any]) -> None:
    sparse_only = [line for line in records if getattr(line, "implementation", "").removesuffix("-b") != "dense"]
    sparse_only = [line for line in sparse_only if getattr(line, "implementation", "") != "dense-a"]
    (verdict,) = judge(suite(quantity="speedup", target=1.0, **SPARSE), sparse_only)
    assert verdict.by == "not measured: no valid dense baseline"


def test_without_a_copy_bandwidth(records: list[Any], lines: Any) -> None:
    records[1] = lines.ceilings()
    (verdict,) = judge(suite(quantity="beyond_byte_time_s", target=1.0, **SPARSE), records)
    assert verdict.by == "not measured: these records have no copy bandwidth"


def test_other_devices_are_not_asked(records: list[Any], lines: Any) -> None:
    asked = suite(quantity="speedup", target=1.0, **SPARSE)
    assert judge(asked, [lines.run(), *records[1:]]) == []
    assert judge(asked, []) == []


def test_in_words(records: list[Any]) -> None:
    def row(**expectation: Any) -> tuple[str, ...]:
        return rows(judge(suite(**expectation), records))[0]

    speedup = row(quantity="speedup", target=4.9, **SPARSE)
    assert speedup == (
        "tiny B=4 S=4,096 r=8 k=64, cold", "speedup ≥ 4.90×", "3.00×", "missed", "sparq-a over dense-b",
    )  # fmt: skip
    share = row(quantity="share_of_copy_bandwidth", target=0.1, **PLACE)
    assert share[:4] == ("tiny B=4 S=4,096 dense, cold", "of copy bandwidth ≥ 10%", "17%", "met")
    step = row(quantity="share_of_copy_bandwidth", target=0.85, step="attend", **SPARSE)
    assert step[1:4] == ("of copy bandwidth ≥ 85%, step attend", "67%", "missed")
    beyond = row(quantity="beyond_byte_time_s", target=12e-6, **SPARSE)
    assert beyond[1:4] == ("beyond byte time ≤ 12.0 µs", "990.0 µs", "missed")
