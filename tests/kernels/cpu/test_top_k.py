from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sparq_kernels.cpu.jit import BLOCK, block_maxima
from sparq_kernels.cpu.top_k import buffer_length, kth_largest, prune, push_tile

Floats = NDArray[np.float32]
ORDERS: dict[str, Callable[[Floats], Floats]] = {
    "random": lambda values: values,
    "ascending": np.sort,
    "descending": lambda values: np.sort(values)[::-1].copy(),
    "constant": lambda values: np.full_like(values, 1.5),
    "few values": lambda values: np.round(values).astype(np.float32),
    "organ pipe": lambda values: np.concatenate([np.sort(values[::2]), np.sort(values[1::2])[::-1]]),
    "minus infinity but one": lambda values: np.where(
        np.arange(values.size) == values.size // 2, values, np.float32(-np.inf)
    ).astype(np.float32),
}


def numbers(n: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=n).astype(np.float32)


def expected_positions(values: Floats, k: int) -> list[int]:
    """The k largest, ties to the lower position, in order of position; −inf is no score."""
    order = np.argsort(-values, kind="stable")[:k]
    return sorted(int(i) for i in order if values[i] > -np.inf)


def streamed_positions(values: Floats, k: int, tile: int, first_index: int = 0) -> list[int]:
    length = buffer_length(k)
    scores, work = np.empty(length, np.float32), np.empty(length, np.float32)
    indices = np.empty(length, np.int64)
    maxima = np.empty(tile // BLOCK + 1, np.float32)
    count, threshold = 0, np.float32(-np.inf)
    for start in range(0, values.size, tile):
        part = values[start : start + tile].copy()
        block_maxima(part, part.size, maxima)
        count, threshold = push_tile(
            part, part.size, maxima, first_index + start, scores, indices, work, count, k, threshold
        )
        assert count <= length
        assert np.array_equal(values[indices[:count] - first_index], scores[:count])
    if count > k:
        prune(scores, indices, work, count, k)
        count = k
    return [int(i) - first_index for i in indices[:count]]


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    n=st.integers(1, 6000),
    k=st.one_of(st.integers(1, 40), st.integers(1, 6000)),
    tile=st.sampled_from([1, 63, 64, 65, 500, 4096]),
    order=st.sampled_from(sorted(ORDERS)),
    seed=st.integers(0, 10**6),
)
def test_streamed_top_k_is_the_sorts(n: int, k: int, tile: int, order: str, seed: int) -> None:
    values = ORDERS[order](numbers(n, seed))
    assert streamed_positions(values, k, max(tile, n // 100)) == expected_positions(values, k)


@pytest.mark.parametrize("order", ORDERS)
def test_streamed_top_k_of_a_long_sequence(order: str) -> None:
    values = ORDERS[order](numbers(100_000, 3))
    assert streamed_positions(values, 300, 4096, first_index=5_000_000_000) == expected_positions(values, 300)


def test_nan_never_enters() -> None:
    values = numbers(3000, 0)
    values[::7] = np.nan
    expected = expected_positions(np.where(np.isnan(values), np.float32(-np.inf), values), 100)
    assert streamed_positions(values, 100, 500) == expected


@settings(derandomize=True, deadline=None, max_examples=150)
@given(n=st.integers(1, 500), share=st.floats(0, 1), order=st.sampled_from(sorted(ORDERS)), seed=st.integers(0, 10**6))
def test_kth_largest_and_prune(n: int, share: float, order: str, seed: int) -> None:
    values = ORDERS[order](numbers(n, seed))
    k = 1 + round(share * (n - 1))
    kth = np.sort(values)[n - k]
    assert kth_largest(values.copy(), n, k) == kth
    scores, indices = values.copy(), np.arange(n) + 7
    assert prune(scores, indices, np.empty(n, np.float32), n, k) == kth
    kept = np.sort(np.argsort(-values, kind="stable")[:k])
    assert indices[:k].tolist() == (kept + 7).tolist()
    assert np.array_equal(scores[:k], values[kept])


def test_work_beyond_the_count_is_not_read() -> None:
    scores = np.array([1, 3, 2, np.nan, 9], np.float32)
    indices = np.arange(5)
    assert prune(scores, indices, np.full(5, 99, np.float32), 3, 2) == 2
    assert indices[:2].tolist() == [1, 2]


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("n", [1, 2, 3, 50, 700])
def test_nan_ends_and_stays_within_the_buffer(n: int, share: float) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        guarded = np.full(n + 32, 123, np.float32)
        guarded[16 : 16 + n] = np.where(rng.random(n) < share, np.nan, rng.normal(size=n))
        before = np.sort(guarded[16 : 16 + n])
        kth_largest(guarded[16 : 16 + n], n, int(rng.integers(1, n + 1)))
        assert (guarded[:16] == 123).all()
        assert (guarded[16 + n :] == 123).all()
        np.testing.assert_array_equal(np.sort(guarded[16 : 16 + n]), before)
