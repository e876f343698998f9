"""Device code of the select step: the exact top-k of all tiles, and each head's softmax normaliser."""

import triton
import triton.language as tl

from sparq_kernels.gpu.device import count_three, next_digit, ordered_keys, taken_slots, threshold
from sparq_kernels.sparq_triton import plan
from sparq_kernels.sparq_triton.score import CANDIDATES, HEADS

TILES_A_PASS = tl.constexpr(64)
DIGITS = tl.constexpr(plan.DIGITS)


@triton.jit
def tile_bounds(tile, n_tiles, transposed_len, seq_len, TILE: tl.constexpr, HAS_TAIL: tl.constexpr):
    """First position of a tile and the one behind its last."""
    low = tile * TILE
    high = tl.minimum(low + TILE, transposed_len)
    if HAS_TAIL:
        low = tl.where(tile == n_tiles - 1, transposed_len, low)
        high = tl.where(tile == n_tiles - 1, seq_len, high)
    return low, high


@triton.jit
def load_keys(
    item, candidates, scores, normaliser, scores_stride, capacity, wanted, start, window, seq_len, transposed_len,
    n_tiles, GROUP: tl.constexpr, TILE: tl.constexpr, SOURCE: tl.constexpr, HAS_TAIL: tl.constexpr,
):  # fmt: skip
    """Keys of items: slots of the tiles' candidates, or positions of spilled scores."""
    if SOURCE == CANDIDATES:
        tile = item // capacity
        low, high = tile_bounds(tile, n_tiles, transposed_len, seq_len, TILE, HAS_TAIL)
        count = tl.minimum(wanted, tl.minimum(high, window) - tl.maximum(low, start))
        usable = (tile < n_tiles) & (item - tile * capacity < count)
        values = tl.load(candidates + item, mask=usable, other=0.0)
    else:
        usable = (item >= start) & (item < window)
        if SOURCE == HEADS:
            values = tl.zeros(item.shape, tl.float32)
            for head in range(GROUP):
                logits = tl.load(scores + head * scores_stride + item, mask=usable, other=0.0)
                values += tl.exp2(logits - tl.load(normaliser + head))
        else:
            values = tl.load(scores + item, mask=usable, other=0.0)
    return ordered_keys(values, usable)


