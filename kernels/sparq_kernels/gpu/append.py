"""Appending a token on the GPU: K, V and the running mean in one launch, and Kᵀ in whole tiles of 64 tokens.

One token's column of Kᵀ is one element in each of head_dim rows: a 32-byte sector each, 16 times the bytes. So the
newest tokens stay row-major only, which the score step reads there, until they fill a tile that is written at once.
"""

import triton
import triton.language as tl
from torch import Tensor

from sparq_kernels.cache import KVCache
from sparq_kernels.gpu.launching import launch
from sparq_kernels.gpu.tiling import TRANSPOSED_TILE, padded


@triton.jit(do_not_specialize=["position", "transposed_len"])
def append(
    new_k, new_v, k, kt, v, mean, starts,
    n_kv_heads, position, transposed_len, row_head_stride, kt_head_stride, kt_stride,
    HEAD_DIM: tl.constexpr, HEAD_DIM_PAD: tl.constexpr, TILE: tl.constexpr,
    HAS_ROWS: tl.constexpr, COLUMN: tl.constexpr, FLUSH: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """One KV head; grid (batch · n_kv_heads,).

    new_k, new_v [batch, n_kv_heads, head_dim]; the rest as in the cache. COLUMN writes the token's column of Kᵀ, FLUSH
    the tile of Kᵀ that this token completes, from transposed_len on: with WHOLE all of it, in 16-byte stores.
    """
    kv_head = tl.program_id(0)
    head = kv_head.to(tl.int64)
    channel = tl.arange(0, HEAD_DIM_PAD)
    real = channel < HEAD_DIM
    key = tl.load(new_k + head * HEAD_DIM + channel, mask=real, other=0.0)
    value = tl.load(new_v + head * HEAD_DIM + channel, mask=real, other=0.0)
    row = head * row_head_stride + position.to(tl.int64) * HEAD_DIM + channel
    if HAS_ROWS:
        tl.store(k + row, key, mask=real)
    tl.store(v + row, value, mask=real)
    if COLUMN:
        tl.store(kt + head * kt_head_stride + channel.to(tl.int64) * kt_stride + position, key, mask=real)
    # A token that is still padding enters no mean.
    count = position + 1 - tl.load(starts + kv_head // n_kv_heads).to(tl.int32)
    if count > 0:
        average = tl.load(mean + head * HEAD_DIM + channel, mask=real, other=0.0)
        average += (value.to(tl.float32) - average) / count.to(tl.float32)
        tl.store(mean + head * HEAD_DIM + channel, average, mask=real)
    if FLUSH:
        tl.debug_barrier()  # the row just written is read back by other threads
        token = transposed_len // TILE * TILE + tl.arange(0, TILE)
        rows = k + head * row_head_stride + token.to(tl.int64)[:, None] * HEAD_DIM + channel[None, :]
        columns = kt + head * kt_head_stride + channel.to(tl.int64)[:, None] * kt_stride + token[None, :]
        if WHOLE:
            tile = tl.load(rows, mask=real[None, :], other=0.0)
            tl.store(columns, tl.trans(tile), mask=real[:, None])
        else:
            new = (token >= transposed_len) & (token <= position)
            tile = tl.load(rows, mask=new[:, None] & real[None, :], other=0.0)
            tl.store(columns, tl.trans(tile), mask=real[:, None] & new[None, :])


def append_token(cache: KVCache, k: Tensor, v: Tensor) -> None:
    """Write one token's k and v [batch, n_kv_heads, head_dim] at position ``cache.seq_len``, and count it.

    `KVCache.append` checks the tensors and makes room, then calls this where the kernel runs.
    """
    rows, transposed, values = cache.storage
    position = cache.seq_len
    flush = cache.k_layout == "two_copies" and (position + 1) % TRANSPOSED_TILE == 0
    launch(
        "append",
        append,
        (cache.batch * cache.n_kv_heads,),
        {
            "new_k": k,
            "new_v": v,
            "k": rows,
            "kt": transposed,
            "v": values,
            "mean": cache.mean_value,
            "starts": cache.valid_start,
            "n_kv_heads": cache.n_kv_heads,
            "position": position,
            "transposed_len": cache.transposed_len,
            "row_head_stride": values.stride(1),
            "kt_head_stride": 0 if transposed is None else transposed.stride(1),
            "kt_stride": 0 if transposed is None else transposed.stride(2),
        },
        {
            "HEAD_DIM": cache.head_dim,
            "HEAD_DIM_PAD": padded(cache.head_dim),
            "TILE": TRANSPOSED_TILE,
            "HAS_ROWS": rows is not None,
            "COLUMN": cache.k_layout == "channel_major",
            "FLUSH": flush,
            "WHOLE": flush and cache.transposed_len % TRANSPOSED_TILE == 0,
        },
        num_warps=4,
    )
    cache.seq_len += 1
    if flush or cache.k_layout == "channel_major":
        cache.transposed_len = cache.seq_len
