"""What the score and select programs do for a shape, as numbers; needs neither torch nor triton."""

from dataclasses import dataclass
from math import ceil

from sparq_kernels.gpu.tiling import SMALLEST_TILE, Tiling, padded, row_block, score_tiles
from sparq_profiles import ConfigError, SparqConfig

# What a score program leaves for the select step.
CANDIDATES = 0  # the tile's top-k of the summed logits, exact
SHARED = 1  # every summed logit: where top_k is so large that candidates would be no fewer
HEADS = 2  # every head's logit: for the softmax rule, which needs the final statistics first

DIGITS = 16  # of base 4, in a 32-bit key: passes of the threshold search where items do not stay in registers

LARGEST_ITEMS = 2**21 - 1  # the threshold search counts in fields of 21 bits
SMALLEST_SELECT = 128
ITEMS_A_THREAD = 16
SCORES_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class ScorePlan:
    """One decode step's score and select launches.

    Attributes:
        n_tiles, tile, block: score programs of a KV head, positions of each, and of one inner step.
        group_pad: heads of a group as a program holds them.
        vector: multiply-adds, not matrix products.
        emit: CANDIDATES, SHARED or HEADS.
        spills: whether fp32 scores pass through memory at all; scores_stride: their row's length.
        has_tail: whether the newest tokens are not in Kᵀ yet.
        n_items, items, at_once: what select looks at, how much at a time, and whether that is all.
        select_warps: warps of a select program.
    """

    n_tiles: int
    tile: int
    block: int
    group_pad: int
    vector: bool
    emit: int
    spills: bool
    scores_stride: int
    has_tail: bool
    n_items: int
    items: int
    at_once: bool
    select_warps: int


def plan_score(
    kv_heads: int,
    seq_len: int,
    transposed_len: int,
    group: int,
    head_dim: int,
    element_bytes: int,
    config: SparqConfig,
    tiling: Tiling,
    *,
    by_rows: bool,
) -> ScorePlan:
    """The plan for one decode step.

    Args:
        kv_heads: of all sequences.
        seq_len, transposed_len: tokens, and how many of them Kᵀ holds; equal for ``row_major``.
        group, head_dim, element_bytes: query heads of a KV head, and what a row of K is.
        config, tiling: settings.
        by_rows: no Kᵀ: the score step reads rows of K.

    Raises:
        ConfigError: more scores to select from than are supported.
    """
    vector = not by_rows and padded(group) <= tiling.vector_heads
    group_pad = padded(group) if vector else padded(group, SMALLEST_TILE)
    tile = tiling.tile(group_pad)
    capacity = config.top_k - config.local_window
    if config.group_score == "softmax" and group > 1:
        emit = HEADS  # one head's softmax keeps the order of its logits
    elif capacity <= tile // 4:
        emit = CANDIDATES
    else:
        emit = SHARED
    n_tiles = score_tiles(transposed_len, seq_len, tile)
    n_items = n_tiles * capacity if emit == CANDIDATES else seq_len
    if n_items > LARGEST_ITEMS:
        raise ConfigError(
            f"sparq-triton selects from at most {LARGEST_ITEMS:,} scores, and seq_len {seq_len:,} with top_k "
            f"{config.top_k:,} leaves {n_items:,}: use a smaller top_k, or sparq-torch"
        )
    if vector:
        block = tile
    elif by_rows:
        block = row_block(tiling.attend_block, head_dim, element_bytes)
    else:
        block = tiling.score_block // (4 if element_bytes > 2 else 1)  # as in row_block: fp32 operands lie in registers
    at_once = n_items <= tiling.select_items
    items = padded(max(n_items, SMALLEST_SELECT)) if at_once else min(tiling.select_items, 4096)
    return ScorePlan(
        n_tiles=n_tiles,
        tile=tile,
        block=min(tile, block),
        group_pad=group_pad,
        vector=vector,
        emit=emit,
        spills=emit != CANDIDATES or not vector,
        scores_stride=ceil(seq_len / SCORES_ALIGNMENT) * SCORES_ALIGNMENT,
        has_tail=transposed_len < seq_len,
        n_items=n_items,
        items=items,
        at_once=at_once,
        select_warps=min(max(items // (ITEMS_A_THREAD * tiling.wavefront), 4), 1024 // tiling.wavefront),
    )
