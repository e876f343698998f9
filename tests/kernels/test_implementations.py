"""Every implementation against the float64 reference."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numba
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparq_kernels import KVCache, decode
from sparq_kernels.reference import dense_attention, sparq_steps
from sparq_profiles import SparqConfig
from sparq_profiles.shape import GROUP_SCORES, K_LAYOUTS, GroupScore, KLayout

Inputs = Callable[..., Any]
Close = Callable[..., None]
Decided = Callable[..., Tensor]
Threads = Callable[[int], None]

# Below this difference of scores float32 may choose differently from float64.
MARGIN = 1e-4
# On a GPU nearly every example is another kernel to compile.
EXAMPLES = 120 if os.environ.get("SPARQ_PERF_TEST_DEVICE", "cpu") == "cpu" else 40


@pytest.fixture
def use_threads() -> Iterator[Threads]:
    """Sets numba's number of threads for one test."""
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


def sparq_reference(case: SimpleNamespace, config: SparqConfig, start: Tensor | None = None) -> Any:
    return sparq_steps(case.q.double(), case.k.double(), case.v.double(), config, valid_start=start)


def dense_reference(case: SimpleNamespace, start: Tensor | None = None) -> Tensor:
    return dense_attention(case.q.double(), case.k.double(), case.v.double(), valid_start=start)


def cache_of(case: SimpleNamespace, k_layout: KLayout = "two_copies", start: Tensor | None = None) -> KVCache:
    return KVCache.from_tensors(case.k, case.v, k_layout=k_layout, valid_start=start)


@st.composite
def problems(draw: st.DrawFn) -> SimpleNamespace:
    batch, seq_len = draw(st.integers(1, 3)), draw(st.integers(1, 700))
    head_dim = draw(st.sampled_from([8, 20, 48, 64, 80, 128]))
    top_k = draw(st.one_of(st.integers(1, seq_len), st.integers(1, 2 * seq_len)))
    starts = st.one_of(st.just(0), st.integers(0, seq_len), st.just(seq_len))
    padded = draw(st.booleans())
    return SimpleNamespace(
        size=(batch, draw(st.integers(1, 3)), draw(st.integers(1, 5)), seq_len, head_dim),
        seed=draw(st.integers(0, 10**6)),
        start=torch.tensor([draw(starts) for _ in range(batch)]) if padded else None,
        k_layout=draw(st.sampled_from(K_LAYOUTS)),
        config=SparqConfig(
            rank=draw(st.integers(1, head_dim)),
            top_k=top_k,
            local_window=draw(st.integers(0, top_k)),
            mean_value=draw(st.booleans()),
            group_score=draw(st.sampled_from(GROUP_SCORES)),
        ),
    )


@settings(derandomize=True, deadline=None, max_examples=EXAMPLES)
@given(problem=problems())
def test_sparse(
    make_inputs: Inputs, assert_close: Close, decided: Decided, sparse_native: str, problem: SimpleNamespace
) -> None:
    case = make_inputs(*problem.size, seed=problem.seed)
    steps = sparq_reference(case, problem.config, problem.start)
    y = decode(case.q, cache_of(case, problem.k_layout, problem.start), problem.config, implementation=sparse_native)
    assert y.shape == case.q.shape
    clear = decided(case.q, steps, problem.config, MARGIN)
    assert_close(y[clear], steps.output[clear])
    if problem.start is not None:
        assert (y[problem.start == problem.size[3]] == 0).all()


