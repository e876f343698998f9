"""Right before fast: each implementation against the float64 reference, on the geometry that is to be timed."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from sparq_kernels import KVCache, decode
from sparq_kernels.reference import dense_attention, sparq_attention
from sparq_perf.measure.inputs import Queries, build_cache
from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.shape import KLayout

# Long enough for several tiles and pieces, short enough for float64 on a CPU.
LONGEST_CHECKED = 6000

# Largest absolute difference allowed, by the cache's type; outputs are means of values of about 1.
TOLERANCE = {"float64": 1e-5, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}


@dataclass(frozen=True, slots=True)
class Step:
    """One decode step to be made right: its cache, its query, and by configuration what is right, once it is known."""

    cache: KVCache
    query: Tensor
    expected: dict[SparqConfig | None, Tensor] = field(default_factory=dict)

    def exact(self, config: SparqConfig | None) -> Tensor:
        """By the float64 reference on the CPU."""
        if config not in self.expected:
            tensors = (self.query, self.cache.any_keys, self.cache.values)
            q, k, v = (tensor.cpu().to(torch.float64) for tensor in tensors)
            self.expected[config] = dense_attention(q, k, v) if config is None else sparq_attention(q, k, v, config)
        return self.expected[config]


class Steps:
    """Makes steps; keeps the last one, for the contenders of a group are asked the same, one after the other."""

    def __init__(self) -> None:
        self._last: tuple[tuple[object, ...], Step] | None = None

    def step(self, shape: AttentionShape, k_layout: KLayout, seed: int, device: torch.device | str) -> Step:
        """The step of a geometry."""
        key = (shape, k_layout, seed, str(device))
        if self._last is None or self._last[0] != key:
            self._last = None  # its memory first
            cache = build_cache(shape, k_layout, seed, device)
            self._last = key, Step(cache, Queries(shape, seed, device).draw())
        return self._last[1]

    def forget(self) -> None:
        """Give back its memory."""
        self._last = None


def largest_error(
    shape: AttentionShape,
    config: SparqConfig | None,
    implementation: str,
    seed: int,
    device: torch.device | str = "cpu",
    steps: Steps | None = None,
) -> float:
    """Largest absolute difference from the float64 reference on the CPU over one decode step on a device.

    The sequence is cut to `LONGEST_CHECKED` tokens and the batch to one; heads, settings and layout are the workload's.
    """
    small = AttentionShape(
        1, min(shape.seq_len, LONGEST_CHECKED), shape.n_heads, shape.n_kv_heads, shape.head_dim, shape.dtype
    )
    step = (steps or Steps()).step(small, config.k_layout if config else "two_copies", seed, device)
    y = decode(step.query, step.cache, config, implementation)
    return float((y.cpu().to(torch.float64) - step.exact(config)).abs().max())
