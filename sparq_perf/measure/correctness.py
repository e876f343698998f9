"""Right before fast: each implementation against the float64 reference, on the geometry that is to be timed."""

import torch

from sparq_kernels import decode
from sparq_kernels.reference import dense_attention, sparq_attention
from sparq_perf.measure.inputs import Queries, build_cache
from sparq_profiles import AttentionShape, SparqConfig

# Long enough for several tiles and pieces, short enough for float64 on a CPU.
LONGEST_CHECKED = 6000

# Largest absolute difference allowed, by the cache's type; outputs are means of values of about 1.
TOLERANCE = {"float64": 1e-5, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}


def largest_error(
    shape: AttentionShape,
    config: SparqConfig | None,
    implementation: str,
    seed: int,
    device: torch.device | str = "cpu",
) -> float:
    """Largest absolute difference from the float64 reference on the CPU over one decode step on a device.

    The sequence is cut to `LONGEST_CHECKED` tokens and the batch to one; heads, settings and layout are the workload's.
    """
    small = AttentionShape(
        1, min(shape.seq_len, LONGEST_CHECKED), shape.n_heads, shape.n_kv_heads, shape.head_dim, shape.dtype
    )
    cache = build_cache(small, config.k_layout if config else "two_copies", seed, device)
    q = Queries(small, seed, device).draw()
    y = decode(q, cache, config, implementation)
    exact_q, k, v = (tensor.cpu().to(torch.float64) for tensor in (q, cache.any_keys, cache.values))
    expected = dense_attention(exact_q, k, v) if config is None else sparq_attention(exact_q, k, v, config)
    return float((y.cpu().to(torch.float64) - expected).abs().max())