@settings(derandomize=True, deadline=None, max_examples=EXAMPLES // 2)
@given(problem=problems())
def test_dense(make_inputs: Inputs, assert_close: Close, dense_native: str, problem: SimpleNamespace) -> None:
    case = make_inputs(*problem.size, seed=problem.seed)
    y = decode(case.q, cache_of(case, problem.k_layout, problem.start), implementation=dense_native)
    assert_close(y, dense_reference(case, problem.start))


@pytest.mark.parametrize("group_score", GROUP_SCORES)
@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_what_is_compared_is_nearly_everything(
    make_inputs: Inputs, decided: Decided, k_layout: KLayout, group_score: GroupScore
) -> None:
    case = make_inputs(3, 4, 2, 500, 64)
    config = SparqConfig(rank=16, top_k=60, local_window=5, group_score=group_score, k_layout=k_layout)
    clear = decided(case.q, sparq_reference(case, config), config, MARGIN)
    assert clear.shape == (3, 8)
    assert clear.float().mean() > 0.8


# Long enough that a head is cut into pieces and a piece into several tiles of 4096.
LONG = {
    "one head in pieces": ((1, 1, 1, 19_001, 64), None),
    "a group in pieces": ((1, 1, 4, 18_003, 64), None),
    "odd heads, padded": ((1, 3, 2, 9_777, 48), [701]),
    "more heads than threads": ((2, 4, 3, 9_002, 32), [0, 8_000]),
}


@pytest.mark.parametrize("group_score", GROUP_SCORES)
@pytest.mark.parametrize("k_layout", K_LAYOUTS)
@pytest.mark.parametrize("name", LONG)
def test_long_sparse(
    make_inputs: Inputs,
    assert_close: Close,
    decided: Decided,
    use_threads: Threads,
    sparse_native: str,
    name: str,
    k_layout: KLayout,
    group_score: GroupScore,
) -> None:
    size, start = LONG[name]
    case = make_inputs(*size, seed=5)
    starts = None if start is None else torch.tensor(start)
    config = SparqConfig(rank=13, top_k=300, local_window=70, group_score=group_score)
    steps = sparq_reference(case, config, starts)
    clear = decided(case.q, steps, config, 1e-5)
    assert clear.any()
    outputs = []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        use_threads(threads)
        y = decode(case.q, cache_of(case, k_layout, starts), config, implementation=sparse_native)
        assert_close(y[clear], steps.output[clear])
        outputs.append(y)
    torch.testing.assert_close(*(y[clear] for y in outputs), rtol=0, atol=1e-5)


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
@pytest.mark.parametrize("name", LONG)
def test_long_dense(
    make_inputs: Inputs, assert_close: Close, use_threads: Threads, dense_native: str, name: str, k_layout: KLayout
) -> None:
    size, start = LONG[name]
    case = make_inputs(*size, seed=5)
    starts = None if start is None else torch.tensor(start)
    expected = dense_reference(case, starts)
    outputs = []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        use_threads(threads)
        outputs.append(decode(case.q, cache_of(case, k_layout, starts), implementation=dense_native))
        assert_close(outputs[-1], expected)
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("local_window", [0, 20])
@pytest.mark.parametrize("seq_len", [200, 4_600])
def test_ties_go_to_the_lower_position(
    make_inputs: Inputs, sparse_exact: str, assert_close: Close, seq_len: int, local_window: int, group: int
) -> None:
    case = make_inputs(1, 2, group, seq_len, 16)
    # Whole numbers in the one channel that counts make scores that repeat exactly, in float32 and float64 alike, and V
    # tells positions apart. torch.topk promises nothing about ties: only the compiled kernel is held to the choice.
    case.k = (2 * case.k).round()
    case.q = torch.zeros(1, 2 * group, 16)
    case.q[..., 3] = 4.0
    config = SparqConfig(rank=1, top_k=50, local_window=local_window, mean_value=False)
    expected = sparq_reference(case, config).output
    for k_layout in K_LAYOUTS:
        y = decode(case.q, cache_of(case, k_layout), config, implementation=sparse_exact)
        assert_close(y, expected)


@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("seq_len", [200, 4_600])
def test_keys_all_equal(make_inputs: Inputs, assert_close: Close, sparse_name: str, seq_len: int, group: int) -> None:
    case = make_inputs(1, 2, group, seq_len, 16)
    case.k = case.k[:, :, :1].expand(-1, -1, seq_len, -1).contiguous()
    case.v = case.v[:, :, :1].expand(-1, -1, seq_len, -1).contiguous()
    for group_score in GROUP_SCORES:
        config = SparqConfig(rank=4, top_k=64, local_window=8, group_score=group_score)
        y = decode(case.q, cache_of(case), config, implementation=sparse_name)
        assert_close(y, case.v[:, :, 0].repeat_interleave(group, dim=1))


def test_coverage_by_hand(sparse_name: str) -> None:
    # Equal scores over 8 positions and k = 2: coverage 1/4. V is 1 at the selected window, 5 elsewhere, mean 4.
    k = torch.zeros(1, 1, 8, 8)
    v = torch.full((1, 1, 8, 8), 5.0)
    v[:, :, 6:] = 1.0
    config = SparqConfig(rank=2, top_k=2, local_window=2)
    for k_layout in K_LAYOUTS:
        cache = KVCache.from_tensors(k, v, k_layout=k_layout)
        y = decode(torch.ones(1, 1, 8), cache, config, implementation=sparse_name)
        torch.testing.assert_close(y, torch.full((1, 1, 8), 1 / 4 * 1 + 3 / 4 * 4), rtol=0, atol=1e-5)
        plain = decode(torch.ones(1, 1, 8), cache, replace(config, mean_value=False), implementation=sparse_name)
        torch.testing.assert_close(plain, torch.ones(1, 1, 8), rtol=0, atol=1e-5)


def test_query_of_zeros(make_inputs: Inputs, assert_close: Close, sparse_name: str) -> None:
    case = make_inputs(2, 2, 2, 130, 20)
    case.q[0] = 0
    config = SparqConfig(rank=5, top_k=40, local_window=40)  # the window alone: no ties to decide
    for k_layout in K_LAYOUTS:
        y = decode(case.q, cache_of(case, k_layout), config, implementation=sparse_name)
        assert_close(y, sparq_reference(case, config).output)


@pytest.mark.parametrize("top_k", [300, 301, 10_000])
@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_top_k_of_the_whole_sequence_is_dense(
    make_inputs: Inputs, assert_close: Close, sparse_name: str, k_layout: KLayout, top_k: int
) -> None:
    case = make_inputs(2, 2, 3, 300, 48)
    start = torch.tensor([0, 77])
    config = SparqConfig(rank=1, top_k=top_k)
    y = decode(case.q, cache_of(case, k_layout, start), config, implementation=sparse_name)
    assert_close(y, dense_reference(case, start))


@pytest.mark.parametrize("top_k", [100, 101])
@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_top_k_of_the_valid_length_is_dense(
    make_inputs: Inputs, assert_close: Close, sparse_name: str, k_layout: KLayout, top_k: int
) -> None:
    case = make_inputs(2, 2, 3, 300, 48)
    start = torch.tensor([200, 250])
    y = decode(case.q, cache_of(case, k_layout, start), SparqConfig(rank=1, top_k=top_k), implementation=sparse_name)
    assert_close(y, dense_reference(case, start))


@pytest.mark.parametrize("garbage", [float("nan"), float("inf")])
@pytest.mark.parametrize("k_layout", K_LAYOUTS)
@pytest.mark.parametrize("top_k", [20, 120])
def test_padding_is_never_looked_at(
    make_inputs: Inputs,
    assert_close: Close,
    sparse_name: str,
    dense_name: str,
    k_layout: KLayout,
    garbage: float,
    top_k: int,
) -> None:
    case = make_inputs(3, 2, 2, 130, 20)
    start = torch.tensor([3, 90, 130])
    config = SparqConfig(rank=20, top_k=top_k, local_window=4)
    sparse, dense = sparq_reference(case, config, start).output, dense_reference(case, start)
    for sequence in range(3):
        case.k[sequence, :, : start[sequence]] = garbage
        case.v[sequence, :, : start[sequence]] = garbage
    cache = cache_of(case, k_layout, start)
    assert_close(decode(case.q, cache, config, implementation=sparse_name), sparse)
    assert_close(decode(case.q, cache, implementation=dense_name), dense)


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e9])
@pytest.mark.parametrize("k_layout", K_LAYOUTS)
@pytest.mark.parametrize("top_k", [20, 120])
def test_compiled_kernels_never_read_padding(
    make_inputs: Inputs, sparse_exact: str, assert_close: Close, k_layout: KLayout, garbage: float, top_k: int
) -> None:
    case = make_inputs(3, 2, 2, 130, 20)
    start = torch.tensor([3, 90, 130])
    config = SparqConfig(rank=20, top_k=top_k, local_window=4)
    cache = cache_of(case, k_layout, start)
    # Behind the cache's back, which keeps zeros there; and in its spare room.
    for sequence in range(3):
        for keys_or_values in (cache.any_keys, cache.values):
            keys_or_values[sequence, :, : start[sequence]] = garbage
    for tensor in cache.storage:
        if tensor is not None and tensor.shape[-1] > 130:
            tensor[..., 130:] = garbage
    y = decode(case.q, cache, config, implementation=sparse_exact)
    assert_close(y, sparq_reference(case, config, start).output)
    dense = sparse_exact.replace("sparq", "dense")
    assert_close(decode(case.q, cache, implementation=dense), dense_reference(case, start))


