"""What is measured on: KV caches and queries that are neither constant nor in cache by accident.

Real queries have heavy-tailed channels: a few dominate, which is what SparQ lives on. Queries here are normal noise
times a log-normal scale per head and channel, and a new one is drawn for every iteration, so that the chosen
channels and positions change as they do in decoding.
"""

import numpy as np
import torch
from torch import Tensor

from sparq_kernels import KVCache
from sparq_profiles import AttentionShape
from sparq_profiles.shape import KLayout

CHANNEL_SPREAD = 1.0
BASE_ROWS = 8192


def cache_bytes(shape: AttentionShape, k_layout: KLayout) -> int:
    """Memory that `build_cache` takes."""
    copies = 3 if k_layout == "two_copies" else 2
    return copies * shape.kv_bytes // 2 + BASE_ROWS * shape.head_dim * 2 * shape.element_bytes


def build_cache(shape: AttentionShape, k_layout: KLayout, seed: int, device: torch.device | str = "cpu") -> KVCache:
    """A cache filled with noise, ``shape.seq_len`` tokens long, made where it is to live.

    Every head is made of the same 8,192 random rows, turned by an amount of its own, and once more for each repetition:
    filling gigabytes with fresh noise would take longer than measuring them, and repeating rows unturned would make
    every score a tie.
    """
    generator = np.random.default_rng(seed)
    dtype = getattr(torch, shape.dtype)
    size = (2, min(BASE_ROWS, shape.seq_len), shape.head_dim)
    rows = torch.from_numpy(generator.standard_normal(size, dtype=np.float32)).to(device, dtype)
    turns = generator.integers(0, size[1], size=(shape.batch, shape.n_kv_heads))
    return KVCache.from_heads(
        lambda sequence, head: _head(rows, shape.seq_len, int(turns[sequence, head])),
        (shape.batch, shape.n_kv_heads, shape.seq_len, shape.head_dim),
        dtype=dtype,
        device=device,
        k_layout=k_layout,
    )


def _head(rows: Tensor, seq_len: int, turn: int) -> tuple[Tensor, Tensor]:
    turned = rows.roll(turn, dims=1)
    repetitions = -(-seq_len // rows.shape[1])
    more = [turned.roll(n, dims=2) for n in range(1, repetitions)]
    k, v = (torch.cat([turned, *more], dim=1) if more else turned)[:, :seq_len]
    return k, v


class Queries:
    """An endless supply of fresh queries for one head geometry."""

    def __init__(self, shape: AttentionShape, seed: int, device: torch.device | str = "cpu") -> None:
        self._generator = np.random.default_rng(seed)
        self._size = (shape.batch, shape.n_heads, shape.head_dim)
        normal = self._generator.standard_normal((shape.n_heads, shape.head_dim))
        self._scale = np.exp(CHANNEL_SPREAD * normal).astype(np.float32)
        self._dtype = getattr(torch, shape.dtype)
        self._device = torch.device(device)
        self._noise: torch.Generator | None = None
        if self._device.type != "cpu":
            # Drawn on the device: a batch of 64 takes a CPU some milliseconds, many times the call it is for.
            self._noise = torch.Generator(self._device).manual_seed(seed)
            self._device_scale = torch.from_numpy(self._scale).to(self._device)

    def draw(self) -> Tensor:
        """The next query, [batch, n_heads, head_dim], on the device."""
        if self._noise is not None:
            drawn = torch.randn(self._size, generator=self._noise, device=self._device)
            return (drawn * self._device_scale).to(self._dtype)
        noise = self._generator.standard_normal(self._size, dtype=np.float32)
        return torch.from_numpy(noise * self._scale).to(self._dtype)
