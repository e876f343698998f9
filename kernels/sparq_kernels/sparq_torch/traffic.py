"""Bytes that `sparq_torch.kernel` moves: every torch operation reads its inputs and writes its result.

Against the algorithm's minimum: the chosen channels are copied, and 16-bit ones widened, before they are multiplied;
scores pass through memory for the division, the softmax and torch.topk; the selected rows are copied before they are
attended.
"""

from sparq_profiles import AttentionShape, SparqConfig
from sparq_roofline.steps import StepTraffic, Traffic
from sparq_roofline.traffic import sparq_traffic

CACHE_LINE_BYTES = 64
SCORE_BYTES = 4
WIDE_BYTES = 4  # what 16-bit channels are widened to
INDEX_BYTES = 8


def traffic(shape: AttentionShape, config: SparqConfig) -> Traffic:
    """Steps of one decode call: ``score``, ``select`` and ``gather`` (appending is the cache's)."""
    minimum = sparq_traffic(shape, config, sector_bytes=CACHE_LINE_BYTES)
    score, gather = minimum.step("score"), minimum.step("gather")
    kv_heads, top_k = shape.batch * shape.n_kv_heads, min(config.top_k, shape.seq_len)
    channel_bytes = kv_heads * shape.seq_len * config.rank * shape.element_bytes
    widened_bytes = channel_bytes * WIDE_BYTES // shape.element_bytes if shape.element_bytes < WIDE_BYTES else 0
    score_bytes = shape.batch * shape.n_heads * shape.seq_len * SCORE_BYTES
    shared_bytes = kv_heads * shape.seq_len * SCORE_BYTES
    row_bytes = 2 * kv_heads * top_k * shape.head_dim * shape.element_bytes
    index_bytes = kv_heads * top_k * INDEX_BYTES
    return Traffic(
        (
            StepTraffic(
                "score",
                read_bytes=score.read_bytes + channel_bytes + widened_bytes + score_bytes,
                write_bytes=channel_bytes + widened_bytes + 2 * score_bytes,
                flops=score.flops,
                launches=8,
                pieces=kv_heads,
            ),
            StepTraffic(
                "select",
                read_bytes=2 * score_bytes + shared_bytes,
                write_bytes=score_bytes + shared_bytes + index_bytes,
                elements=score.elements + kv_heads * shape.seq_len,
                launches=4,
            ),
            StepTraffic(
                "gather",
                read_bytes=gather.read_bytes + row_bytes + index_bytes,
                write_bytes=gather.write_bytes + row_bytes,
                flops=gather.flops,
                access="gather",
                launches=10,
            ),
        )
    )
