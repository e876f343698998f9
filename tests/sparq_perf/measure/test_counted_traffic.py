"""Counts beside formulas: which launches make a step, and when both agree."""

import json
import os

import pytest

from sparq_kernels.gpu.tiling import tiling_for
from sparq_perf.measure.countable import APPEND, countable, needs_settings
from sparq_perf.measure.counted_cases import STANDARD_CASES
from sparq_perf.measure.counted_runs import count
from sparq_perf.measure.counted_traffic import Case, CountedStep, compare, layout_costs
from sparq_perf.measure.counts import LaunchCount, OutOfBounds, TensorCount
from sparq_profiles import AttentionShape, ConfigError, SparqConfig
from sparq_roofline.steps import StepTraffic, Traffic

SHAPE = AttentionShape(1, 64, 4, 2, 32)
CASE = Case(SHAPE, SparqConfig(8, 16))
interpreted = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="TRITON_INTERPRET=1 is not set")
STRAY = OutOfBounds("kernel", "k", "read", 3, 64, 72, 64, (0, 0, 0))


def launched(step: str, read_bytes: int, write_bytes: int = 0, *strays: OutOfBounds, kernel: str = "") -> LaunchCount:
    """A launch with one tensor, of which it reads every sector twice and writes every sector once."""
    sectors = read_bytes // 64
    tensor = TensorCount(
        "x",
        storage_bytes=1024,
        read_bytes=read_bytes,
        read_sectors=sectors,
        read_requests=2 * sectors,
        write_bytes=write_bytes,
        write_sectors=write_bytes // 32,
        write_requests=write_bytes // 32,
    )
    return LaunchCount(step, kernel or f"{step}_kernel", (1,), (tensor,), strays)


def compared(*launches: LaunchCount, case: Case = CASE, **read_bytes: float) -> list[CountedStep]:
    """Beside formulas that state bytes read, by step."""
    traffic = Traffic(tuple(StepTraffic(step, size) for step, size in read_bytes.items()))
    return compare("toy", case, case.config, tiling_for("sm_90"), launches, traffic)


def test_launches_of_one_step_add_up() -> None:
    score, gather = compared(
        launched("score", 640, kernel="first"),
        launched("gather", 128, 64),
        launched("score", 320, kernel="second"),
        launched("score", 64, kernel="first"),
        score=1000,
        gather=192,
    )
    assert (score.step, score.kernel, len(score.launches)) == ("score", "first + second", 3)
    assert (score.read_bytes, score.write_bytes, score.counted_bytes) == (1024, 0, 1024)
    assert score.analytic_bytes == 1000
    assert score.difference == pytest.approx(-24 / 1024)
    assert (score.unique_sector_bytes, score.sector_requests, score.requested_bytes) == (512, 32, 1024)
    assert score.sector_ratio == 0.5
    assert (gather.read_bytes, gather.write_bytes, gather.difference) == (128, 64, 0.0)


def test_what_is_accessed_is_held_against_the_formulas_for_it() -> None:
    traffic = Traffic((StepTraffic("gather", 6400, 64, accessed_bytes=400),))
    (step,) = compare("toy", CASE, CASE.config, tiling_for("sm_90"), [launched("gather", 400)], traffic)
    assert (step.analytic_bytes, step.moved_bytes, step.difference) == (400, 6464, 0)


def test_tolerance() -> None:
    (step,) = compared(launched("score", 1000), score=1010)
    assert step.holds(0.01)
    assert not step.holds(0.0099)
    (step,) = compared(launched("score", 1000), score=989)
    assert not step.holds(0.01)
    (step,) = compared(launched("score", 1000, 0, STRAY), score=1000)
    assert step.difference == 0
    assert not step.holds(1.0)


def test_a_step_that_only_one_side_knows_does_not_hold() -> None:
    stated, run = compared(launched("select", 64), score=100)
    assert (stated.step, stated.launches, stated.kernel, stated.counted_bytes) == ("score", (), "", 0)
    assert (stated.difference, stated.sector_ratio) == (None, None)
    assert (run.step, run.analytic, run.analytic_bytes, run.difference) == ("select", None, 0, -1.0)
    assert not stated.holds(0.5)
    assert not run.holds(0.5)
    (nothing,) = compared(score=0)
    assert nothing.holds(0)


