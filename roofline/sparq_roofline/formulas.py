"""The traffic formulas, once, for plain numbers and for numpy arrays alike.

Every count is of the algorithm's minimum on a device that moves whole sectors: each byte that has to move, moved
once. KV bytes are counted per KV head, so grouped queries share them. With b bytes per element, g query heads
per KV head, d = head_dim, per sequence and KV head:

    dense                  2·S·d·b + 2·g·d·b (query and output) + 2·d·b (append)
    SparQ, two_copies      S·r·b + 2·k·d·b + 2·g·d·b + 3·d·b (append K, Kᵀ, V) + 8·d (fp32 mean, read and written)
    SparQ, row_major       the score pass reads every sector of K that holds one of the r channels
    SparQ, channel_major   gathering a key reads one sector per channel
    softmax group rule     (S−l)·min(8·g, score bytes of a position) more, where g > 1 and k < S

That rule adds up a group's weights, and no weight is known before its head's normaliser over the whole sequence is. So
the scores wait: all are kept, in fp32 written and read back, or the score pass is made twice. The local window is
selected whatever it scores, so nothing of it waits.
"""

from collections.abc import Callable
from typing import Any

from sparq_roofline.steps import StepTraffic

# A float, or a numpy array of floats of one common length: the formulas are the same arithmetic for both.
Amount = Any
Minimum = Callable[[Amount, Amount], Amount]

MEAN_VALUE_BYTES = 4  # the running mean of V is kept in fp32 whatever the cache's type
SCORE_BYTES = 4  # kept scores are fp32: 16 bits change which are the largest


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
    local_window: Amount,
    mean_value: Amount,
    shared_softmax: Amount,
    k_layout: str,
    sector_bytes: int,
    minimum: Minimum,
) -> tuple[StepTraffic, ...]:
    """Steps of SparQ: ``score``, ``select``, ``gather``, ``append`` and ``mean_value``.

    ``top_k`` is at most ``seq_len`` here (callers clamp it); ``mean_value`` and ``shared_softmax``, whether the group
    rule is ``softmax``, are 1 or 0. A plain 0 of the latter skips the arithmetic that an array of zeros takes.
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

    waiting: Amount = 0  # scores
    kept_bytes: Amount = 0  # written, and as many read
    if not isinstance(shared_softmax, int) or shared_softmax:
        positions = (seq_len - local_window) * (shared_softmax * (n_heads > n_kv_heads) * (top_k < seq_len))
        waiting = positions * batch * n_heads
        # Half of a second score pass too, though it only reads: so the minimum of either step holds for both ways.
        again_bytes = kv_heads * (score_bytes / seq_len / 2)
        kept_bytes = positions * minimum(batch * n_heads * SCORE_BYTES, again_bytes)

    return (
        StepTraffic(
            "score",
            read_bytes=kv_heads * score_bytes + query_bytes,
            write_bytes=kept_bytes,
            flops=2 * batch * n_heads * seq_len * rank,
            elements=batch * n_heads * seq_len,
            pieces=kv_heads,
        ),
        # Scores that wait for nothing stay on chip in the minimum, and the threshold search reads no DRAM.
        StepTraffic("select", read_bytes=kept_bytes, flops=kv_heads * seq_len, elements=waiting),
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
