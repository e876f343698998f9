"""Grids and plans by hand."""

from dataclasses import replace

import pytest

from sparq_kernels.gpu.tiling import (
    DEFAULT,
    TILINGS,
    attend_splits,
    gather_splits,
    padded,
    product_warps,
    row_block,
    rows_a_split,
    score_tiles,
    tiling_for,
)
from sparq_kernels.sparq_triton.plan import CANDIDATES, HEADS, SHARED, plan_score
from sparq_profiles import SparqConfig

TINY = replace(DEFAULT, n_compute_units=4, attend_programs=1, attend_block=16)


def plan(
    config: SparqConfig, seq_len: int = 8192, group: int = 4, by_rows: bool = False, transposed: int | None = None
):
    length = seq_len if transposed is None else transposed
    return plan_score(8, seq_len, length, group, 128, 2, config, DEFAULT, by_rows=by_rows)


def test_lookup() -> None:
    assert tiling_for("sm_80") is TILINGS["sm_80"]
    unknown = tiling_for("sm_121", n_compute_units=48)
    assert (unknown.architecture, unknown.n_compute_units) == ("sm_121", 48)
    assert replace(unknown, architecture="sm_90", n_compute_units=132) == TILINGS["sm_90"]
    assert all(tiling.architecture == name for name, tiling in TILINGS.items())


@pytest.mark.parametrize(("length", "expected"), [(1, 1), (2, 2), (3, 4), (80, 128), (128, 128)])
def test_padded(length: int, expected: int) -> None:
    assert padded(length) == expected
    assert padded(length, 16) == max(16, expected)


def test_attend_splits() -> None:
    # Four places: one head is cut in four, two in two; five fill 5/8 of two waves, halved they fill 10/12 of three.
    assert attend_splits(1, 10_000, TINY) == 4
    assert attend_splits(2, 10_000, TINY) == 2
    assert attend_splits(4, 10_000, TINY) == 1
    assert attend_splits(5, 10_000, TINY) == 2
    assert attend_splits(1000, 10_000, TINY) == 1
    # Never parts of under four blocks, unless the sequence is no longer than that.
    assert attend_splits(1, 128, TINY) == 2
    assert attend_splits(1, 5, TINY) == 1
    # H100, 8 KV heads: 33 parts would fill all 264 places, 32 fill 97 %.
    assert attend_splits(8, 131_072, DEFAULT) == 32


@pytest.mark.parametrize("kv_heads", [1, 3, 8, 132, 200, 2048])
@pytest.mark.parametrize("seq_len", [1, 63, 1000, 32_768])
def test_parts_cover_the_rows(kv_heads: int, seq_len: int) -> None:
    for tiling in TILINGS.values():
        splits = attend_splits(kv_heads, seq_len, tiling)
        rows = rows_a_split(seq_len, splits, tiling.attend_block)
        assert rows % tiling.attend_block == 0
        assert rows * splits >= seq_len


def test_gather_splits() -> None:
    assert gather_splits(8, 128, DEFAULT) == 1
    assert gather_splits(8, 1024, DEFAULT) == 8
    assert gather_splits(100, 1024, DEFAULT) == 1
    assert gather_splits(8, 1, DEFAULT) == 1


def test_score_tiles() -> None:
    assert score_tiles(4096, 4096, 2048) == 2
    assert score_tiles(4097, 4097, 2048) == 3
    assert score_tiles(4096, 4100, 2048) == 3
    assert score_tiles(0, 5, 2048) == 1


def test_rows_and_warps() -> None:
    assert row_block(64, 128, 2) == 64
    assert row_block(64, 256, 2) == 32
    assert row_block(64, 80, 2) == 64
    assert row_block(64, 128, 4) == 16
    assert row_block(64, 512, 4) == 16
    assert [product_warps(d, b, DEFAULT) for d, b in ((128, 2), (256, 2), (128, 4), (256, 4))] == [4, 4, 8, 16]


def test_plan_of_the_usual_step() -> None:
    usual = plan(SparqConfig(32, 128, 32))
    assert (usual.emit, usual.vector, usual.spills, usual.at_once) == (CANDIDATES, True, False, True)
    assert (usual.n_tiles, usual.tile, usual.block) == (4, 2048, 2048)
    assert usual.n_items == 4 * 96
    assert usual.items == 512


def test_plan_spills_where_it_must() -> None:
    assert plan(SparqConfig(32, 512)).emit == CANDIDATES
    assert plan(SparqConfig(32, 513)).emit == SHARED
    assert plan(SparqConfig(32, 600, 100)).emit == CANDIDATES
    assert plan(SparqConfig(32, 128, group_score="softmax")).emit == HEADS
    # One head's softmax keeps the order of its logits.
    assert plan(SparqConfig(32, 128, group_score="softmax"), group=1).emit == CANDIDATES
    rows = plan(SparqConfig(32, 128), by_rows=True)
    assert (rows.emit, rows.vector, rows.spills, rows.block, rows.group_pad) == (CANDIDATES, False, True, 64, 16)
    large = plan(SparqConfig(32, 128), group=9)
    assert (large.vector, large.group_pad, large.spills, large.block) == (False, 16, True, 128)
    assert not plan(SparqConfig(32, 2000), seq_len=131_072).at_once


def test_plan_with_tokens_that_are_not_in_the_transpose() -> None:
    tail = plan(SparqConfig(32, 128), seq_len=8200, transposed=8192)
    assert tail.has_tail
    assert tail.n_tiles == 5
    assert not plan(SparqConfig(32, 128)).has_tail