def test_a_row_is_plain_data() -> None:
    (step,) = compared(launched("score", 640, 64, STRAY), score=704)
    row = json.loads(json.dumps(step.as_row(), allow_nan=False))
    assert {name: row[name] for name in ("implementation", "step", "kernel", "k_layout", "architecture")} == {
        "implementation": "toy",
        "step": "score",
        "kernel": "score_kernel",
        "k_layout": "two_copies",
        "architecture": "sm_90",
    }
    assert [row[name] for name in ("batch", "seq_len", "n_heads", "n_kv_heads", "head_dim")] == [1, 64, 4, 2, 32]
    assert [row[name] for name in ("dtype", "rank", "top_k", "local_window")] == ["float16", 8, 16, 0]
    assert (row["mean_value"], row["group_score"]) == (True, "logits")
    assert [row[f"counted{side}_bytes"] for side in ("", "_read", "_write")] == [704, 640, 64]
    assert (row["analytic_bytes"], row["difference"]) == (704, 0)
    assert [row[f"moved{side}_bytes"] for side in ("", "_read", "_write")] == [704, 704, 0]
    assert (row["unique_sector_bytes"], row["sector_ratio"], row["sector_requests"]) == (384, 384 / 704, 22)
    assert row["out_of_bounds"][0]["parameter"] == "k"
    (launch,) = row["launches"]
    assert (launch["kernel"], launch["grid"], launch["tensors"][0]["read_bytes"]) == ("score_kernel", [1], 640)


def test_dense_rows_have_no_settings() -> None:
    (step,) = compare("toy", CASE, None, tiling_for("sm_90"), [launched("attend", 64)], Traffic(()))
    row = step.as_row()
    assert row["k_layout"] == "two_copies"
    assert [row[name] for name in ("rank", "top_k", "local_window", "mean_value", "group_score")] == [None] * 5


def test_layout_costs() -> None:
    steps = [
        *compared(launched("score", 640), launched("gather", 128, 64), case=CASE),
        *compared(launched("score", 1280), launched("gather", 128, 64), case=CASE.with_layout("row_major")),
        *compare("dense", CASE, None, tiling_for("sm_90"), [launched("attend", 6400)], Traffic(())),
    ]
    two, row = layout_costs(steps)
    assert (two.k_layout, row.k_layout) == ("two_copies", "row_major")
    assert (two.counted_bytes, row.counted_bytes) == (832, 1472)
    assert (two.unique_sector_bytes, row.unique_sector_bytes) == (320 + 64 + 64, 640 + 64 + 64)
    assert (two.requested_bytes, row.requested_bytes) == (640 + 128 + 64, 1280 + 128 + 64)
    assert (two.ratio, row.ratio) == (1, pytest.approx(768 / 448))
    assert [cost.ratio for cost in layout_costs(steps[2:4])] == [None]


@interpreted
@pytest.mark.parametrize("layout", ["two_copies", "channel_major", "row_major"])
@pytest.mark.parametrize("seq_len", [63, 64, 65])
def test_the_append_by_hand(layout: str, seq_len: int) -> None:
    """One KV head of 16 fp16 components; K and V come in, and the mean of V, fp32, is read and written."""
    case = Case(AttentionShape(1, seq_len, 2, 1, 16), SparqConfig(8, 16)).with_layout(layout)
    (step,) = count(APPEND, case, tiling_for("sm_90"))
    row, mean, start = 16 * 2, 16 * 4, 8
    # Token 64 completes a tile of Kᵀ: its 64 rows of K are read back and written as columns.
    tile = 64 * row if layout == "two_copies" and seq_len == 64 else 0
    assert (step.step, step.read_bytes, step.write_bytes) == (
        "append",
        2 * row + mean + start + tile,
        2 * row + mean + tile,
    )
    assert step.holds(0)
    # A column of Kᵀ alone touches a sector for each of 16 components, a row only one.
    key_sectors = 16 if layout == "channel_major" else 1
    tile_sectors = 64 + 16 * 4 if tile else 0
    assert step.unique_sector_bytes == 32 * (1 + 1 + 2 + 1 + key_sectors + 1 + 2 + tile_sectors)


