"""The Triton kernels compiled and run on a GPU: ``TRITON_INTERPRET=0 python -m pytest -m gpu tests/kernels/gpu``."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sparq_kernels import IMPLEMENTATIONS, KVCache, decode
from sparq_kernels.reference import dense_attention, sparq_steps
from sparq_kernels.registry import is_interpreted
from sparq_profiles import SparqConfig
from sparq_profiles.shape import GROUP_SCORES, K_LAYOUTS, GroupScore, KLayout

REASON = (
    f"torch {torch.__version__} sees no CUDA device"
    if not torch.cuda.is_available()
    else "kernels are interpreted here: start pytest with TRITON_INTERPRET=0"
)
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available() or is_interpreted(), reason=REASON),
]

DTYPES = [torch.float16, torch.bfloat16, torch.float32]


def on_device(case: Any, k_layout: KLayout, start: Tensor | None, appended: int) -> KVCache:
    held = case.k.shape[2] - appended
    k, v = case.k.cuda(), case.v.cuda()
    cache = KVCache.from_tensors(k[:, :, :held], v[:, :, :held], k_layout=k_layout, valid_start=start)
    for position in range(held, case.k.shape[2]):
        cache.append(k[:, :, position], v[:, :, position])
    return cache


@pytest.mark.parametrize("group_score", GROUP_SCORES)
@pytest.mark.parametrize("k_layout", K_LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("group", "head_dim"), [(1, 128), (4, 128), (8, 64), (5, 80), (16, 96), (2, 256)])
@pytest.mark.parametrize(("seq_len", "top_k"), [(777, 100), (20_001, 128), (20_001, 3_000)])
def test_sparse(
    make_inputs: Callable[..., Any],
    assert_close: Callable[..., None],
    decided: Callable[..., Tensor],
    seq_len: int,
    top_k: int,
    group: int,
    head_dim: int,
    dtype: torch.dtype,
    k_layout: KLayout,
    group_score: GroupScore,
) -> None:
    case = make_inputs(2, 2, group, seq_len, head_dim, dtype=dtype)
    start = torch.tensor([0, 300])
    config = SparqConfig(rank=head_dim // 4, top_k=top_k, local_window=32, group_score=group_score)
    steps = sparq_steps(case.q.double(), case.k.double(), case.v.double(), config, valid_start=start)
    cache = on_device(case, k_layout, start, appended=70)
    y = decode(case.q.cuda(), cache, config, implementation="sparq-triton").cpu()
    clear = decided(case.q, steps, config, 1e-4)
    assert clear.any()
    assert_close(y[clear], steps.output[clear])
    dense = decode(case.q.cuda(), cache, implementation="dense-triton").cpu()
    assert_close(dense, dense_attention(case.q.double(), case.k.double(), case.v.double(), valid_start=start))
    assert cache._arrivals is None or not cache._arrivals.any()


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_appends_equal_torchs(make_inputs: Callable[..., Any], k_layout: KLayout) -> None:
    case = make_inputs(3, 2, 1, 300, 80, dtype=torch.float16)
    caches = []
    for by in ("torch", "triton"):
        cache = KVCache(3, 2, 80, capacity=10, dtype=torch.float16, device="cuda", k_layout=k_layout)
        for position in range(300):
            k, v = case.k[:, :, position].cuda(), case.v[:, :, position].cuda()
            cache.append(k, v, implementation=by)
        caches.append(cache)
    theirs, ours = caches
    assert torch.equal(ours.any_keys, theirs.any_keys)
    assert torch.equal(ours.values, theirs.values)
    torch.testing.assert_close(ours.mean_value, theirs.mean_value, rtol=0, atol=1e-6)
    if k_layout != "row_major":
        assert ours.keys_transposed is not None
        assert theirs.keys_transposed is not None
        assert torch.equal(ours.keys_transposed, theirs.keys_transposed)


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
@pytest.mark.parametrize("name", ["dense-triton", "sparq-triton"])
def test_a_step_is_captured_and_replayed(make_inputs: Callable[..., Any], name: str, k_layout: KLayout) -> None:
    config = SparqConfig(32, 128, 32) if name == "sparq-triton" else None
    case = make_inputs(1, 2, 4, 9_000, 128, dtype=torch.float16)
    cache = on_device(case, k_layout, None, appended=3)
    q = case.q.cuda()
    expected = decode(q, cache, config, implementation=name)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        decode(q, cache, config, implementation=name)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = decode(q, cache, config, implementation=name)
    for _ in range(5):
        y.zero_()
        graph.replay()
        torch.cuda.synchronize()
        # The order in which parts arrive differs; what comes of them does not.
        assert torch.equal(y, expected)
    q.neg_()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(y, decode(q, cache, config, implementation=name))


@pytest.mark.parametrize(
    "size", [(1, 8, 4, 4_096, 128), (3, 8, 4, 1_000, 128), (16, 32, 1, 2_048, 128), (2, 2, 8, 5_003, 64)]
)
@pytest.mark.parametrize("name", [name for name, entry in IMPLEMENTATIONS.items() if entry.needs is not None])
def test_dense_kernels_of_others(
    make_inputs: Callable[..., Any], assert_close: Callable[..., None], name: str, size: tuple[int, ...]
) -> None:
    if not IMPLEMENTATIONS[name].installed:
        pytest.skip(f"{name} {IMPLEMENTATIONS[name].refusal('float16', 'cuda')}")
    case = make_inputs(*size, dtype=torch.float16)
    cache, q = on_device(case, "two_copies", None, appended=3), case.q.cuda()
    for _ in range(2):  # planned, then again by the plan
        y = decode(q, cache, implementation=name)
        assert_close(y.cpu(), dense_attention(case.q.double(), case.k.double(), case.v.double()))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        replayed = decode(q, cache, implementation=name)
    replayed.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert_close(replayed.cpu(), dense_attention(case.q.double(), case.k.double(), case.v.double()))


def test_offsets_beyond_two_to_the_31(make_inputs: Callable[..., Any], assert_close: Callable[..., None]) -> None:
    """The last sequence of a cache of more than 2³¹ elements; 13 GB."""
    if torch.cuda.mem_get_info()[0] < 20e9:
        pytest.skip("needs 20 GB of free GPU memory")
    batch, seq_len = 9, 250_000
    case = make_inputs(1, 8, 1, seq_len, 128, dtype=torch.float16)
    cache = KVCache.from_heads(
        lambda sequence, head: (case.k[0, head], case.v[0, head]),
        (batch, 8, seq_len, 128),
        dtype=torch.float16,
        device="cuda",
    )
    q = case.q.cuda().expand(batch, -1, -1).contiguous()
    for config, name in ((None, "dense-triton"), (SparqConfig(32, 128), "sparq-triton")):
        y = decode(q, cache, config, implementation=name)
        assert torch.equal(y[0], y[-1])
    assert_close(
        decode(q, cache, implementation="dense-triton")[-1:].cpu(),
        dense_attention(case.q.double(), case.k.double(), case.v.double()),
    )
