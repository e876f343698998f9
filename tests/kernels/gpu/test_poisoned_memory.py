"""Guard regions of NaN around every tensor, and NaN in every result and scratch buffer before it is written.

What reads past a tensor, or reads scratch that nobody wrote, brings a NaN into the result; what writes past a tensor
changes a guard.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import sparq_kernels.cache
from sparq_kernels import IMPLEMENTATIONS, KVCache
from sparq_kernels.gpu.launching import Launch, observing
from sparq_kernels.gpu.tiling import DEFAULT
from sparq_kernels.reference import dense_attention, sparq_steps
from sparq_profiles import SparqConfig
from sparq_profiles.shape import GROUP_SCORES, K_LAYOUTS, GroupScore, KLayout

GUARD_BYTES = 4096
POISON = 0xFF  # NaN in every floating-point type, −1 in integers


class Guards:
    """Allocates tensors in the middle of poisoned memory, poisoned themselves."""

    def __init__(self) -> None:
        self.buffers: list[tuple[Tensor, int]] = []

    def tensor(self, size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        n_bytes = torch.Size(size).numel() * dtype.itemsize
        raw = torch.full((n_bytes + 2 * GUARD_BYTES,), POISON, dtype=torch.uint8)
        self.buffers.append((raw, n_bytes))
        return raw[GUARD_BYTES : GUARD_BYTES + n_bytes].view(dtype).view(size)

    def copy(self, tensor: Tensor) -> Tensor:
        return self.tensor(tuple(tensor.shape), tensor.dtype).copy_(tensor)

    def intact(self) -> bool:
        return all(
            bool((raw[:GUARD_BYTES] == POISON).all() and (raw[GUARD_BYTES + n_bytes :] == POISON).all())
            for raw, n_bytes in self.buffers
        )


@pytest.fixture
def guards(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guards]:
    """Everything that caches and launchers allocate lies between guards."""
    guards = Guards()

    def empty(*size: Any, dtype: torch.dtype = torch.float32, device: Any = None) -> Tensor:
        return guards.tensor(tuple(size[0]) if isinstance(size[0], tuple) else size, dtype)

    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(torch, "empty_like", lambda tensor: guards.tensor(tuple(tensor.shape), tensor.dtype))
    monkeypatch.setattr(sparq_kernels.cache, "allocate", lambda size, dtype, device: guards.tensor(size, dtype))
    yield guards
    assert guards.intact()


def build(guards: Guards, case: Any, k_layout: KLayout, start: Tensor | None) -> KVCache:
    held = case.k.shape[2] - 5
    cache = KVCache.from_tensors(case.k[:, :, :held], case.v[:, :, :held], k_layout=k_layout, valid_start=start)
    cache.valid_start = guards.copy(cache.valid_start)
    cache.mean_value = guards.copy(cache.mean_value)
    for position in range(held, case.k.shape[2]):
        key, value = guards.copy(case.k[:, :, position]), guards.copy(case.v[:, :, position])
        cache.append(key, value, implementation="triton")
    return cache


@pytest.mark.parametrize("group_score", GROUP_SCORES)
@pytest.mark.parametrize("k_layout", K_LAYOUTS)
@pytest.mark.parametrize(("group", "head_dim", "top_k"), [(1, 80, 130), (3, 24, 20), (17, 64, 20), (17, 24, 130)])
def test_sparse(
    guards: Guards,
    make_inputs: Callable[..., Any],
    assert_close: Callable[..., None],
    decided: Callable[..., Tensor],
    group: int,
    head_dim: int,
    k_layout: KLayout,
    group_score: GroupScore,
    top_k: int,
) -> None:
    case = make_inputs(2, 1, group, 333, head_dim)
    start = torch.tensor([0, 210])
    config = SparqConfig(rank=head_dim // 3, top_k=top_k, local_window=6, group_score=group_score)
    steps = sparq_steps(case.q.double(), case.k.double(), case.v.double(), config, valid_start=start)
    cache = build(guards, case, k_layout, start)
    launches: list[Launch] = []
    tilings = (DEFAULT, small())
    for tiling in tilings:
        with observing(lambda launch: (launches.append(launch), launch.run())[1]):
            y = IMPLEMENTATIONS["sparq-triton"].kernel()(guards.copy(case.q), cache, config, tiling=tiling)
        clear = decided(case.q, steps, config, 1e-4)
        assert clear.any()
        assert bool(y.isfinite().all())
        assert_close(y[clear], steps.output[clear])
    # Rows whose sequence has more than top_k valid positions are written whole.
    for launch in launches:
        if launch.step == "select":
            selected = launch.arguments["selected"]
            assert isinstance(selected, Tensor)
            assert int(selected[0].min()) >= 0
            assert selected[0].unique().numel() == top_k


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
@pytest.mark.parametrize(("group", "head_dim"), [(1, 80), (17, 24)])
def test_dense(
    guards: Guards,
    make_inputs: Callable[..., Any],
    assert_close: Callable[..., None],
    group: int,
    head_dim: int,
    k_layout: KLayout,
) -> None:
    case = make_inputs(2, 1, group, 333, head_dim)
    start = torch.tensor([0, 210])
    cache = build(guards, case, k_layout, start)
    expected = dense_attention(case.q.double(), case.k.double(), case.v.double(), valid_start=start)
    for tiling in (DEFAULT, small()):
        y = IMPLEMENTATIONS["dense-triton"].kernel()(guards.copy(case.q), cache, tiling=tiling)
        assert_close(y, expected)


def small() -> Any:
    return replace(
        DEFAULT, score_tile=64, score_block=32, select_items=64, attend_block=16, gather_rows=8, n_compute_units=4
    )


def test_a_guard_that_is_written_is_noticed() -> None:
    guards = Guards()
    tensor = guards.tensor((3,), torch.float32)
    assert bool(tensor.isnan().all())
    assert guards.intact()
    raw, n_bytes = guards.buffers[0]
    raw[GUARD_BYTES + n_bytes] = 0
    assert not guards.intact()
