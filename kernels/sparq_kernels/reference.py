"""Dense and SparQ decode attention in plain torch: the definition that everything else is checked against.

Written for clarity, and exact in float64. SparQ follows arXiv 2312.04985 (section 3 and appendix A) and, where the
paper leaves a choice, the published evaluation code: heads of a group share the r channels of largest Σ|q| and
one top-k over summed scores, while each head keeps its own temperature.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sparq_profiles import ConfigError, SparqConfig

NEGATIVE_INFINITY = float("-inf")


@dataclass(frozen=True)
class SparqSteps:
    """What each of SparQ's steps produced.

    Attributes:
        channels: int [batch, n_kv_heads, rank], the r components used.
        scores: [batch, n_kv_heads, group, seq_len], approximate logits, −inf where invalid.
        selected: bool [batch, n_kv_heads, seq_len], positions attended exactly.
        coverage: [batch, n_kv_heads, group], estimated attention mass of the selected positions (α).
        mean_value: [batch, n_kv_heads, head_dim], mean of V over the valid positions (v̄).
        output: [batch, n_heads, head_dim].
    """

    channels: Tensor
    scores: Tensor
    selected: Tensor
    coverage: Tensor
    mean_value: Tensor
    output: Tensor


def dense_attention(q: Tensor, k: Tensor, v: Tensor, *, valid_start: Tensor | None = None) -> Tensor:
    """Softmax attention of one query per sequence.

    Args:
        q: [batch, n_heads, head_dim].
        k, v: [batch, n_kv_heads, seq_len, head_dim]; n_heads a multiple of n_kv_heads.
        valid_start: int [batch], first valid position of each left-padded sequence; None: all are valid.

    Returns:
        [batch, n_heads, head_dim], zeros for a sequence without a valid position.

    Raises:
        ConfigError: shapes that do not fit together.
    """
    check_inputs(q, k, v, valid_start)
    valid = valid_positions(k, valid_start)[:, None]
    grouped = _by_group(q, k)
    logits = grouped @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    logits = logits.masked_fill(~valid[:, :, None], NEGATIVE_INFINITY)
    return (_softmax(logits) @ _zero_invalid(v, valid)).reshape(q.shape)


def sparq_attention(
    q: Tensor, k: Tensor, v: Tensor, config: SparqConfig, *, valid_start: Tensor | None = None
) -> Tensor:
    """SparQ attention of one query per sequence.

    ``k_layout`` says where a cache keeps K and changes nothing here. ``top_k`` at or above a sequence's valid
    length gives dense attention exactly, with coverage 1.

    Args and errors: as `dense_attention`; also ConfigError for a rank above head_dim.

    Returns:
        [batch, n_heads, head_dim], zeros for a sequence without a valid position.
    """
    return sparq_steps(q, k, v, config, valid_start=valid_start).output


def sparq_steps(
    q: Tensor, k: Tensor, v: Tensor, config: SparqConfig, *, valid_start: Tensor | None = None
) -> SparqSteps:
    """SparQ attention with everything its steps produced; see `sparq_attention`."""
    check_inputs(q, k, v, valid_start)
    config.check_fits(q.shape[-1])
    valid = valid_positions(k, valid_start)[:, None]  # [batch, 1, seq_len]
    grouped = _by_group(q, k)  # [batch, n_kv_heads, group, head_dim]

    v = _zero_invalid(v, valid)

    channels = top_channels(grouped, config.rank)
    scores = approximate_scores(grouped, k, channels).masked_fill(~valid[:, :, None], NEGATIVE_INFINITY)
    selected = select_positions(scores, valid, config)

    weights = _softmax(scores)
    complete = (selected == valid).all(-1, keepdim=True)
    coverage = (weights * selected[:, :, None]).sum(-1)
    coverage = torch.where(complete, torch.ones_like(coverage), coverage)

    logits = grouped @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    output = _softmax(logits.masked_fill(~selected[:, :, None], NEGATIVE_INFINITY)) @ v
    count = valid.sum(-1).clamp(min=1)[..., None]
    mean_value = v.sum(-2) / count
    if config.mean_value:
        output = coverage[..., None] * output + (1 - coverage[..., None]) * mean_value[:, :, None]
    return SparqSteps(channels, scores, selected, coverage, mean_value, output.reshape(q.shape))


def top_channels(grouped: Tensor, rank: int) -> Tensor:
    """The ``rank`` channels of largest Σ|q| over the group, ties to the lower index.

    [batch, n_kv_heads, group, head_dim] → int [batch, n_kv_heads, rank], ascending.
    """
    magnitude = grouped.abs().sum(2)
    order = magnitude.sort(dim=-1, descending=True, stable=True).indices
    return order[..., :rank].sort(dim=-1).values


def approximate_scores(grouped: Tensor, k: Tensor, channels: Tensor) -> Tensor:
    """Logits from the chosen channels alone: q_r · K_r / √(d · Σ|q_r| / Σ|q|), one temperature per head.

    The temperature's ratio is the L1 coverage of q by its r components (paper, section 3, step 1). Where q is 0
    it would be 0/0; every score is then 0, as the exact logits are.
    """
    group, head_dim = grouped.shape[2:]
    q_r = grouped.gather(-1, channels[:, :, None].expand(-1, -1, group, -1))
    k_r = k.gather(-1, channels[:, :, None].expand(-1, -1, k.shape[2], -1))
    total = grouped.abs().sum(-1)
    share = q_r.abs().sum(-1) / torch.where(total > 0, total, torch.ones_like(total))
    temperature = (share * head_dim).sqrt()
    temperature = torch.where(temperature > 0, temperature, torch.ones_like(temperature))
    return q_r @ k_r.transpose(-1, -2) / temperature[..., None]


def select_positions(scores: Tensor, valid: Tensor, config: SparqConfig) -> Tensor:
    """Positions attended exactly: the local window, then the highest group scores, ties to the lower index.

    scores [batch, n_kv_heads, group, seq_len], valid [batch, 1, seq_len] → bool [batch, n_kv_heads, seq_len].
    """
    seq_len = scores.shape[-1]
    shared = (_softmax(scores) if config.group_score == "softmax" else scores).sum(2)
    local = torch.arange(seq_len, device=scores.device) >= seq_len - config.local_window
    shared = shared.masked_fill(local, float("inf")).masked_fill(~valid, NEGATIVE_INFINITY)
    order = shared.sort(dim=-1, descending=True, stable=True).indices[..., : config.top_k]
    return torch.zeros_like(shared, dtype=torch.bool).scatter(-1, order, True) & valid


def valid_positions(k: Tensor, valid_start: Tensor | None) -> Tensor:
    """Bool [batch, seq_len]: positions at or after each sequence's first valid one."""
    batch, _, seq_len, _ = k.shape
    if valid_start is None:
        return torch.ones(batch, seq_len, dtype=torch.bool, device=k.device)
    return torch.arange(seq_len, device=k.device) >= valid_start.to(k.device)[:, None]


