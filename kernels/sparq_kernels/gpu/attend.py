"""Exact attention over a range of positions or over listed ones: one kernel for dense decode and for SparQ's gather.

Split-KV: a KV head's rows are cut into parts, each part's program keeps a running softmax, and the program that
arrives last combines them. All heads of a group are served by one program, so that K and V are read once a group.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparq_kernels.cache import KVCache
from sparq_kernels.gpu.device import LOG2_E, channel_places, score_factors
from sparq_kernels.gpu.launching import ALL_REGISTERS, launch
from sparq_kernels.gpu.tiling import (
    SMALLEST_TILE,
    Tiling,
    attend_splits,
    gather_splits,
    padded,
    product_warps,
    row_block,
    rows_a_split,
)
from sparq_profiles import SparqConfig

PARTS_A_PASS = tl.constexpr(8)


@triton.jit(do_not_specialize=["seq_len", "rank", "top_k", "rows_a_split", "n_splits"])
def attend(
    q, k, v, starts, selected, normaliser, mean, parts, parts_statistics, arrivals, y,
    n_kv_heads, seq_len, rank, top_k, rows_a_split, n_splits, k_head_stride, v_head_stride, channel_stride,
    GROUP: tl.constexpr, GROUP_PAD: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_DIM_PAD: tl.constexpr,
    BLOCK: tl.constexpr, BY_CHANNEL: tl.constexpr, LISTED: tl.constexpr, BLEND: tl.constexpr, SPLIT: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """One part of one KV head's rows; grid (batch · n_kv_heads, n_splits).

    q, y [batch, n_heads, head_dim]; k [batch, n_kv_heads, capacity, head_dim], or with BY_CHANNEL
    [batch, n_kv_heads, head_dim, channel_stride]; v [batch, n_kv_heads, capacity, head_dim]; starts int64 [batch].
    LISTED: the rows are selected int32 [batch · n_kv_heads, top_k], else all from a sequence's start on. BLEND: the
    result is mixed with mean fp32 [batch, n_kv_heads, head_dim] by the coverage, computed again from the gathered keys
    and normaliser fp32 [batch · n_kv_heads, group], so that no approximate logit is read back.
    SPLIT: parts fp32 [batch · n_kv_heads, n_splits, group, head_dim], parts_statistics fp32 [.., n_splits, 3, group]
    and arrivals int32 [batch · n_kv_heads], zero before and after.
    """
    kv_head = tl.program_id(0)
    split = tl.program_id(1)
    start = tl.load(starts + kv_head // n_kv_heads).to(tl.int32)
    valid = seq_len - start
    head = tl.arange(0, GROUP_PAD)
    channel = tl.arange(0, HEAD_DIM_PAD)
    real_channel = channel < HEAD_DIM
    at_query = (kv_head.to(tl.int64) * GROUP + head)[:, None] * HEAD_DIM + channel[None, :]
    real_query = (head < GROUP)[:, None] & real_channel[None, :]
    query = tl.load(q + at_query, mask=real_query, other=0.0)
    if BLEND:
        query_32 = query.to(tl.float32)
        place = channel_places(query_32, channel, HEAD_DIM, SLICED=False)
        factor = score_factors(query_32, place, rank, HEAD_DIM)
        masked = tl.where(place[None, :] < rank, query, 0.0).to(query.dtype)
        own_normaliser = tl.load(normaliser + kv_head * GROUP + head, mask=head < GROUP, other=0.0)

    low = split * rows_a_split
    if LISTED:
        high = tl.minimum(low + rows_a_split, tl.minimum(top_k, valid))
        selected += kv_head.to(tl.int64) * top_k
    else:
        high = tl.minimum(low + rows_a_split, seq_len)
        # Whole blocks of padding are not read.
        low = tl.maximum(low, start // BLOCK * BLOCK)
    keys = k + kv_head.to(tl.int64) * k_head_stride
    values = v + kv_head.to(tl.int64) * v_head_stride

    largest = tl.full([GROUP_PAD], float("-inf"), tl.float32)
    total = tl.zeros([GROUP_PAD], tl.float32)
    coverage = tl.zeros([GROUP_PAD], tl.float32)
    output = tl.zeros([GROUP_PAD, HEAD_DIM_PAD], tl.float32)
    for first in tl.range(low, high, BLOCK, num_stages=STAGES):
        row = first + tl.arange(0, BLOCK)
        inside = row < high
        if LISTED:
            position = tl.load(selected + row, mask=inside, other=0).to(tl.int64)
        else:
            inside = inside & (row >= start)
            position = row.to(tl.int64)
        if BY_CHANNEL:
            transposed = tl.load(
                keys + channel[:, None].to(tl.int64) * channel_stride + position[None, :],
                mask=real_channel[:, None] & inside[None, :],
                other=0.0,
            )
        else:
            transposed = tl.trans(
                tl.load(
                    keys + position[:, None] * HEAD_DIM + channel[None, :],
                    mask=inside[:, None] & real_channel[None, :],
                    other=0.0,
                )
            )
        exact = tl.dot(query, transposed, input_precision="ieee") * (LOG2_E / HEAD_DIM**0.5)
        exact = tl.where(inside[None, :], exact, float("-inf"))
        if BLEND:
            rough = tl.dot(masked, transposed, input_precision="ieee") * factor[:, None]
            share = tl.exp2(rough - own_normaliser[:, None])
            coverage += tl.sum(tl.where(inside[None, :], share, 0.0), axis=1)
        now = tl.maximum(largest, tl.max(exact, axis=1))
        known = tl.where(now == float("-inf"), 0.0, now)
        weight = tl.exp2(exact - known[:, None])
        fade = tl.exp2(largest - known)
        total = total * fade + tl.sum(weight, axis=1)
        largest = now
        rows = tl.load(
            values + position[:, None] * HEAD_DIM + channel[None, :],
            mask=inside[:, None] & real_channel[None, :],
            other=0.0,
        )
        output = tl.dot(weight.to(rows.dtype), rows, output * fade[:, None], input_precision="ieee")

    last = True
    if SPLIT:
        part = kv_head.to(tl.int64) * n_splits
        at_part = channel[None, :] + head[:, None] * HEAD_DIM
        tl.store(parts + (part + split) * GROUP * HEAD_DIM + at_part, output, mask=real_query)
        at_statistics = parts_statistics + (part + split) * 3 * GROUP + head
        tl.store(at_statistics, largest, mask=head < GROUP)
        tl.store(at_statistics + GROUP, total, mask=head < GROUP)
        if BLEND:
            tl.store(at_statistics + 2 * GROUP, coverage, mask=head < GROUP)
        # Every thread's stores come before the arrival that tells of them.
        tl.debug_barrier()
        arrived = tl.atomic_add(arrivals + kv_head, 1, sem="acq_rel", scope="gpu")
        last = arrived == n_splits - 1
        if last:
            tl.debug_barrier()
            tl.store(arrivals + kv_head, 0)
            largest = tl.full([GROUP_PAD], float("-inf"), tl.float32)
            for one in range(0, n_splits):
                at = parts_statistics + (part + one) * 3 * GROUP + head
                largest = tl.maximum(largest, tl.load(at, mask=head < GROUP, other=0.0))
            known = tl.where(largest == float("-inf"), 0.0, largest)
            total = tl.zeros([GROUP_PAD], tl.float32)
            coverage = tl.zeros([GROUP_PAD], tl.float32)
            output = tl.zeros([GROUP_PAD, HEAD_DIM_PAD], tl.float32)
            for first in range(0, n_splits, PARTS_A_PASS):
                for n in tl.static_range(PARTS_A_PASS):
                    present = head < tl.where(n_splits - first > n, GROUP, 0)
                    at = parts_statistics + (part + first + n) * 3 * GROUP + head
                    fade = tl.exp2(tl.load(at, mask=present, other=float("-inf")) - known)
                    total += fade * tl.load(at + GROUP, mask=present, other=0.0)
                    if BLEND:
                        coverage += tl.load(at + 2 * GROUP, mask=present, other=0.0)
                    from_part = parts + (part + first + n) * GROUP * HEAD_DIM + at_part
                    output += fade[:, None] * tl.load(
                        from_part, mask=present[:, None] & real_channel[None, :], other=0.0
                    )
    if last:
        # A sequence without a valid position has total 0: its result is zeros.
        result = output / tl.where(total > 0, total, 1.0)[:, None]
        if BLEND:  # noqa: SIM102 - decided when compiled, the other when run
            if valid > top_k:
                kept = tl.minimum(coverage, 1.0)[:, None]
                at_mean = mean + kv_head.to(tl.int64) * HEAD_DIM + channel
                average = tl.load(at_mean, mask=real_channel, other=0.0)
                result = kept * result + (1.0 - kept) * average[None, :]
        tl.store(y + at_query, result.to(query.dtype), mask=real_query)


def launch_attend(
    step: str,
    q: Tensor,
    cache: KVCache,
    tiling: Tiling,
    *,
    config: SparqConfig | None = None,
    selected: Tensor | None = None,
    normaliser: Tensor | None = None,
) -> Tensor:
    """Attend to every valid position, or to the selected ones; returns y like q [batch, n_heads, head_dim].

    Args:
        step: the profiler range's name.
        q: contiguous, of the cache's type.
        cache: keys and values.
        tiling: how to cut the work.
        config: SparQ settings, with ``selected`` int32 [batch · n_kv_heads, top_k] and ``normaliser`` fp32
            [batch · n_kv_heads, group].
    """
    rows, transposed, values = cache.storage
    kv_heads, group, head_dim = cache.batch * cache.n_kv_heads, q.shape[1] // cache.n_kv_heads, cache.head_dim
    by_channel = rows is None
    keys = transposed if rows is None else rows
    assert keys is not None
    if config is None:
        length, splits = cache.seq_len, attend_splits(kv_heads, cache.seq_len, tiling)
    else:
        length, splits = config.top_k, gather_splits(kv_heads, config.top_k, tiling)
    blend = config is not None and config.mean_value
    parts = statistics = arrivals = None
    if splits > 1:
        parts = torch.empty(kv_heads, splits, group, head_dim, dtype=torch.float32, device=q.device)
        statistics = torch.empty(kv_heads, splits, 3, group, dtype=torch.float32, device=q.device)
        arrivals = cache.arrivals
    y = torch.empty_like(q)
    block = row_block(tiling.attend_block, head_dim, cache.dtype.itemsize)
    launch(
        step,
        attend,
        (kv_heads, splits),
        {
            "q": q,
            "k": keys,
            "v": values,
            "starts": cache.valid_start,
            "selected": selected,
            "normaliser": normaliser,
            "mean": cache.mean_value if blend else None,
            "parts": parts,
            "parts_statistics": statistics,
            "arrivals": arrivals,
            "y": y,
            "n_kv_heads": cache.n_kv_heads,
            "seq_len": cache.seq_len,
            "rank": 0 if config is None else config.rank,
            "top_k": 0 if config is None else config.top_k,
            "rows_a_split": rows_a_split(length, splits, block),
            "n_splits": splits,
            "k_head_stride": keys.stride(1),
            "v_head_stride": values.stride(1),
            "channel_stride": keys.stride(2) if by_channel else 0,
        },
        {
            "GROUP": group,
            "GROUP_PAD": padded(group, SMALLEST_TILE),
            "HEAD_DIM": head_dim,
            "HEAD_DIM_PAD": padded(head_dim, SMALLEST_TILE),
            "BLOCK": block,
            "BY_CHANNEL": by_channel,
            "LISTED": config is not None,
            "BLEND": blend,
            "SPLIT": splits > 1,
            "STAGES": tiling.attend_stages,
        },
        num_warps=product_warps(cache.head_dim, q.element_size(), tiling),
        num_stages=tiling.attend_stages,
        max_registers=ALL_REGISTERS,
    )
    return y
