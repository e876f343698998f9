"""SparQ decode on a GPU in three launches: score, select, gather.

score    A program sees one tile of one KV head. It picks the r channels, reads those rows of Kᵀ, writes each head's
         softmax statistics and the tile's exact top-k. Scores are spilled only where that top-k would be no smaller.
select   merges the tiles: normalisers, and the top-k of the candidates by a threshold search in registers.
gather   reads K and V at the selected positions; the approximate logits that the coverage needs are computed again
         from the gathered keys. It is the dense kernel with a list of rows.

No launch depends on data that the host would have to read, so that a decode step can be captured in a CUDA graph.
"""

import torch
from torch import Tensor

from sparq_kernels.cache import KVCache
from sparq_kernels.dense_triton.kernel import decode as dense_decode
from sparq_kernels.gpu.attend import launch_attend
from sparq_kernels.gpu.devices import tiling_of
from sparq_kernels.gpu.launching import ALL_REGISTERS, launch
from sparq_kernels.gpu.tiling import SMALLEST_TILE, Tiling, padded, product_warps
from sparq_kernels.sparq_triton.plan import CANDIDATES, HEADS, plan_score
from sparq_kernels.sparq_triton.score import score
from sparq_kernels.sparq_triton.select import select
from sparq_profiles import SparqConfig

REGISTERS_A_UNIT = 65536  # of an SM, which two programs are to share


def decode(q: Tensor, cache: KVCache, config: SparqConfig, *, tiling: Tiling | None = None) -> Tensor:
    """SparQ attention of q [batch, n_heads, head_dim] over the cache; returns y like q.

    Args:
        q: contiguous, of the cache's type.
        cache: float16, bfloat16 or float32, in any K layout.
        config: settings; the cache's own layout decides what is read.
        tiling: launch parameters; the device's where None.
    """
    tiling = tiling or tiling_of(cache.device)
    if config.top_k >= cache.seq_len:
        return dense_decode(q, cache, tiling=tiling)
    rows, transposed, _ = cache.storage
    kv_heads, group = cache.batch * cache.n_kv_heads, q.shape[1] // cache.n_kv_heads
    transposed_len = cache.seq_len if transposed is None else cache.transposed_len
    plan = plan_score(
        kv_heads,
        cache.seq_len,
        transposed_len,
        group,
        cache.head_dim,
        q.element_size(),
        config,
        tiling,
        by_rows=transposed is None,
    )
    capacity = config.top_k - config.local_window

    def scratch(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(size, dtype=dtype, device=q.device)

    largest, total = scratch(kv_heads, plan.n_tiles, group), scratch(kv_heads, plan.n_tiles, group)
    channels = weights = candidates = positions = scores = shared = None
    if transposed is not None:
        channels = scratch(kv_heads, plan.n_tiles, config.rank, dtype=torch.int32)
        weights = scratch(kv_heads, plan.n_tiles, config.rank, plan.group_pad, dtype=q.dtype)
    if plan.emit == CANDIDATES:
        candidates = scratch(kv_heads, plan.n_tiles, capacity)
        positions = scratch(kv_heads, plan.n_tiles, capacity, dtype=torch.int32)
    if plan.spills:
        scores = scratch(kv_heads, group if plan.emit == HEADS else 1, plan.scores_stride)
    if plan.emit == HEADS and not plan.at_once:
        shared = scratch(kv_heads, plan.scores_stride)
    normaliser = scratch(kv_heads, group)
    selected = scratch(kv_heads, config.top_k, dtype=torch.int32)

    sizes = {
        "n_kv_heads": cache.n_kv_heads,
        "seq_len": cache.seq_len,
        "transposed_len": transposed_len,
        "n_tiles": plan.n_tiles,
        "top_k": config.top_k,
        "local_window": config.local_window,
        "scores_stride": plan.scores_stride,
    }
    score_warps = tiling.score_warps if plan.vector else product_warps(cache.head_dim, q.element_size(), tiling)
    lean = plan.vector and cache.head_dim <= 128 and q.element_size() <= 2
    launch(
        "score",
        score,
        (kv_heads, plan.n_tiles),
        {
            "q": q,
            "k": rows,
            "kt": transposed,
            "starts": cache.valid_start,
            "channels": channels,
            "weights": weights,
            "scores": scores,
            "largest": largest,
            "total": total,
            "candidates": candidates,
            "positions": positions,
            "rank": config.rank,
            "k_head_stride": 0 if rows is None else rows.stride(1),
            "kt_head_stride": 0 if transposed is None else transposed.stride(1),
            "kt_stride": 0 if transposed is None else transposed.stride(2),
            **sizes,
        },
        {
            "GROUP": group,
            "GROUP_PAD": plan.group_pad,
            "HEAD_DIM": cache.head_dim,
            "HEAD_DIM_PAD": padded(cache.head_dim, SMALLEST_TILE),
            "TILE": plan.tile,
            "BLOCK": plan.block,
            "ROWS": transposed is None,
            "VECTOR": plan.vector,
            "EMIT": plan.emit,
            "HAS_TAIL": plan.has_tail,
        },
        num_warps=score_warps,
        max_registers=registers_a_thread(score_warps, programs=2 if lean else 1),
    )
    launch(
        "select",
        select,
        (kv_heads,),
        {
            "starts": cache.valid_start,
            "largest": largest,
            "total": total,
            "candidates": candidates,
            "positions": positions,
            "scores": scores,
            "shared": shared,
            "normaliser": normaliser,
            "selected": selected,
            "n_items": plan.n_items,
            **sizes,
        },
        {
            "GROUP": group,
            "GROUP_PAD": padded(group),
            "TILE": plan.tile,
            "ITEMS": plan.items,
            "AT_ONCE": plan.at_once,
            "SOURCE": plan.emit,
            "HAS_TAIL": plan.has_tail,
        },
        num_warps=plan.select_warps,
        max_registers=registers_a_thread(plan.select_warps, programs=1),
    )
    return launch_attend("gather", q, cache, tiling, config=config, selected=selected, normaliser=normaliser)


def registers_a_thread(n_warps: int, *, programs: int) -> int:
    """Registers of a thread such that an SM holds that many programs.

    Said aloud because ptxas, left alone, spills a few registers to fit one program more.
    """
    return min(ALL_REGISTERS, REGISTERS_A_UNIT // (32 * n_warps * programs))
