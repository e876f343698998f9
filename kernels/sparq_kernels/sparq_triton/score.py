"""Device code of the score step: approximate logits from r channels, their softmax statistics, the top-k of a tile."""

import triton
import triton.language as tl

from sparq_kernels.gpu.device import channel_places, ordered_keys, score_factors, taken_slots, threshold
from sparq_kernels.sparq_triton import plan

CANDIDATES = tl.constexpr(plan.CANDIDATES)
SHARED = tl.constexpr(plan.SHARED)
HEADS = tl.constexpr(plan.HEADS)

CHANNELS_A_PASS = tl.constexpr(8)  # rows of Kᵀ asked for before the first is used
CHANNELS_A_PASS_OF_TAIL = tl.constexpr(2)  # the same for 64 tokens or fewer, which should not cost registers
CHANNELS_A_PRODUCT = tl.constexpr(32)  # channels of one tensor-core product


@triton.jit
def vector_scores(
    keys, channels, weights, length, rank, channel_stride, position_stride,
    GROUP_PAD: tl.constexpr, BLOCK: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """q_r · K_r by multiply-adds, fp32 [group padded, block]: Kᵀ rows stream through registers, no shared memory."""
    head = tl.arange(0, GROUP_PAD)
    # Rows are loaded as [1, block]: broadcast over the heads they stay where they were loaded. From a flat load the
    # compiler takes every row through shared memory, with a barrier each.
    offset = tl.arange(0, BLOCK)[None, :]
    scores = tl.zeros([GROUP_PAD, BLOCK], tl.float32)
    for first in range(0, rank, AHEAD):
        for n in tl.static_range(AHEAD):
            real = rank - first > n
            channel = tl.load(channels + first + n, mask=real, other=0).to(tl.int64)
            own = head < tl.where(real, GROUP_PAD, 0)
            weight = tl.load(weights + (first + n) * GROUP_PAD + head, mask=own, other=0.0)
            inside = offset < tl.where(real, length, 0)
            row = tl.load(keys + channel * channel_stride + offset * position_stride, mask=inside, other=0.0)
            scores += weight.to(tl.float32)[:, None] * row.to(tl.float32)
    return scores


@triton.jit
def matrix_scores(
    keys, channels, weights, length, rank, channel_stride, position_stride,
    GROUP_PAD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The same by matrix products, for groups that fill a tensor core."""
    head = tl.arange(0, GROUP_PAD)
    offset = tl.arange(0, BLOCK)
    scores = tl.zeros([GROUP_PAD, BLOCK], tl.float32)
    for first in range(0, rank, CHANNELS_A_PRODUCT):
        n = first + tl.arange(0, CHANNELS_A_PRODUCT)
        real = n < rank
        channel = tl.load(channels + n, mask=real, other=0).to(tl.int64)
        weight = tl.load(weights + n[None, :] * GROUP_PAD + head[:, None], mask=real[None, :], other=0.0)
        pointers = keys + channel[:, None] * channel_stride + (offset * position_stride)[None, :]
        tile = tl.load(pointers, mask=real[:, None] & (offset < length)[None, :], other=0.0)
        scores = tl.dot(weight, tile, scores, input_precision="ieee")
    return scores


@triton.jit
def statistics(scores):
    """Largest base-2 logit and Σ 2^(s − largest) of each head; −∞ and 0 where there is none."""
    largest = tl.max(scores, axis=1)
    total = tl.sum(tl.exp2(scores - tl.where(largest == float("-inf"), 0.0, largest)[:, None]), axis=1)
    return largest, total


@triton.jit
def emit_candidates(shared, position, open_, count, candidates, positions):
    """Write the ``count`` largest of a tile's summed logits and their positions, in order of position."""
    keys = ordered_keys(shared, open_)
    lowest = threshold(keys, count)
    greater = tl.sum((keys > lowest).to(tl.int32), axis=0)
    slot, _, _ = taken_slots(keys, lowest, count - greater, 0, 0)
    tl.store(candidates + slot, shared, mask=slot >= 0)
    tl.store(positions + slot, position, mask=slot >= 0)


@triton.jit(do_not_specialize=["seq_len", "transposed_len", "n_tiles", "rank", "top_k", "local_window"])
def score(
    q, k, kt, starts, channels, weights, scores, largest, total, candidates, positions,
    n_kv_heads, seq_len, transposed_len, n_tiles, rank, top_k, local_window,
    k_head_stride, kt_head_stride, kt_stride, scores_stride,
    GROUP: tl.constexpr, GROUP_PAD: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_DIM_PAD: tl.constexpr,
    TILE: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, VECTOR: tl.constexpr, EMIT: tl.constexpr,
    HAS_TAIL: tl.constexpr,
):  # fmt: skip
    """One tile of one KV head; grid (batch · n_kv_heads, n_tiles).

    q [batch, n_heads, head_dim]; k [batch, n_kv_heads, capacity, head_dim]; kt [batch, n_kv_heads, head_dim, stride];
    starts int64 [batch]. Scratch: channels int32 and weights [programs, rank(, group padded)], scores fp32, see EMIT.
    Out: largest and total fp32 [batch · n_kv_heads, n_tiles, group], candidates fp32 and positions int32
    [batch · n_kv_heads, n_tiles, top_k − local_window].
    """
    kv_head = tl.program_id(0)
    tile = tl.program_id(1)
    start = tl.load(starts + kv_head // n_kv_heads).to(tl.int32)
    valid = seq_len - start
    if valid <= top_k:
        return  # every valid position is selected, whatever its score
    low = tile * TILE
    high = tl.minimum(low + TILE, transposed_len)
    if HAS_TAIL:
        tail = tile == n_tiles - 1
        low = tl.where(tail, transposed_len, low)
        high = tl.where(tail, seq_len, high)
    window = tl.maximum(start, seq_len - local_window)
    wanted = top_k - (seq_len - window)

    head = tl.arange(0, GROUP_PAD)
    channel = tl.arange(0, HEAD_DIM_PAD)
    query = tl.load(
        q + (kv_head.to(tl.int64) * GROUP + head)[:, None] * HEAD_DIM + channel[None, :],
        mask=(head < GROUP)[:, None] & (channel < HEAD_DIM)[None, :],
        other=0.0,
    )
    query_32 = query.to(tl.float32)
    place = channel_places(query_32, channel, HEAD_DIM, SLICED=HEAD_DIM > 128)
    factor = score_factors(query_32, place, rank, HEAD_DIM)
    program = kv_head.to(tl.int64) * n_tiles + tile
    if not ROWS:
        # Through memory, for registers cannot be indexed: each program its own few hundred bytes, which stay in L1.
        channels += program * rank
        weights += program * rank * GROUP_PAD
        tl.store(channels + place, channel, mask=place < rank)
        tl.store(weights + place[None, :] * GROUP_PAD + head[:, None], query, mask=place[None, :] < rank)
        tl.debug_barrier()

    statistics_at = program * GROUP + head
    if EMIT == CANDIDATES:
        candidates += program * (top_k - local_window)
        positions += program * (top_k - local_window)
    if VECTOR:
        offset = tl.arange(0, TILE)
        position = low + offset
        usable = (position >= start) & (position < high)
        # Kᵀ is addressed from the tile's number: of ``low`` the compiler does not know that it is a multiple of 8 once
        # a tail may have chosen it. And in whole groups of 8 positions, which rows of Kᵀ are padded to hold.
        at = kt + kv_head.to(tl.int64) * kt_head_stride + tile * TILE
        whole = (high - low + 7) // 8 * 8
        if HAS_TAIL:
            if tail:
                at = k + kv_head.to(tl.int64) * k_head_stride + low.to(tl.int64) * HEAD_DIM
                raw = vector_scores(
                    at, channels, weights, high - low, rank, 1, HEAD_DIM, GROUP_PAD, TILE, CHANNELS_A_PASS_OF_TAIL
                )
            else:
                raw = vector_scores(at, channels, weights, whole, rank, kt_stride, 1, GROUP_PAD, TILE, CHANNELS_A_PASS)
        else:
            raw = vector_scores(at, channels, weights, whole, rank, kt_stride, 1, GROUP_PAD, TILE, CHANNELS_A_PASS)
        logits = tl.where(usable[None, :], raw * factor[:, None], float("-inf"))
        tile_largest, tile_total = statistics(logits)
        tl.store(largest + statistics_at, tile_largest, mask=head < GROUP)
        tl.store(total + statistics_at, tile_total, mask=head < GROUP)
        open_ = usable & (position < window)
        if EMIT == HEADS:
            row = (kv_head.to(tl.int64) * GROUP + head)[:, None] * scores_stride
            tl.store(scores + row + position[None, :], logits, mask=(head < GROUP)[:, None] & open_[None, :])
        else:
            shared = tl.sum(tl.where((head < GROUP)[:, None], logits, 0.0), axis=0)
            if EMIT == SHARED:
                tl.store(scores + kv_head.to(tl.int64) * scores_stride + position, shared, mask=open_)
            else:
                count = tl.minimum(wanted, tl.minimum(high, window) - tl.maximum(low, start))
                if count > 0:
                    emit_candidates(shared, position, open_, count, candidates, positions)
    else:
        running_largest = tl.full([GROUP_PAD], float("-inf"), tl.float32)
        running_total = tl.zeros([GROUP_PAD], tl.float32)
        row = (kv_head.to(tl.int64) * GROUP + head)[:, None] * scores_stride
        if ROWS:
            masked = tl.where(place[None, :] < rank, query, 0.0).to(query.dtype)
        for first in range(low, high, BLOCK):
            offset = tl.arange(0, BLOCK)
            position = first + offset
            usable = (position >= start) & (position < high)
            if ROWS:
                at = k + kv_head.to(tl.int64) * k_head_stride + (low.to(tl.int64) + (first - low)) * HEAD_DIM
                rows = tl.load(
                    at + offset[:, None] * HEAD_DIM + channel[None, :],
                    mask=usable[:, None] & (channel < HEAD_DIM)[None, :],
                    other=0.0,
                )
                raw = tl.dot(masked, tl.trans(rows), input_precision="ieee")
            else:
                at = kt + kv_head.to(tl.int64) * kt_head_stride + tile * TILE + (first - low) // BLOCK * BLOCK
                whole = (high - first + 7) // 8 * 8
                if HAS_TAIL:
                    if tail:
                        at = k + kv_head.to(tl.int64) * k_head_stride + (low.to(tl.int64) + (first - low)) * HEAD_DIM
                        raw = matrix_scores(at, channels, weights, high - first, rank, 1, HEAD_DIM, GROUP_PAD, BLOCK)
                    else:
                        raw = matrix_scores(at, channels, weights, whole, rank, kt_stride, 1, GROUP_PAD, BLOCK)
                else:
                    raw = matrix_scores(at, channels, weights, whole, rank, kt_stride, 1, GROUP_PAD, BLOCK)
            logits = tl.where(usable[None, :], raw * factor[:, None], float("-inf"))
            block_largest, block_total = statistics(logits)
            now = tl.maximum(running_largest, block_largest)
            known = tl.where(now == float("-inf"), 0.0, now)
            running_total = running_total * tl.exp2(running_largest - known) + block_total * tl.exp2(
                block_largest - known
            )
            running_largest = now
            open_ = usable & (position < window)
            if EMIT == HEADS:
                tl.store(scores + row + position[None, :], logits, mask=(head < GROUP)[:, None] & open_[None, :])
            else:
                shared = tl.sum(tl.where((head < GROUP)[:, None], logits, 0.0), axis=0)
                tl.store(scores + kv_head.to(tl.int64) * scores_stride + position, shared, mask=open_)
        tl.store(largest + statistics_at, running_largest, mask=head < GROUP)
        tl.store(total + statistics_at, running_total, mask=head < GROUP)
        if EMIT == CANDIDATES:
            count = tl.minimum(wanted, tl.minimum(high, window) - tl.maximum(low, start))
            if count > 0:
                tl.debug_barrier()  # other threads wrote what this one reads back, from L1 or L2
                tile_position = low + tl.arange(0, TILE)
                open_tile = (tile_position >= start) & (tile_position < tl.minimum(high, window))
                at_scores = scores + kv_head.to(tl.int64) * scores_stride
                shared_tile = tl.load(at_scores + tile_position, mask=open_tile, other=0.0)
                emit_candidates(shared_tile, tile_position, open_tile, count, candidates, positions)
