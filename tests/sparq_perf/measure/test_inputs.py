"""Caches and queries: reproducible, never tied, heavy-tailed, and as large as they are said to be."""

import pytest
import torch

from sparq_kernels import KVCache
from sparq_perf.measure import inputs
from sparq_perf.measure.inputs import Queries, build_cache, cache_bytes
from sparq_profiles import AttentionShape
from sparq_profiles.shape import K_LAYOUTS, KLayout

SHAPE = AttentionShape(2, 700, 4, 2, 32, "float32")


def keys_of(cache: KVCache) -> torch.Tensor:
    return cache.any_keys


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_a_cache_is_what_was_asked_for(k_layout: KLayout) -> None:
    cache = build_cache(SHAPE, k_layout, 3)
    assert cache.k_layout == k_layout
    assert tuple(keys_of(cache).shape) == tuple(cache.values.shape) == (2, 2, 700, 32)
    assert cache.dtype == torch.float32
    again, other = build_cache(SHAPE, k_layout, 3), build_cache(SHAPE, k_layout, 4)
    assert torch.equal(keys_of(cache), keys_of(again))
    assert not torch.equal(keys_of(cache), keys_of(other))


def test_no_two_rows_of_a_head_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "BASE_ROWS", 64)  # so that rows repeat many times, turned
    cache = build_cache(SHAPE, "row_major", 3)
    for head in keys_of(cache).reshape(-1, 700, 32):
        assert torch.unique(head, dim=0).shape[0] == 700


def test_heads_differ() -> None:
    heads = keys_of(build_cache(SHAPE, "row_major", 3)).reshape(4, -1)
    assert torch.unique(heads, dim=0).shape[0] == 4


@pytest.mark.parametrize(("k_layout", "copies"), [("two_copies", 3), ("channel_major", 2), ("row_major", 2)])
def test_cache_bytes(k_layout: KLayout, copies: int) -> None:
    base = 8192 * 32 * 2 * 4
    assert cache_bytes(SHAPE, k_layout) == copies * (2 * 2 * 700 * 32 * 4) + base


def test_queries_are_fresh_and_reproducible() -> None:
    one, two = Queries(SHAPE, 5), Queries(SHAPE, 5)
    drawn = [one.draw() for _ in range(3)]
    assert all(tuple(query.shape) == (2, 4, 32) for query in drawn)
    assert all(torch.equal(query, two.draw()) for query in drawn)
    assert not torch.equal(drawn[0], drawn[1])
    assert Queries(AttentionShape(1, 1, 1, 1, 8, "float16"), 0).draw().dtype == torch.float16


def test_a_few_channels_dominate() -> None:
    queries = Queries(AttentionShape(1, 1, 16, 16, 128), 5)
    share = torch.stack([queries.draw()[0].float() for _ in range(50)]).pow(2).mean(dim=0)
    top = share.sort(dim=-1, descending=True).values
    # The 16 strongest of 128 channels carry most of the energy; of plain normal noise they would carry about a fifth.
    assert float(top[:, :16].sum() / top.sum()) > 0.5
