"""The traffic formulas, once, for plain numbers and for numpy arrays alike.

Every count is of the algorithm's minimum on a device that moves whole sectors: each byte that has to move, moved
once. KV bytes are counted per KV head, so grouped queries share them. With b bytes per element, g query heads
per KV head, d = head_dim, per sequence and KV head:

    dense                  2·S·d·b + 2·g·d·b (query and output) + 2·d·b (append)
    SparQ, two_copies      S·r·b + 2·k·d·b + 2·g·d·b + 3·d·b (append K, Kᵀ, V) + 8·d (fp32 mean, read and written)
    SparQ, row_major       the score pass reads every sector of K that holds one of the r channels
    SparQ, channel_major   gathering a key reads one sector per channel
"""

from collections.abc import Callable
from typing import Any

from sparq_roofline.steps import StepTraffic

# A float, or a numpy array of floats of one common length: the formulas are the same arithmetic for both.
Amount = Any
Minimum = Callable[[Amount, Amount], Amount]

MEAN_VALUE_BYTES = 4  # the running mean of V is kept in fp32 whatever the cache's type


def sector_fraction(head_dim: Amount, rank: Amount, elements_per_sector: int) -> Amount:
    """Expected fraction of a K row's sectors that hold at least one of ``rank`` channels.

    The chosen channels are taken as a uniformly random set (hypergeometric): ``1 − C(d−e, r) / C(d, r)`` with e
    elements in a sector. For d = 128 and 16-bit elements: 0.898, 0.993, 1.0 at r = 16, 32, 64.
    """
    untouched: Amount = 1.0
    for i in range(elements_per_sector):
        left, of = head_dim - rank - i, head_dim - i
        untouched = untouched * (left * (left > 0)) / (of + (of == 0))  # rows can be shorter than a sector
    return 1.0 - untouched


def dense_steps(
    batch: Amount,
    seq_len: Amount,
    n_heads: Amount,
    n_kv_heads: Amount,
    head_dim: Amount,
    element_bytes: Amount,
) -> tuple[StepTraffic, ...]:
    """Steps of dense decode attention: ``attend`` and ``append``."""
    kv_heads = batch * n_kv_heads
    row_bytes = head_dim * element_bytes
    query_bytes = batch * n_heads * row_bytes
    return (
        StepTraffic(
            "attend",
            read_bytes=kv_heads * 2 * seq_len * row_bytes + query_bytes,
            write_bytes=query_bytes,
            flops=4 * batch * n_heads * seq_len * head_dim,
            elements=batch * n_heads * seq_len,
            pieces=kv_heads,
        ),
        StepTraffic("append", read_bytes=0, write_bytes=kv_heads * 2 * row_bytes),
    )


def sparq_steps(
    batch: Amount,
    seq_len: Amount,
    n_heads: Amount,
    n_kv_heads: Amount,
    head_dim: Amount,
    element_bytes: int,
    rank: Amount,
    top_k: Amount,
    mean_value: Amount,
    k_layout: str,
    sector_bytes: int,
    minimum: Minimum,
) -> tuple[StepTraffic, ...]:
    """Steps of SparQ: ``score``, ``select``, ``gather``, ``append`` and ``mean_value``.

    ``top_k`` is at most ``seq_len`` here (callers clamp it); ``mean_value`` is 1 or 0.
    """
    kv_heads = batch * n_kv_heads
    row_bytes = head_dim * element_bytes
    query_bytes = batch * n_heads * row_bytes
    elements_per_sector = max(1, sector_bytes // element_bytes)

    if k_layout == "row_major":
        score_bytes = seq_len * row_bytes * sector_fraction(head_dim, rank, elements_per_sector)
    else:
        score_bytes = seq_len * rank * element_bytes
    if k_layout == "channel_major":
        key_bytes = minimum(top_k * head_dim * sector_bytes, seq_len * row_bytes)
    else:
        key_bytes = top_k * row_bytes
    copies_appended = 3 if k_layout == "two_copies" else 2
    mean_bytes = kv_heads * head_dim * MEAN_VALUE_BYTES * mean_value

    return (
        StepTraffic(
            "score",
            read_bytes=kv_heads * score_bytes + query_bytes,
            flops=2 * batch * n_heads * seq_len * rank,
            elements=batch * n_heads * seq_len,
            pieces=kv_heads,
        ),
        # On chip in the minimum: scores are never written out, and the threshold search reads no DRAM.
        StepTraffic("select", read_bytes=0, flops=kv_heads * seq_len),
        StepTraffic(
            "gather",
            read_bytes=kv_heads * (key_bytes + top_k * row_bytes),
            write_bytes=query_bytes,
            flops=4 * batch * n_heads * top_k * head_dim,
            access="gather",
            elements=batch * n_heads * top_k,
        ),
        StepTraffic("append", read_bytes=0, write_bytes=kv_heads * copies_appended * row_bytes),
        StepTraffic(
            "mean_value",
            read_bytes=mean_bytes,
            write_bytes=mean_bytes,
            flops=3 * kv_heads * head_dim * mean_value,
            launches=0,  # read in the gather's launch, updated in the append's
        ),
    )
