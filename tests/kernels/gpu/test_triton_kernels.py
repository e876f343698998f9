"""The Triton kernels in Triton's interpreter, cut into small tiles so that every seam is crossed by small inputs."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparq_kernels import IMPLEMENTATIONS, KVCache, decode
from sparq_kernels.gpu.launching import Launch, observing
from sparq_kernels.gpu.tiling import DEFAULT, TILINGS, Tiling
from sparq_kernels.reference import dense_attention, sparq_steps
from sparq_profiles import SparqConfig
from sparq_profiles.shape import GROUP_SCORES, K_LAYOUTS, GroupScore, KLayout

Inputs = Callable[..., Any]
Close = Callable[..., None]
Decided = Callable[..., Tensor]

MARGIN = 1e-4
SMALL = replace(
    DEFAULT, score_tile=64, score_block=32, select_items=128, attend_block=16, gather_rows=16, n_compute_units=4
)


def sparse_kernel(q: Tensor, cache: KVCache, config: SparqConfig, tiling: Tiling | None = SMALL) -> Tensor:
    return IMPLEMENTATIONS["sparq-triton"].kernel()(q, cache, config, tiling=tiling)


def dense_kernel(q: Tensor, cache: KVCache, tiling: Tiling | None = SMALL) -> Tensor:
    return IMPLEMENTATIONS["dense-triton"].kernel()(q, cache, tiling=tiling)


def sparq_reference(case: Any, config: SparqConfig, start: Tensor | None = None) -> Any:
    return sparq_steps(case.q.double(), case.k.double(), case.v.double(), config, valid_start=start)


def dense_reference(case: Any, start: Tensor | None = None) -> Tensor:
    return dense_attention(case.q.double(), case.k.double(), case.v.double(), valid_start=start)


def grown_cache(
    case: Any, k_layout: KLayout, appended: int, start: Tensor | None = None, by: str = "triton"
) -> KVCache:
    """A cache whose newest tokens were appended one by one, so that Kᵀ may lack them."""
    held = case.k.shape[2] - appended
    cache = KVCache.from_tensors(case.k[:, :, :held], case.v[:, :, :held], k_layout=k_layout, valid_start=start)
    for position in range(held, case.k.shape[2]):
        cache.append(case.k[:, :, position], case.v[:, :, position], implementation=by)
    return cache


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    return replace(
        DEFAULT,
        n_compute_units=draw(st.sampled_from([1, 4, 64])),
        score_tile=draw(st.sampled_from([32, 64, 256])),
        score_block=draw(st.sampled_from([16, 32])),
        vector_heads=draw(st.sampled_from([1, 4, 8])),
        select_items=draw(st.sampled_from([32, 128, 16384])),
        attend_block=draw(st.sampled_from([16, 64])),
        gather_rows=draw(st.sampled_from([8, 128])),
    )


@st.composite
def problems(draw: st.DrawFn) -> SimpleNamespace:
    batch, seq_len = draw(st.integers(1, 2)), draw(st.integers(1, 200))
    head_dim = draw(st.sampled_from([8, 20, 64, 80]))
    top_k = draw(st.one_of(st.integers(1, seq_len), st.integers(1, 2 * seq_len)))
    appended = draw(st.one_of(st.just(0), st.integers(0, min(seq_len - 1, 70))))
    starts = st.one_of(st.just(0), st.integers(0, seq_len - appended))
    return SimpleNamespace(
        size=(batch, draw(st.integers(1, 2)), draw(st.sampled_from([1, 2, 3, 5, 17])), seq_len, head_dim),
        seed=draw(st.integers(0, 10**6)),
        start=torch.tensor([draw(starts) for _ in range(batch)]) if draw(st.booleans()) else None,
        k_layout=draw(st.sampled_from(K_LAYOUTS)),
        appended=appended,
        tiling=draw(tilings()),
        config=SparqConfig(
            rank=draw(st.integers(1, head_dim)),
            top_k=top_k,
            local_window=draw(st.integers(0, top_k)),
            mean_value=draw(st.booleans()),
            group_score=draw(st.sampled_from(GROUP_SCORES)),
        ),
    )


@settings(derandomize=True, deadline=None, max_examples=60)
@given(problem=problems())
def test_sparse(make_inputs: Inputs, assert_close: Close, decided: Decided, problem: SimpleNamespace) -> None:
    case = make_inputs(*problem.size, seed=problem.seed)
    steps = sparq_reference(case, problem.config, problem.start)
    cache = grown_cache(case, problem.k_layout, problem.appended, problem.start)
    y = sparse_kernel(case.q, cache, problem.config, problem.tiling)
    clear = decided(case.q, steps, problem.config, MARGIN)
    assert_close(y[clear], steps.output[clear])
    if cache._arrivals is not None:
        assert not cache._arrivals.any()


@settings(derandomize=True, deadline=None, max_examples=30)
@given(problem=problems())
def test_dense(make_inputs: Inputs, assert_close: Close, problem: SimpleNamespace) -> None:
    case = make_inputs(*problem.size, seed=problem.seed)
    cache = grown_cache(case, problem.k_layout, problem.appended, problem.start)
    y = dense_kernel(case.q, cache, problem.tiling)
    assert_close(y, dense_reference(case, problem.start))
    if cache._arrivals is not None:
        assert not cache._arrivals.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("head_dim", [64, 80, 96, 128, 256])
def test_types_and_head_dims(
    make_inputs: Inputs, assert_close: Close, decided: Decided, head_dim: int, dtype: torch.dtype
) -> None:
    for k_layout, group in zip(K_LAYOUTS, (1, 4, 16), strict=True):
        case = make_inputs(1, 4 // group or 1, group, 110, head_dim, dtype=dtype)
        cache = grown_cache(case, k_layout, 3)
        dense = dense_kernel(case.q, cache)
        assert dense.dtype == dtype
        assert_close(dense, dense_reference(case))
        config = SparqConfig(rank=head_dim // 4, top_k=30, local_window=7)
        steps = sparq_reference(case, config)
        # Products of 16-bit numbers are exact in fp32: what rounds are the sums, as for fp32 caches.
        clear = decided(case.q, steps, config, MARGIN)
        assert clear.any()
        y = sparse_kernel(case.q, cache, config)
        assert y.dtype == dtype
        assert_close(y[clear], steps.output[clear])


@pytest.mark.parametrize("group_score", GROUP_SCORES)
@pytest.mark.parametrize("architecture", TILINGS)
def test_real_tilings(
    make_inputs: Inputs, assert_close: Close, decided: Decided, architecture: str, group_score: GroupScore
) -> None:
    case = make_inputs(1, 1, 4, 4500, 64, dtype=torch.float16)
    config = SparqConfig(rank=16, top_k=200, local_window=50, group_score=group_score)
    cache = grown_cache(case, "two_copies", 3)
    steps = sparq_reference(case, config)
    clear = decided(case.q, steps, config, 1e-5)
    y = sparse_kernel(case.q, cache, config, TILINGS[architecture])
    assert clear.any()
    assert_close(y[clear], steps.output[clear])
    assert_close(dense_kernel(case.q, cache, TILINGS[architecture]), dense_reference(case))


@pytest.mark.parametrize("group", [1, 4, 16])
@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_every_way_to_select_gives_the_same(make_inputs: Inputs, k_layout: KLayout, group: int) -> None:
    """Candidates or spilled scores, at once or in pieces: the choice is exact each time."""
    case = make_inputs(2, 1, group, 300, 32)
    cache = grown_cache(case, k_layout, 5, torch.tensor([0, 77]))
    config = SparqConfig(rank=8, top_k=60, local_window=5)
    selections = []
    for tiling in (
        SMALL,
        replace(SMALL, score_tile=256, select_items=16384),
        replace(SMALL, score_tile=256),
        replace(SMALL, select_items=16384),
    ):
        launches: list[Launch] = []
        with observing(lambda launch, kept=launches: (kept.append(launch), launch.run())[1]):
            sparse_kernel(case.q, cache, config, tiling)
        selected = next(launch.arguments["selected"] for launch in launches if launch.step == "gather")
        assert isinstance(selected, Tensor)
        selections.append(selected.sort(dim=-1).values)
    assert all(torch.equal(selections[0], other) for other in selections[1:])


def test_ties_across_tiles_and_pieces(make_inputs: Inputs, assert_close: Close) -> None:
    case = make_inputs(1, 2, 2, 300, 16)
    case.k = case.k.round()
    case.q = torch.zeros(1, 4, 16)
    case.q[..., 3] = 4.0
    config = SparqConfig(rank=1, top_k=90, local_window=20, mean_value=False)
    expected = sparq_reference(case, config).output
    for k_layout in K_LAYOUTS:
        cache = grown_cache(case, k_layout, 30)
        for tiling in (SMALL, replace(SMALL, select_items=16384), replace(SMALL, score_tile=32, select_items=32)):
            assert_close(sparse_kernel(case.q, cache, config, tiling), expected)


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_append(make_inputs: Inputs, k_layout: KLayout) -> None:
    case = make_inputs(2, 3, 1, 200, 40, dtype=torch.float16)
    start = torch.tensor([0, 90])  # the second sequence is still in its padding when tokens are appended
    caches = []
    for by in ("torch", "triton"):
        cache = KVCache(2, 3, 40, capacity=70, dtype=torch.float16, k_layout=k_layout, valid_start=start)
        for position in range(200):
            cache.append(case.k[:, :, position], case.v[:, :, position], implementation=by)
        caches.append(cache)
    theirs, ours = caches
    assert ours.seq_len == 200
    assert torch.equal(ours.values, theirs.values)
    assert torch.equal(ours.any_keys, theirs.any_keys)
    torch.testing.assert_close(ours.mean_value, theirs.mean_value, rtol=0, atol=1e-6)
    if k_layout == "two_copies":
        assert ours.transposed_len == 192  # whole tiles of 64 only
        stored = ours.storage[1]
        assert stored is not None
        assert torch.equal(stored[..., :192], case.k[:, :, :192].mT)
    if k_layout != "row_major":
        assert ours.keys_transposed is not None
        assert torch.equal(ours.keys_transposed, case.k.mT)


def test_an_append_is_one_launch_and_a_step_three(make_inputs: Inputs) -> None:
    case = make_inputs(1, 2, 4, 300, 64, dtype=torch.float16)
    for k_layout in K_LAYOUTS:
        for group_score in GROUP_SCORES:
            launches: list[Launch] = []
            with observing(lambda launch, kept=launches: (kept.append(launch), launch.run())[1]):
                cache = KVCache.from_tensors(case.k, case.v, k_layout=k_layout)
                cache.append(case.k[:, :, 0], case.v[:, :, 0], implementation="triton")
                config = SparqConfig(rank=8, top_k=50, local_window=5, group_score=group_score)
                decode(case.q, cache, config, implementation="sparq-triton")
            assert [launch.step for launch in launches] == ["append", "score", "select", "gather"]


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
@pytest.mark.parametrize("group_score", GROUP_SCORES)
def test_the_host_looks_at_no_data(k_layout: KLayout, group_score: GroupScore) -> None:
    """On the meta device nothing can be read back: a launcher that did could not be captured in a CUDA graph."""
    launches: list[Launch] = []
    cache = KVCache(2, 2, 64, capacity=9000, dtype=torch.float16, device="meta", k_layout=k_layout)
    q = torch.empty(2, 8, 64, dtype=torch.float16, device="meta")
    k = torch.empty(2, 2, 64, dtype=torch.float16, device="meta")
    cache.seq_len = cache.transposed_len = 8191
    with observing(launches.append):
        cache.append(k, k, implementation="triton")
        y = sparse_kernel(q, cache, SparqConfig(16, 128, 32, group_score=group_score), DEFAULT)
        assert y.device.type == "meta"
        dense_kernel(q, cache, DEFAULT)
    assert [launch.step for launch in launches] == ["append", "score", "select", "gather", "attend"]


def test_named_ranges(make_inputs: Inputs) -> None:
    case = make_inputs(1, 1, 1, 100, 16)
    cache = KVCache.from_tensors(case.k, case.v)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        decode(case.q, cache, SparqConfig(rank=4, top_k=20), implementation="sparq-triton")
        decode(case.q, cache, implementation="dense-triton")
        cache.append(case.k[:, :, 0], case.v[:, :, 0], implementation="triton")
    names = {event.key for event in profile.key_averages()}
    assert {"sparq::score", "sparq::select", "sparq::gather", "sparq::attend", "sparq::append"} <= names


def test_what_is_not_supported_says_what_is(refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    k = torch.zeros(1, 1, 8, 16, dtype=torch.float64)
    cache = KVCache.from_tensors(k, k)
    q = torch.zeros(1, 1, 16, dtype=torch.float64)
    message = refusal(decode, q, cache, SparqConfig(4, 4), "sparq-triton")
    assert "float16, bfloat16, float32" in message
    monkeypatch.delenv("TRITON_INTERPRET")
    single = KVCache.from_tensors(k.float(), k.float())
    message = refusal(decode, q.float(), single, SparqConfig(4, 4), "sparq-triton")
    assert "runs on cuda" in message
    assert "TRITON_INTERPRET=1" in message
    assert "unknown implementation" in refusal(
        single.append, k[:, :, 0].float(), k[:, :, 0].float(), implementation="x"
    )


def test_too_many_scores_to_select_from(refusal: Callable[..., str]) -> None:
    cache = KVCache(1, 1, 16, capacity=1, dtype=torch.float16, device="meta")
    cache.seq_len = cache.transposed_len = 2**22
    q = torch.empty(1, 1, 16, dtype=torch.float16, device="meta")
    with observing(lambda launch: None):
        message = refusal(sparse_kernel, q, cache, SparqConfig(4, 100_000), DEFAULT)
        assert "2,097,151" in message
        sparse_kernel(q, cache, SparqConfig(4, 64), DEFAULT)
