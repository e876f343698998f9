"""How near SparQ's attention comes to dense attention in each layer and head, while a model decodes."""

from collections import defaultdict

import torch
from torch import Tensor

from sparq_kernels import KVCache
from sparq_kernels.reference import sparq_steps, valid_positions
from sparq_perf.records.fidelity import LayerFidelity
from sparq_profiles import SparqConfig

NAMES = ("recall", "mass", "coverage_error", "output_error")
# Of a record's numbers by head, of which there are a thousand a line: more would tell of the sample.
DIGITS = 5


def attention_scores(q: Tensor, cache: KVCache, config: SparqConfig, y: Tensor) -> dict[str, Tensor]:
    """SparQ against dense attention for one query per sequence; see `LayerFidelity`.

    Args:
        q, y: [batch, n_heads, head_dim], the query and what SparQ made of it.
        cache: the layer's keys and values.
        config: the settings.

    Returns:
        [batch, n_heads] for each of the names.
    """
    k, v, q, y = cache.any_keys.float(), cache.values.float(), q.float(), y.float()
    start = cache.valid_start
    steps = sparq_steps(q, k, v, config, valid_start=start)
    valid = valid_positions(k, start)[:, None, None]  # [batch, 1, 1, seq_len]
    grouped = q.reshape(q.shape[0], k.shape[1], -1, q.shape[2])
    logits = (grouped @ k.mT / q.shape[-1] ** 0.5).masked_fill(~valid, float("-inf"))
    weights = logits.softmax(-1)  # [batch, n_kv_heads, group, seq_len]
    selected = steps.selected[:, :, None].expand_as(weights)
    n_best = min(config.top_k, k.shape[2])
    best = weights.topk(n_best, -1).indices
    hits = (selected.gather(-1, best) & valid.expand_as(weights).gather(-1, best)).sum(-1)
    recall = hits / valid.sum(-1).clamp(max=n_best)
    mass = (weights * selected).sum(-1).clamp(max=1)
    dense = (weights @ v).reshape(q.shape)
    error = (y - dense).norm(dim=-1) / dense.norm(dim=-1).clamp(min=1e-20)
    flat = (t.flatten(1) for t in (recall, mass, (steps.coverage - mass).abs().clamp(max=1)))
    return dict(zip(NAMES, (*flat, error), strict=True))


class AttentionScores:
    """Sums `attention_scores` over the calls of a `sparq_perf.llm.session.Session`; an observer of one."""

    def __init__(self) -> None:
        self.active = True
        self._sums: dict[int, dict[str, Tensor]] = defaultdict(dict)
        self._counts: dict[int, int] = defaultdict(int)

    def __call__(self, layer: int, q: Tensor, cache: KVCache, config: SparqConfig, y: Tensor) -> None:
        """Add one call; nothing while not ``active``."""
        if not self.active:
            return
        for name, score in attention_scores(q, cache, config, y).items():
            total = score.double().sum(0)
            known = self._sums[layer]
            known[name] = known[name] + total if name in known else total
        self._counts[layer] += q.shape[0]

    def by_layer(self) -> tuple[LayerFidelity, ...]:
        """Means over every query seen, by layer and head."""
        return tuple(
            LayerFidelity(
                layer=layer,
                **{
                    name: tuple(
                        round(mean, DIGITS) for mean in (sums[name] / self._counts[layer]).clamp(min=0).tolist()
                    )
                    for name in NAMES
                },
            )
            for layer, sums in sorted(self._sums.items())
        )

    def mean(self, name: str) -> float:
        """Mean of one score over layers, heads and queries."""
        means = torch.stack([sums[name] / self._counts[layer] for layer, sums in self._sums.items()])
        return float(means.mean())