@triton.jit(do_not_specialize=["seq_len", "transposed_len", "n_tiles", "top_k", "local_window", "n_items"])
def select(
    starts, largest, total, candidates, positions, scores, shared, normaliser, selected,
    n_kv_heads, seq_len, transposed_len, n_tiles, top_k, local_window, n_items, scores_stride,
    GROUP: tl.constexpr, GROUP_PAD: tl.constexpr, TILE: tl.constexpr, ITEMS: tl.constexpr, AT_ONCE: tl.constexpr,
    SOURCE: tl.constexpr, HAS_TAIL: tl.constexpr,
):  # fmt: skip
    """One KV head; grid (batch · n_kv_heads,).

    Out: selected int32 [batch · n_kv_heads, top_k], ascending but for the local window at its end; normaliser fp32
    [batch · n_kv_heads, group], log2 Σ 2^s of each head. ``shared`` is scratch, fp32 [batch · n_kv_heads, stride]. With
    AT_ONCE all items (at most ITEMS) stay in registers; else they are read in pieces of ITEMS, once a digit.
    """
    kv_head = tl.program_id(0)
    start = tl.load(starts + kv_head // n_kv_heads).to(tl.int32)
    valid = seq_len - start
    selected += kv_head.to(tl.int64) * top_k
    if valid <= top_k:
        for first in range(0, valid, ITEMS):
            item = first + tl.arange(0, ITEMS)
            tl.store(selected + item, start + item, mask=item < valid)
        return
    window = tl.maximum(start, seq_len - local_window)
    wanted = top_k - (seq_len - window)
    for first in range(0, seq_len - window, ITEMS):
        item = first + tl.arange(0, ITEMS)
        tl.store(selected + wanted + item, window + item, mask=item < seq_len - window)

    head = tl.arange(0, GROUP_PAD)
    running_largest = tl.full([GROUP_PAD], float("-inf"), tl.float32)
    running_total = tl.zeros([GROUP_PAD], tl.float32)
    program = kv_head.to(tl.int64) * n_tiles
    for first in range(0, n_tiles, TILES_A_PASS):
        tile = first + tl.arange(0, TILES_A_PASS)
        at = (program + tile)[:, None] * GROUP + head[None, :]
        there = (tile < n_tiles)[:, None] & (head < GROUP)[None, :]
        tiles_largest = tl.load(largest + at, mask=there, other=float("-inf"))
        tiles_total = tl.load(total + at, mask=there, other=0.0)
        now = tl.maximum(running_largest, tl.max(tiles_largest, axis=0))
        known = tl.where(now == float("-inf"), 0.0, now)
        running_total = running_total * tl.exp2(running_largest - known) + tl.sum(
            tiles_total * tl.exp2(tiles_largest - known[None, :]), axis=0
        )
        running_largest = now
    normaliser += kv_head.to(tl.int64) * GROUP
    tl.store(normaliser + head, running_largest + tl.log2(running_total), mask=head < GROUP)

    capacity = top_k - local_window
    if SOURCE == CANDIDATES:
        candidates += program * capacity
        positions += program * capacity
    elif SOURCE == HEADS:
        tl.debug_barrier()  # the normalisers are read back below
        scores += kv_head.to(tl.int64) * GROUP * scores_stride
    else:
        scores += kv_head.to(tl.int64) * scores_stride

    if AT_ONCE:
        item = tl.arange(0, ITEMS)
        keys = load_keys(
            item, candidates, scores, normaliser, scores_stride, capacity, wanted, start, window, seq_len,
            transposed_len, n_tiles, GROUP, TILE, SOURCE, HAS_TAIL,
        )  # fmt: skip
        lowest = threshold(keys, wanted)
        greater = tl.sum((keys > lowest).to(tl.int32), axis=0)
        slot, _, _ = taken_slots(keys, lowest, wanted - greater, 0, 0)
        position = item
        if SOURCE == CANDIDATES:
            position = tl.load(positions + item, mask=slot >= 0, other=0)
        tl.store(selected + slot, position, mask=slot >= 0)
    else:
        if SOURCE == HEADS:
            # The heads' shares are summed once, not once a digit.
            shared += kv_head.to(tl.int64) * scores_stride
            for first in range(0, n_items, ITEMS):
                item = first + tl.arange(0, ITEMS)
                usable = (item >= start) & (item < window)
                values = tl.zeros([ITEMS], tl.float32)
                for head_index in range(GROUP):
                    logits = tl.load(scores + head_index * scores_stride + item, mask=usable, other=0.0)
                    values += tl.exp2(logits - tl.load(normaliser + head_index))
                tl.store(shared + item, values, mask=usable)
            tl.debug_barrier()
            scores = shared
        ONCE_SUMMED: tl.constexpr = SOURCE if SOURCE == CANDIDATES else 1
        # All 16 digits, without a look at whether the count has come out already: what is read depends on sizes alone.
        lowest = tl.full([], 0, tl.uint32)
        reached = tl.full([], 2147483647, tl.int32)
        greater = tl.full([], 0, tl.int32)
        shift = tl.full([], 30, tl.int32)
        for _ in range(DIGITS):
            at = shift.to(tl.uint32)
            counts = tl.full([], 0, tl.int64)
            for first in range(0, n_items, ITEMS):
                keys = load_keys(
                    first + tl.arange(0, ITEMS), candidates, scores, normaliser, scores_stride, capacity, wanted,
                    start, window, seq_len, transposed_len, n_tiles, GROUP, TILE, ONCE_SUMMED, HAS_TAIL,
                )  # fmt: skip
                counts += count_three(keys, lowest, at)
            lowest, reached, greater = next_digit(counts, lowest, reached, greater, wanted, at)
            shift -= 2
        equal_wanted = wanted - greater
        greater_before = tl.full([], 0, tl.int32)
        equal_before = tl.full([], 0, tl.int32)
        for first in range(0, n_items, ITEMS):
            item = first + tl.arange(0, ITEMS)
            keys = load_keys(
                item, candidates, scores, normaliser, scores_stride, capacity, wanted,
                start, window, seq_len, transposed_len, n_tiles, GROUP, TILE, ONCE_SUMMED, HAS_TAIL,
            )  # fmt: skip
            slot, greater_before, equal_before = taken_slots(keys, lowest, equal_wanted, greater_before, equal_before)
            position = item
            if SOURCE == CANDIDATES:
                position = tl.load(positions + item, mask=slot >= 0, other=0)
            tl.store(selected + slot, position, mask=slot >= 0)
