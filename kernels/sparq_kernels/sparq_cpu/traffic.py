"""Bytes that `sparq_cpu.kernel` moves, as a function of shape and settings.

Against the algorithm's minimum: without Kᵀ it reads K whole in the score pass; lines are 64 bytes; and for the
``softmax`` group rule it keeps g·S fp32 scores, those of the local window too, and never scores twice instead.
"""

from sparq_profiles import AttentionShape, SparqConfig
from sparq_roofline.steps import StepTraffic, Traffic
from sparq_roofline.traffic import dense_traffic, sparq_traffic

CACHE_LINE_BYTES = 64
CHANNELS_A_PASS = 8  # the kernel's; weights of 0 fill up its last pass
SCORE_BYTES = 4


def traffic(shape: AttentionShape, config: SparqConfig) -> Traffic:
    """Steps of one decode call: ``score``, ``select`` and ``gather`` (appending is the cache's).

    Where ``top_k`` covers the whole sequence, the call is dense attention and its one step ``attend``.
    """
    if config.top_k >= shape.seq_len:
        return dense_traffic(shape).without(["append"])
    minimum = sparq_traffic(shape, config, sector_bytes=CACHE_LINE_BYTES)
    score, select, gather = (minimum.step(name) for name in ("score", "select", "gather"))
    padded_rank = -(-config.rank // CHANNELS_A_PASS) * CHANNELS_A_PASS
    score = score._replace(flops=score.flops * padded_rank / config.rank)
    if config.k_layout == "row_major":
        query_bytes = shape.batch * shape.n_heads * shape.head_dim * shape.element_bytes
        score = score._replace(
            read_bytes=shape.kv_bytes // 2 + query_bytes,
            flops=2 * shape.batch * shape.n_heads * shape.seq_len * shape.head_dim,
        )
    if config.group_score == "softmax" and shape.group_size > 1:
        scores = shape.batch * shape.n_heads * shape.seq_len
        score = score._replace(write_bytes=scores * SCORE_BYTES)
        select = select._replace(read_bytes=scores * SCORE_BYTES, elements=scores)
    return Traffic((score, select, _with_mean(gather, minimum.step("mean_value"))))


def _with_mean(gather: StepTraffic, mean_value: StepTraffic) -> StepTraffic:
    """The gather also reads the mean of V; updating it belongs to the append."""
    return gather._replace(read_bytes=gather.read_bytes + mean_value.read_bytes)
