"""Minimum traffic of dense and SparQ decode attention for one shape."""

from sparq_profiles import AttentionShape, SparqConfig
from sparq_roofline.formulas import dense_steps, sparq_steps
from sparq_roofline.steps import Traffic

DEFAULT_SECTOR_BYTES = 32


def dense_traffic(shape: AttentionShape) -> Traffic:
    """Bytes and FLOPs of one dense decode step in one layer: ``attend`` and ``append``."""
    return Traffic(
        dense_steps(shape.batch, shape.seq_len, shape.n_heads, shape.n_kv_heads, shape.head_dim, shape.element_bytes)
    )


def sparq_traffic(shape: AttentionShape, config: SparqConfig, *, sector_bytes: int = DEFAULT_SECTOR_BYTES) -> Traffic:
    """Bytes and FLOPs of one SparQ decode step in one layer, for the K layout that ``config`` names.

    A ``top_k`` above ``seq_len`` counts as ``seq_len``. ``sector_bytes`` is the smallest unit a read moves; it
    matters only for the layouts that keep K once.

    Raises:
        ConfigError: rank above head_dim.
    """
    config.check_fits(shape.head_dim)
    return Traffic(
        sparq_steps(
            shape.batch,
            shape.seq_len,
            shape.n_heads,
            shape.n_kv_heads,
            shape.head_dim,
            shape.element_bytes,
            config.rank,
            min(config.top_k, shape.seq_len),
            config.local_window,
            int(config.mean_value),
            int(config.group_score == "softmax"),
            config.k_layout,
            sector_bytes,
            min,
        )
    )


def kv_cache_bytes(shape: AttentionShape, config: SparqConfig | None) -> int:
    """Capacity that one layer's KV cache needs, bytes: ``two_copies`` costs 1.5 times dense."""
    mean = 0
    copies = 2
    if config is not None:
        copies = 3 if config.k_layout == "two_copies" else 2
        mean = 4 * shape.batch * shape.n_kv_heads * shape.head_dim if config.mean_value else 0
    return copies * shape.kv_bytes // 2 + mean
