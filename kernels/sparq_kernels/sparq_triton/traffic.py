"""Bytes that `sparq_triton.kernel` moves and asks for, as a function of shape, settings and tiling.

Against the algorithm's minimum: softmax statistics, candidates and normalisers pass through memory between the
launches, every score program reads q again and keeps its channels in scratch, and scores are spilled in fp32 where
candidates would be no fewer, where a tile is scored in blocks, and for the ``softmax`` group rule also where scoring
twice would move less.
"""

from sparq_kernels.gpu.tiling import DEFAULT, Tiling
from sparq_kernels.gpu.traffic import FP32_BYTES, INDEX_BYTES, START_BYTES, attend_step, whole_vectors
from sparq_kernels.sparq_triton.plan import CANDIDATES, DIGITS, HEADS, ScorePlan, plan_score
from sparq_profiles import AttentionShape, SparqConfig
from sparq_roofline.steps import StepTraffic, Traffic


def traffic(shape: AttentionShape, config: SparqConfig, tiling: Tiling | None = None) -> Traffic:
    """Steps of one decode call over a cache without padding: ``score``, ``select`` and ``gather``.

    Where ``top_k`` covers the whole sequence, the call is dense attention and its one step ``attend``.
    """
    tiling = tiling or DEFAULT
    if config.top_k >= shape.seq_len:
        return Traffic((attend_step("attend", shape, None, tiling),))
    plan = plan_score(
        shape.batch * shape.n_kv_heads,
        shape.seq_len,
        shape.seq_len,
        shape.group_size,
        shape.head_dim,
        shape.element_bytes,
        config,
        tiling,
        by_rows=config.k_layout == "row_major",
    )
    return Traffic(
        (
            _score(shape, config, plan),
            _select(shape, config, plan),
            attend_step("gather", shape, config, tiling),
        )
    )


def candidate_count(seq_len: int, config: SparqConfig, tile: int) -> int:
    """Candidates of all tiles of one KV head: the wanted number, or what a tile has outside the local window."""
    open_positions, wanted = seq_len - config.local_window, config.top_k - config.local_window
    whole, rest = divmod(open_positions, tile)
    return whole * min(wanted, tile) + min(wanted, rest)


def _score(shape: AttentionShape, config: SparqConfig, plan: ScorePlan) -> StepTraffic:
    kv_heads, row_bytes = shape.batch * shape.n_kv_heads, shape.head_dim * shape.element_bytes
    programs = kv_heads * plan.n_tiles
    group_bytes = shape.group_size * row_bytes
    by_rows = config.k_layout == "row_major"
    if by_rows:
        key_bytes = kv_heads * shape.seq_len * row_bytes
        channel_bytes = reads_of_channels = 0
    else:
        key_bytes = kv_heads * config.rank * whole_vectors(shape.seq_len) * shape.element_bytes
        channel_bytes = config.rank * (INDEX_BYTES + plan.group_pad * shape.element_bytes)
        reads_of_channels = kv_heads * plan.n_tiles
        if not plan.vector:
            reads_of_channels = kv_heads * _blocks(shape.seq_len, plan)
    open_positions = shape.seq_len - config.local_window
    spilled = kv_heads * open_positions * FP32_BYTES * (shape.group_size if plan.emit == HEADS else 1)
    left = programs * shape.group_size * 2 * FP32_BYTES
    own_scores = 0
    if plan.emit == CANDIDATES:
        left += kv_heads * candidate_count(shape.seq_len, config, plan.tile) * (FP32_BYTES + INDEX_BYTES)
        own_scores = spilled if plan.spills and config.top_k > config.local_window else 0
        left += spilled if plan.spills else 0
    else:
        left += spilled
    return StepTraffic(
        "score",
        read_bytes=key_bytes + kv_heads * group_bytes,
        write_bytes=left + programs * channel_bytes,
        flops=2 * shape.batch * shape.n_heads * shape.seq_len * (shape.head_dim if by_rows else config.rank),
        elements=shape.batch * shape.n_heads * shape.seq_len,
        pieces=programs,
        accessed_bytes=key_bytes
        + programs * (group_bytes + START_BYTES + channel_bytes)
        + reads_of_channels * channel_bytes
        + left
        + own_scores,
    )


def _blocks(seq_len: int, plan: ScorePlan) -> int:
    whole, rest = divmod(seq_len, plan.tile)
    return whole * -(-plan.tile // plan.block) + -(-rest // plan.block)


def _select(shape: AttentionShape, config: SparqConfig, plan: ScorePlan) -> StepTraffic:
    kv_heads, group = shape.batch * shape.n_kv_heads, shape.group_size
    wanted = config.top_k - config.local_window
    statistics_bytes = kv_heads * plan.n_tiles * group * 2 * FP32_BYTES
    if plan.emit == CANDIDATES:
        items = candidate_count(shape.seq_len, config, plan.tile)
        position_bytes = kv_heads * wanted * INDEX_BYTES
    else:
        items, position_bytes = shape.seq_len - config.local_window, 0
    item_bytes = kv_heads * items * FP32_BYTES
    heads_bytes = item_bytes * group if plan.emit == HEADS else 0
    # A head's normaliser is asked for once for every piece of items.
    normaliser_reads = kv_heads * group * FP32_BYTES * -(-plan.n_items // plan.items) if plan.emit == HEADS else 0
    result_bytes = kv_heads * (config.top_k * INDEX_BYTES + group * FP32_BYTES)
    written_once = 0
    if plan.at_once:
        asked = heads_bytes or item_bytes
    else:
        written_once = item_bytes if plan.emit == HEADS else 0
        asked = heads_bytes + written_once + (DIGITS + 1) * item_bytes
    return StepTraffic(
        "select",
        read_bytes=statistics_bytes + (heads_bytes or item_bytes) + position_bytes,
        write_bytes=result_bytes + written_once,
        elements=kv_heads * items,
        accessed_bytes=statistics_bytes
        + asked
        + normaliser_reads
        + position_bytes
        + result_bytes
        + kv_heads * START_BYTES,
    )