@interpreted
@pytest.mark.parametrize("name", ["dense-triton", "sparq-triton"])
@pytest.mark.parametrize("case", STANDARD_CASES[-3:], ids=lambda case: case.title)
def test_the_kernels_access_what_their_formulas_say(name: str, case: Case) -> None:
    steps = count(name, case, tiling_for("sm_90"))
    dense = name == "dense-triton" or case.config.top_k >= case.shape.seq_len
    assert [step.step for step in steps] == (["attend"] if dense else ["score", "select", "gather"])
    assert [step.difference for step in steps] == [0] * len(steps)
    assert [step.out_of_bounds for step in steps] == [()] * len(steps)


def test_what_can_be_counted() -> None:
    assert countable() == ["dense-triton", "sparq-triton", APPEND]
    assert countable([APPEND, "dense-triton", APPEND]) == [APPEND, "dense-triton"]
    assert not needs_settings([APPEND, "dense-triton"])
    assert needs_settings([APPEND, "sparq-triton"])
    with pytest.raises(ConfigError, match="implementation is 'sparq-cpu', which has no Triton kernel"):
        countable(["dense-triton", "sparq-cpu"])
    with pytest.raises(ConfigError, match="takes caches of float16, bfloat16, float32; dtype is float64"):
        count("dense-triton", Case(AttentionShape(1, 8, 1, 1, 16, "float64"), SparqConfig(8, 16)), tiling_for("sm_90"))
    with pytest.raises(ConfigError, match="append-triton takes caches of up to 32 bits; dtype is float64"):
        count(APPEND, Case(AttentionShape(1, 8, 1, 1, 16, "float64"), SparqConfig(8, 16)), tiling_for("sm_90"))


def test_a_case() -> None:
    # 64 tokens, 2 KV heads, 32 components, 2 bytes: K twice and V once, and the mean of V in fp32.
    assert CASE.cache_bytes == 3 * 64 * 2 * 32 * 2 + 2 * 32 * 4
    assert CASE.with_layout("row_major").cache_bytes == 2 * 64 * 2 * 32 * 2 + 2 * 32 * 4
    assert CASE.title == "B=1 S=64 heads 4/2 d=32 float16 · r=8 k=16 l=0 logits"
    assert "no mean" in Case(SHAPE, SparqConfig(8, 16, mean_value=False)).title
    assert CASE.title == CASE.with_layout("row_major").title
    with pytest.raises(ConfigError, match="sideways"):
        CASE.with_layout("sideways")
    with pytest.raises(ConfigError, match="rank is 64 and head_dim is 32"):
        Case(SHAPE, SparqConfig(64, 16))


def test_the_standard_cases_cover_what_can_differ() -> None:
    shapes, configs = [case.shape for case in STANDARD_CASES], [case.config for case in STANDARD_CASES]
    assert len(set(STANDARD_CASES)) == len(STANDARD_CASES) >= 12
    assert {shape.head_dim for shape in shapes} == {64, 80, 96, 128, 256}
    assert {shape.dtype for shape in shapes} == {"float16", "bfloat16", "float32"}
    assert {config.k_layout for config in configs} == {"two_copies", "channel_major", "row_major"}
    for layout in ("two_copies", "channel_major", "row_major"):
        rules = {case.config.group_score for case in STANDARD_CASES if case.config.k_layout == layout}
        assert rules == {"logits", "softmax"}
    assert {shape.n_kv_heads == shape.n_heads for shape in shapes} == {True, False}
    assert any(shape.n_kv_heads == 1 < shape.n_heads for shape in shapes)
    assert any(shape.seq_len % 2 for shape in shapes)
    assert any(config.top_k >= shape.seq_len for shape, config in zip(shapes, configs, strict=True))
