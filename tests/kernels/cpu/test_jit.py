from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparq_kernels.cpu.jit import BLOCK, FASTMATH, block_maxima, exp2, prefetch_row, split_count


@numba.njit(fastmath=FASTMATH, error_model="numpy")
def exp2_of_each(x: Any, out: Any) -> None:
    for i in range(x.size):
        out[i] = exp2(x[i])


def exp2_of(x: Any) -> Any:
    x = np.asarray(x, np.float32)
    out = np.empty_like(x)
    exp2_of_each(x, out)
    return out


def test_exp2_is_accurate() -> None:
    dense = np.linspace(-126, 20, 400_001, dtype=np.float32)
    near_whole = np.arange(-125, 20, dtype=np.float32)
    x = np.concatenate([dense, near_whole, np.nextafter(near_whole, np.float32(99)), near_whole - np.float32(1e-5)])
    exact = np.exp2(x.astype(np.float64))
    assert np.abs(exp2_of(x) / exact - 1).max() < 3e-7


def test_exp2_below_the_least_exponent_is_zero() -> None:
    assert (exp2_of([-126.5, -127, -200, -1e30, -np.inf]) == 0).all()


def test_exp2_of_nan_does_not_reach_a_weight() -> None:
    assert exp2_of([np.nan])[0] == 0


def test_exp2_falls_nowhere() -> None:
    x = np.linspace(-130, 20, 10_001, dtype=np.float32)
    steps = np.diff(exp2_of(x).astype(np.float64)) / np.exp2(x[1:].astype(np.float64))
    assert steps.min() > -3e-7


@settings(derandomize=True, deadline=None, max_examples=100)
@given(length=st.integers(1, 1000), extra=st.integers(0, 70), seed=st.integers(0, 10**6), nan=st.booleans())
def test_block_maxima(length: int, extra: int, seed: int, nan: bool) -> None:
    rng = np.random.default_rng(seed)
    row = rng.normal(size=length + extra).astype(np.float32)
    row[length:] = 1e9  # beyond the length
    if nan:
        row[:length][rng.random(length) < 0.4] = np.nan
    blocks = -(-length // BLOCK)
    maxima = np.full(blocks + 1, 77, np.float32)
    largest = block_maxima(row, length, maxima)
    for block in range(blocks):
        part = row[block * BLOCK : min(length, (block + 1) * BLOCK)]
        expected = np.nanmax(part, initial=-np.inf, where=~np.isnan(part))
        assert maxima[block] == expected
    assert maxima[blocks] == 77
    assert largest == maxima[:blocks].max()


def test_block_maxima_of_minus_infinity() -> None:
    maxima = np.empty(2, np.float32)
    assert block_maxima(np.full(100, -np.inf, np.float32), 100, maxima) == -np.inf
    assert (maxima == -np.inf).all()


def test_block_maxima_of_nan_alone() -> None:
    maxima = np.empty(2, np.float32)
    assert block_maxima(np.full(100, np.nan, np.float32), 100, maxima) == -np.inf


@pytest.mark.parametrize("columns", [1, 16, 20, 128])
def test_prefetching_past_the_end_is_harmless(columns: int) -> None:
    rows = np.ones((3, columns), np.float32)
    for index in (0, 2, 3, 10**6):
        prefetch_row(rows, index)
    assert (rows == 1).all()


def test_split_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    assert split_count(1, 1_000_000, minimum_length=1000) == 8  # four tasks a thread
    assert split_count(3, 1_000_000, minimum_length=1000) == 3
    assert split_count(2, 1_000_000, minimum_length=1000) == 1  # a task a thread is even
    assert split_count(64, 1_000_000, minimum_length=1000) == 1
    assert split_count(1, 2_500, minimum_length=1000) == 2
    assert split_count(1, 10, minimum_length=1000) == 1
    assert split_count(0, 10, minimum_length=1000) == 1
