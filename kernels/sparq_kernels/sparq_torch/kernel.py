"""SparQ decode in plain torch operations: what one gets without writing a kernel, on any device."""

import torch
from torch import Tensor

from sparq_kernels.cache import KVCache
from sparq_kernels.profiling import step_range
from sparq_kernels.reference import valid_positions
from sparq_profiles import SparqConfig

LARGEST_COPY_BYTES = 16 * 2**20
LOWEST = torch.finfo(torch.float32).min


def decode(q: Tensor, cache: KVCache, config: SparqConfig) -> Tensor:
    """SparQ attention of q [batch, n_heads, head_dim] over the cache; returns y like q.

    Scores, softmax and coverage are float32 (float64 for a float64 cache) whatever the cache's type: 16-bit scores
    break the ranking.
    """
    grouped = q.reshape(q.shape[0], cache.n_kv_heads, -1, q.shape[2])
    valid = None
    if cache.is_padded:
        valid = valid_positions(cache.values, cache.valid_start)[:, None, None]  # [batch, 1, 1, seq_len]
    with step_range("score"):
        scores = _scores(grouped, cache, config.rank)
        if valid is not None:
            scores = scores.masked_fill(~valid, LOWEST)
    with step_range("select"):
        weights, selected = _select(scores, config, valid)
    with step_range("gather"):
        return _attend(grouped, cache, config, weights, selected, valid).reshape(q.shape)


def _scores(grouped: Tensor, cache: KVCache, rank: int) -> Tensor:
    """Approximate logits, [batch, n_kv_heads, group, seq_len]."""
    head_dim = grouped.shape[-1]
    channels = grouped.abs().sum(2, dtype=_accumulation_type(grouped)).topk(rank, dim=-1, sorted=False).indices
    q_r = grouped.gather(-1, channels[:, :, None].expand(-1, -1, grouped.shape[2], -1))
    products = _products(q_r, channels, cache)
    accumulate = _accumulation_type(grouped)
    share = q_r.abs().sum(-1, dtype=accumulate) / grouped.abs().sum(-1, dtype=accumulate)
    # A query of zeros has share 0/0 and scores 0 at any temperature.
    temperature = (share.nan_to_num(1.0) * head_dim).sqrt()
    return products / temperature[..., None]


def _products(q_r: Tensor, channels: Tensor, cache: KVCache) -> Tensor:
    """q_r · K_r for every position, [batch, n_kv_heads, group, seq_len], in the type of accumulation.

    The chosen channels are copied before they are multiplied, and 16-bit ones widened: torch rounds a product of 16-bit
    matrices to 16 bits, enough to select other positions (errors of 0.2 in y at fp16). On a CPU large copies go head by
    head through one buffer: its allocator gives freed memory of that size back to the operating system and takes it
    anew, page fault by page fault, which made the whole call 3 to 5 times slower (two cores, compared across runs).
    """
    transposed = cache.keys_transposed
    if transposed is None:
        transposed = cache.any_keys.transpose(-1, -2)
    rank, heads = channels.shape[-1], cache.batch * cache.n_kv_heads
    transposed = transposed.flatten(0, 1)  # a view, [heads, head_dim, seq_len]
    accumulate = _accumulation_type(q_r)
    flat_q, flat_channels = q_r.flatten(0, 1).to(accumulate), channels.flatten(0, 1)
    copy_bytes = heads * rank * cache.seq_len * q_r.element_size()
    if q_r.device.type != "cpu" or copy_bytes <= LARGEST_COPY_BYTES:
        every = torch.arange(heads, device=channels.device)[:, None]
        products = flat_q @ transposed[every, flat_channels].to(accumulate)
    else:
        products = flat_q.new_empty(heads, q_r.shape[2], cache.seq_len)
        copy = q_r.new_empty(rank, cache.seq_len)
        for head in range(heads):
            torch.index_select(transposed[head], 0, flat_channels[head], out=copy)
            torch.mm(flat_q[head], copy.to(accumulate), out=products[head])
    return products.reshape(cache.batch, cache.n_kv_heads, *products.shape[1:])


def _select(scores: Tensor, config: SparqConfig, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Softmax of the scores, and int64 [batch, n_kv_heads, k] positions attended exactly."""
    seq_len = scores.shape[-1]
    weights = scores.softmax(-1)
    # One head's softmax keeps the order of its logits.
    shared = (weights if config.group_score == "softmax" and scores.shape[2] > 1 else scores).sum(2)
    if valid is not None:
        shared = shared.masked_fill(~valid[:, 0], LOWEST)
    if config.local_window:
        shared[..., max(0, seq_len - config.local_window) :] = float("inf")
    return weights, shared.topk(min(config.top_k, seq_len), dim=-1, sorted=False).indices


def _attend(
    grouped: Tensor,
    cache: KVCache,
    config: SparqConfig,
    weights: Tensor,
    selected: Tensor,
    valid: Tensor | None,
) -> Tensor:
    """Exact attention over the selected positions, blended with the mean of V by coverage."""
    rows = selected[..., None].expand(-1, -1, -1, grouped.shape[-1])
    keys, values = cache.any_keys.gather(2, rows), cache.values.gather(2, rows)
    accumulate = _accumulation_type(grouped)
    logits = (grouped @ keys.transpose(-1, -2)).to(accumulate) / grouped.shape[-1] ** 0.5
    at = selected[:, :, None]
    if valid is not None:
        chosen = valid.expand(-1, selected.shape[1], 1, -1).gather(-1, at)
        logits = logits.masked_fill(~chosen, LOWEST)
        values = torch.where(chosen.transpose(-1, -2), values, torch.zeros_like(values))
    output: Tensor = logits.softmax(-1).to(values.dtype) @ values
    if config.mean_value:
        coverage = weights.gather(-1, at.expand(-1, -1, weights.shape[2], -1)).sum(-1)
        every = cache.seq_len - cache.valid_start <= selected.shape[-1]
        coverage = torch.where(every[:, None, None], torch.ones_like(coverage), coverage)[..., None]
        mean = cache.mean_value[:, :, None]
        output = (coverage * output.to(accumulate) + (1 - coverage) * mean).to(grouped.dtype)
    if valid is not None:
        output = torch.where(valid.any(-1, keepdim=True), output, torch.zeros_like(output))
    return output


def _accumulation_type(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