@pytest.mark.parametrize("group_score", GROUP_SCORES)
@pytest.mark.parametrize("k_layout", K_LAYOUTS)
@pytest.mark.parametrize("seq_len", [300, 4_601])
def test_nan_stays_in_its_head(
    make_inputs: Inputs,
    sparse_exact: str,
    assert_close: Close,
    decided: Decided,
    seq_len: int,
    k_layout: KLayout,
    group_score: GroupScore,
) -> None:
    # What NaN gives is nobody's business, but it must not steer an index: every other head keeps its answer.
    case = make_inputs(2, 3, 2, seq_len, 20)
    config = SparqConfig(rank=6, top_k=40, local_window=3, group_score=group_score)
    steps = sparq_reference(case, config)
    clear = decided(case.q, steps, config, 1e-5)
    case.k[0, 0] = float("nan")  # no score at all
    case.k[0, 1, ::2] = float("nan")
    case.q[1, 0] = float("nan")
    case.q[1, 3, 4] = float("nan")
    clear[0, :4] = False
    clear[1, :4] = False
    y = decode(case.q, cache_of(case, k_layout), config, implementation=sparse_exact)
    assert clear.any()
    assert_close(y[clear], steps.output[clear])
    dense = decode(case.q, cache_of(case, k_layout), implementation=sparse_exact.replace("sparq", "dense"))
    assert_close(dense[:, 4:], dense_reference(case)[:, 4:])


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1e38, -1e38])
def test_overflow_stays_in_its_head(make_inputs: Inputs, sparse_exact: str, assert_close: Close, value: float) -> None:
    case = make_inputs(1, 2, 2, 300, 20)
    config = SparqConfig(rank=6, top_k=40, local_window=3)
    expected = sparq_reference(case, config).output
    case.k[0, 0, 100:] = value
    y = decode(case.q, cache_of(case), config, implementation=sparse_exact)
    assert_close(y[:, 2:], expected[:, 2:])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_other_types(
    make_inputs: Inputs, assert_close: Close, decided: Decided, dtype: torch.dtype, k_layout: KLayout
) -> None:
    case = make_inputs(2, 2, 3, 200, 64, dtype=dtype)
    start = torch.tensor([0, 60])
    cache = cache_of(case, k_layout, start)
    dense = decode(case.q, cache, implementation="dense-sdpa")
    assert dense.dtype == dtype
    assert_close(dense, dense_reference(case, start))
    config = SparqConfig(rank=16, top_k=50, local_window=9)
    steps = sparq_reference(case, config, start)
    # A 16-bit product of q and K rounds by 2^-8 or 2^-11 of scores up to about 8.
    margin = {torch.float64: 1e-9, torch.float16: 1e-2, torch.bfloat16: 5e-2}[dtype]
    clear = decided(case.q, steps, config, margin)
    assert clear.any()
    y = decode(case.q, cache, config, implementation="sparq-torch")
    assert y.dtype == dtype
    assert_close(y[clear], steps.output[clear])


def test_query_need_not_be_contiguous(make_inputs: Inputs, assert_close: Close, sparse_name: str) -> None:
    case = make_inputs(2, 2, 2, 90, 20)
    config = SparqConfig(rank=20, top_k=30)
    expected = decode(case.q, cache_of(case), config, implementation=sparse_name)
    strided = case.q.transpose(0, 1).contiguous().transpose(0, 1)
    assert not strided.is_contiguous()
    assert torch.equal(decode(strided, cache_of(case), config, implementation=sparse_name), expected)


def test_inputs_are_not_changed(make_inputs: Inputs, sparse_name: str, dense_name: str) -> None:
    case = make_inputs(2, 2, 2, 90, 20)
    cache, q = cache_of(case), case.q.clone()
    decode(q, cache, SparqConfig(rank=4, top_k=30, local_window=2), implementation=sparse_name)
    decode(q, cache, implementation=dense_name)
    assert torch.equal(q, case.q)
    assert cache.keys is not None
    assert cache.keys_transposed is not None
    assert torch.equal(cache.keys.cpu(), case.k)
    assert torch.equal(cache.keys_transposed.cpu(), case.k.mT)
    assert torch.equal(cache.values.cpu(), case.v)
