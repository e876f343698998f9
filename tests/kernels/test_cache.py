from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparq_kernels import KVCache, decode
from sparq_kernels.memory import CACHE_LINE_BYTES, allocate, padded_stride
from sparq_profiles import AttentionShape
from sparq_profiles.shape import K_LAYOUTS, KLayout

Inputs = Callable[..., Any]
Refusal = Callable[..., str]


def assert_equal_caches(found: KVCache, expected: KVCache) -> None:
    assert found.seq_len == expected.seq_len
    for name in ("keys", "keys_transposed", "values"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None), name
        if one is not None:
            assert torch.equal(one, other), name
            assert one.stride(-1) == 1
    torch.testing.assert_close(found.mean_value, expected.mean_value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_holds_what_it_was_given(make_inputs: Inputs, k_layout: KLayout) -> None:
    case = make_inputs(2, 3, 1, 37, 20)
    cache = KVCache.from_tensors(case.k, case.v, k_layout=k_layout, valid_start=torch.tensor([0, 30]))
    case.k[1, :, :30] = case.v[1, :, :30] = 0  # padding is not kept
    assert (cache.batch, cache.n_kv_heads, cache.seq_len, cache.head_dim) == (2, 3, 37, 20)
    assert (cache.keys is None) == (k_layout == "channel_major")
    assert (cache.keys_transposed is None) == (k_layout == "row_major")
    if cache.keys is not None:
        assert torch.equal(cache.keys, case.k)
    if cache.keys_transposed is not None:
        assert torch.equal(cache.keys_transposed, case.k.mT)
    assert torch.equal(cache.any_keys, case.k)
    assert torch.equal(cache.values, case.v)
    torch.testing.assert_close(cache.mean_value[0], case.v[0].mean(1))
    torch.testing.assert_close(cache.mean_value[1], case.v[1, :, 30:].mean(1))
    assert cache.is_padded
    assert not KVCache.from_tensors(case.k, case.v).is_padded


def test_holds_copies(make_inputs: Inputs) -> None:
    case = make_inputs(1, 1, 1, 5, 8)
    start = torch.tensor([2])
    cache = KVCache.from_tensors(case.k, case.v, valid_start=start)
    before = (cache.any_keys.clone(), cache.values.clone())
    case.k.zero_()
    case.v.zero_()
    start.zero_()
    assert torch.equal(cache.any_keys, before[0])
    assert torch.equal(cache.values, before[1])
    assert cache.valid_start.tolist() == [2]


@pytest.mark.parametrize("held", [0, 1, 40])
@pytest.mark.parametrize("k_layout", K_LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_appending_is_as_good_as_the_whole(
    make_inputs: Inputs, k_layout: KLayout, held: int, dtype: torch.dtype
) -> None:
    case = make_inputs(2, 3, 1, 170, 20, dtype=dtype)
    start = torch.tensor([0, min(held, 33)])
    cache = KVCache.from_tensors(case.k[:, :, :held], case.v[:, :, :held], k_layout=k_layout, valid_start=start)
    for position in range(held, 170):
        cache.append(case.k[:, :, position], case.v[:, :, position])
        if position in (held, held + 1, 64, 65, 129):
            so_far = slice(0, position + 1)
            expected = KVCache.from_tensors(
                case.k[:, :, so_far], case.v[:, :, so_far], k_layout=k_layout, valid_start=start
            )
            assert_equal_caches(cache, expected)
    assert_equal_caches(cache, KVCache.from_tensors(case.k, case.v, k_layout=k_layout, valid_start=start))


def test_a_cache_made_empty_fills(make_inputs: Inputs) -> None:
    case = make_inputs(2, 3, 1, 70, 8)
    cache = KVCache(2, 3, 8, capacity=0, dtype=torch.float32)
    assert cache.seq_len == 0
    for position in range(70):
        # With a token axis, as a model's projection gives it.
        cache.append(case.k[:, :, position : position + 1], case.v[:, :, position : position + 1])
    assert_equal_caches(cache, KVCache.from_tensors(case.k, case.v))


def test_capacity_is_kept_then_grows(make_inputs: Inputs) -> None:
    case = make_inputs(1, 1, 1, 400, 8)
    cache = KVCache.from_tensors(case.k[:, :, :398], case.v[:, :, :398], capacity=400)
    assert cache.capacity == 400
    storage = cache.values.data_ptr()
    for position in (398, 399):
        cache.append(case.k[:, :, position], case.v[:, :, position])
    assert cache.values.data_ptr() == storage
    cache.append(case.k[:, :, 0], case.v[:, :, 0])
    assert cache.capacity == 500  # a quarter more
    assert cache.seq_len == 401
    assert torch.equal(cache.values[:, :, :400], case.v)
    assert torch.equal(cache.values[:, :, 400], case.v[:, :, 0])


def test_running_mean_stays_accurate(make_inputs: Inputs) -> None:
    case = make_inputs(2, 2, 1, 510, 16)
    case.v += 100.0  # a mean far from 0 is what rounding harms
    start = torch.tensor([0, 10])
    cache = KVCache.from_tensors(case.k[:, :, :10], case.v[:, :, :10], valid_start=start)
    assert (cache.mean_value[1] == 0).all()
    for position in range(10, 510):
        cache.append(case.k[:, :, position], case.v[:, :, position])
    assert cache.mean_value.dtype == torch.float32
    exact = torch.stack([case.v[0].double().mean(1), case.v[1, :, 10:].double().mean(1)])
    torch.testing.assert_close(cache.mean_value.double(), exact, rtol=2e-6, atol=0)


@pytest.mark.parametrize(
    ("dtype", "mean"),
    [(torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float64, torch.float64)],
)
def test_mean_is_kept_in_enough_precision(make_inputs: Inputs, dtype: torch.dtype, mean: torch.dtype) -> None:
    case = make_inputs(1, 2, 1, 3000, 8, dtype=dtype)
    cache = KVCache.from_tensors(case.k, case.v)
    assert cache.mean_value.dtype == mean
    torch.testing.assert_close(cache.mean_value.double(), case.v.double().mean(2), rtol=0, atol=1e-5)


def test_from_heads(make_inputs: Inputs) -> None:
    case = make_inputs(2, 3, 1, 20, 8)
    start = torch.tensor([4, 20])
    cache = KVCache.from_heads(
        lambda sequence, head: (case.k[sequence, head], case.v[sequence, head]),
        (2, 3, 20, 8),
        dtype=torch.float32,
        valid_start=start,
    )
    assert_equal_caches(cache, KVCache.from_tensors(case.k, case.v, valid_start=start))
    assert (cache.mean_value[1] == 0).all()


def test_shape_for(make_inputs: Inputs) -> None:
    case = make_inputs(2, 3, 1, 20, 8, dtype=torch.bfloat16)
    shape = KVCache.from_tensors(case.k, case.v).shape_for(12)
    assert shape == AttentionShape(2, 20, 12, 3, 8, "bfloat16")


@pytest.mark.parametrize(
    ("k", "v", "start", "message"),
    [
        (torch.zeros(1, 2, 5), torch.zeros(1, 2, 5), None, "[batch, n_kv_heads, seq_len, head_dim]"),
        (torch.zeros(1, 2, 5, 8), torch.zeros(1, 2, 6, 8), None, "v torch.float32 (1, 2, 6, 8)"),
        (torch.zeros(1, 2, 5, 8), torch.zeros(1, 2, 5, 8).half(), None, "of one type"),
        (torch.zeros(1, 2, 5, 8), torch.zeros(1, 2, 5, 8), torch.tensor([0, 0]), "each of the 1 sequences"),
        (torch.zeros(1, 2, 5, 8), torch.zeros(1, 2, 5, 8), torch.tensor([1.0]), "one whole number"),
        (torch.zeros(1, 2, 5, 8), torch.zeros(1, 2, 5, 8), torch.tensor([6]), "[6]: each must lie in 0 … 5"),
        (torch.zeros(2, 2, 5, 8), torch.zeros(2, 2, 5, 8), torch.tensor([0, -1]), "[0, -1]: each must lie in 0 … 5"),
    ],
)
def test_refused_tensors(refusal: Refusal, k: Any, v: Any, start: Any, message: str) -> None:
    assert message in refusal(KVCache.from_tensors, k, v, valid_start=start)


def test_refused_layout(refusal: Refusal) -> None:
    k = torch.zeros(1, 1, 2, 8)
    message = refusal(KVCache.from_tensors, k, k, k_layout="paged")
    assert "k_layout is 'paged': choose one of two_copies, channel_major, row_major" in message


@pytest.mark.parametrize("bad", [torch.zeros(1, 2, 7), torch.zeros(2, 2, 8), torch.zeros(1, 2, 2, 8)])
def test_refused_token_shapes(refusal: Refusal, bad: torch.Tensor) -> None:
    cache = KVCache(1, 2, 8, capacity=4, dtype=torch.float32)
    good = torch.zeros(1, 2, 8)
    for k, v in ((bad, good), (good, bad)):
        assert "both must be torch.float32 (1, 2, 8)" in refusal(cache.append, k, v)
    assert cache.seq_len == 0


def test_refused_token_type(refusal: Refusal) -> None:
    cache = KVCache(1, 2, 8, capacity=4, dtype=torch.float32)
    good = torch.zeros(1, 2, 8)
    assert "v torch.float64" in refusal(cache.append, good, good.double())


@settings(derandomize=True, deadline=None, max_examples=200)
@given(length=st.integers(1, 10**6), element_bytes=st.sampled_from([1, 2, 4, 8]))
def test_padded_stride(length: int, element_bytes: int) -> None:
    stride = padded_stride(length, element_bytes)
    lines, rest = divmod(stride * element_bytes, CACHE_LINE_BYTES)
    assert rest == 0
    assert lines % 2 == 1
    assert length <= stride < length + 2 * CACHE_LINE_BYTES // element_bytes


def test_padded_stride_by_hand() -> None:
    assert padded_stride(16, 4) == 16  # one line of 16 floats
    assert padded_stride(17, 4) == 48  # two lines, so three
    assert padded_stride(65_536, 4) == 65_552


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_memory_begins_at_a_cache_line(dtype: torch.dtype) -> None:
    tensor = allocate((3, 5, 7), dtype, torch.device("cpu"))
    assert (tensor.shape, tensor.dtype) == ((3, 5, 7), dtype)
    assert tensor.data_ptr() % CACHE_LINE_BYTES == 0
    assert tensor.is_contiguous()
    tensor.fill_(1)
    assert tensor.sum() == 105


@pytest.mark.parametrize(("k_layout", "factor"), [("two_copies", 1.5), ("row_major", 1.0), ("channel_major", 1.0)])
def test_allocated_bytes(make_inputs: Inputs, k_layout: KLayout, factor: float) -> None:
    case = make_inputs(2, 2, 1, 4096, 64)
    cache = KVCache.from_tensors(case.k, case.v, k_layout=k_layout)
    dense = 2 * case.k.numel() * 4
    assert factor * dense <= cache.allocated_bytes <= factor * dense * 1.01


def test_padding_appended_to_an_empty_cache_enters_no_mean() -> None:
    cache = KVCache(2, 1, 8, capacity=4, dtype=torch.float32, valid_start=torch.tensor([0, 2]))
    tokens = torch.arange(4.0)
    for token in tokens:
        cache.append(torch.ones(2, 1, 8), token.expand(2, 1, 8))
    assert cache.mean_value[0, 0, 0] == 1.5  # of 0, 1, 2, 3
    assert cache.mean_value[1, 0, 0] == 2.5  # of 2, 3


def test_tensors_that_require_grad_are_taken_as_values() -> None:
    k, v, q = (torch.randn(1, 2, 16, 8), torch.randn(1, 2, 16, 8), torch.randn(1, 2, 8))
    plain = decode(q, KVCache.from_tensors(k, v))
    for tensor in (k, v, q):
        tensor.requires_grad_()
    found = decode(q, KVCache.from_tensors(k, v))
    assert not found.requires_grad
    assert torch.equal(found, plain)