def check_inputs(q: Tensor, k: Tensor, v: Tensor, valid_start: Tensor | None) -> None:
    """Raise ConfigError where the tensors' shapes do not fit together."""
    if q.ndim != 3 or k.ndim != 4 or k.shape != v.shape:
        raise ConfigError(
            f"attention: q is {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}: they must be "
            "[batch, n_heads, head_dim] and twice [batch, n_kv_heads, seq_len, head_dim]"
        )
    if q.shape[0] != k.shape[0] or q.shape[2] != k.shape[3]:
        raise ConfigError(f"attention: q is {tuple(q.shape)} and k {tuple(k.shape)}: batch and head_dim must be equal")
    if k.shape[2] < 1 or q.shape[1] % k.shape[1]:
        raise ConfigError(
            f"attention: q is {tuple(q.shape)} and k {tuple(k.shape)}: n_heads must be a multiple of n_kv_heads, "
            "and seq_len at least 1"
        )
    if not q.dtype == k.dtype == v.dtype:
        raise ConfigError(f"attention: q is {q.dtype}, k {k.dtype}, v {v.dtype}: they must be of one type")
    if valid_start is not None and (valid_start.shape != q.shape[:1] or valid_start.is_floating_point()):
        raise ConfigError(
            f"attention: valid_start is {valid_start.dtype} {tuple(valid_start.shape)}: "
            f"it must hold one whole number for each of the {q.shape[0]} sequences"
        )


def _by_group(q: Tensor, k: Tensor) -> Tensor:
    """[batch, n_heads, head_dim] → [batch, n_kv_heads, group, head_dim]."""
    return q.reshape(q.shape[0], k.shape[1], -1, q.shape[2])


def _zero_invalid(v: Tensor, valid: Tensor) -> Tensor:
    """V with zeros at invalid positions: whatever a padded row holds, 0 times NaN would be NaN."""
    return torch.where(valid[..., None], v, torch.zeros_like(v))


def _softmax(logits: Tensor) -> Tensor:
    """Softmax over the last axis; a row of −inf alone gives zeros, not NaN."""
    return torch.softmax(logits, -1).nan_to_num(0.0)
