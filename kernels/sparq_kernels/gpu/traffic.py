"""Bytes that `gpu.attend` and `gpu.append` move and ask for; needs neither torch nor triton.

``read_bytes`` and ``write_bytes`` are DRAM's: whole sectors where rows are picked apart, everything once. What is
asked for, ``accessed_bytes``, is counted access by access, as an interpreter of the kernels would.
"""

from math import ceil

from sparq_kernels.gpu.tiling import TRANSPOSED_TILE, Tiling, attend_splits, gather_splits
from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.shape import KLayout
from sparq_roofline.steps import StepTraffic

SECTOR_BYTES = 32
FP32_BYTES = 4
INDEX_BYTES = 4
START_BYTES = 8


def attend_step(step: str, shape: AttentionShape, config: SparqConfig | None, tiling: Tiling) -> StepTraffic:
    """The attend kernel's traffic, over all positions (``config`` None) or the selected ones."""
    kv_heads, row_bytes = shape.batch * shape.n_kv_heads, shape.head_dim * shape.element_bytes
    group_bytes = shape.group_size * row_bytes
    blend = config is not None and config.mean_value
    if config is None:
        rows, splits = shape.seq_len, attend_splits(kv_heads, shape.seq_len, tiling)
    else:
        rows, splits = config.top_k, gather_splits(kv_heads, config.top_k, tiling)
    programs = kv_heads * splits

    key_bytes = kv_heads * rows * row_bytes
    moved_key_bytes = key_bytes
    if config is not None and config.k_layout == "channel_major":
        # One sector a channel, until neighbours share them all.
        moved_key_bytes = kv_heads * min(rows * shape.head_dim * SECTOR_BYTES, shape.seq_len * row_bytes)
    list_bytes = kv_heads * rows * INDEX_BYTES if config is not None else 0
    small_bytes = programs * START_BYTES
    mean_bytes = kv_heads * shape.head_dim * FP32_BYTES if blend else 0
    normaliser_bytes = shape.group_size * FP32_BYTES if blend else 0
    part_bytes = written_parts = asked_parts = 0
    if splits > 1:
        statistics = 2 + blend
        part_bytes = shape.group_size * (shape.head_dim + statistics) * FP32_BYTES
        written_parts = programs * part_bytes
        # Read for the largest logits first, then whole; each arrival is read and written, and set to 0 at the end.
        asked_parts = programs * (shape.group_size + 2) * FP32_BYTES + kv_heads * FP32_BYTES
    read_bytes = (
        moved_key_bytes
        + kv_heads * (rows * row_bytes + group_bytes + normaliser_bytes)
        + list_bytes
        + mean_bytes
        + written_parts
    )
    write_bytes = kv_heads * group_bytes + written_parts
    accessed_bytes = (
        2 * key_bytes
        + programs * (group_bytes + normaliser_bytes)
        + list_bytes
        + mean_bytes
        + small_bytes
        + kv_heads * group_bytes
        + 2 * written_parts
        + asked_parts
    )
    return StepTraffic(
        step,
        read_bytes=read_bytes,
        write_bytes=write_bytes,
        flops=(6 if blend else 4) * shape.batch * shape.n_heads * rows * shape.head_dim,
        access="stream" if config is None else "gather",
        elements=shape.batch * shape.n_heads * rows,
        pieces=kv_heads,
        accessed_bytes=accessed_bytes,
    )


def append_step(shape: AttentionShape, k_layout: KLayout, *, flush: bool | None = None) -> StepTraffic:
    """The append kernel's traffic for one token of every sequence.

    Args:
        shape: of the decode step.
        k_layout: which copies of K are written.
        flush: whether this token completes a tile of Kᵀ (two_copies); None for the mean over a tile.
    """
    kv_heads, row_bytes = shape.batch * shape.n_kv_heads, shape.head_dim * shape.element_bytes
    mean_bytes = shape.head_dim * FP32_BYTES
    share = 0.0
    if k_layout == "two_copies":
        share = 1 / TRANSPOSED_TILE if flush is None else float(flush)
    tile_bytes = share * TRANSPOSED_TILE * row_bytes
    column_bytes = shape.head_dim * SECTOR_BYTES if k_layout == "channel_major" else 0
    rows_written = 2 if k_layout != "channel_major" else 1
    read_bytes = kv_heads * (2 * row_bytes + mean_bytes + tile_bytes)
    write_bytes = kv_heads * (rows_written * row_bytes + column_bytes + mean_bytes + tile_bytes)
    accessed = kv_heads * (4 * row_bytes + START_BYTES + 2 * mean_bytes + 2 * tile_bytes)
    return StepTraffic("append", read_bytes=read_bytes, write_bytes=write_bytes, accessed_bytes=accessed)


def whole_vectors(positions: int) -> int:
    """Positions that loads of 8 at a time touch."""
    return ceil(positions / 8) * 8
