"""One head's attention in a decode step: SparQ's estimate beside the truth, and what was selected."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor

from sparq_kernels import KVCache
from sparq_kernels.reference import sparq_steps
from sparq_perf.records.attention_map import DIGITS, MAX_WEIGHTS, MapStep
from sparq_profiles import ConfigError, SparqConfig


@dataclass(frozen=True, order=True)
class Head:
    """A query head of one layer."""

    layer: int
    head: int

    @classmethod
    def parse(cls, text: str) -> "Head":
        """From ``LAYER:HEAD``; ConfigError where it is something else."""
        parts = text.split(":")
        if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
            raise ConfigError(f"--map is {text!r}: give LAYER:HEAD, such as 8:0")
        return cls(int(parts[0]), int(parts[1]))

    def __str__(self) -> str:
        return f"{self.layer}:{self.head}"


def map_step(step: int, head: int, q: Tensor, cache: KVCache, config: SparqConfig) -> MapStep:
    """The first sequence's map of one head.

    Args:
        step: decode steps before this one.
        head: the query head.
        q: [batch, n_heads, head_dim].
        cache: the layer's keys and values; positions before the first valid one are left out.
        config: the settings.
    """
    k, v, q = cache.any_keys[:1].float(), cache.values[:1].float(), q[:1].float()
    start = cache.valid_start[:1]
    group = q.shape[1] // k.shape[1]
    kv_head, member, first = head // group, head % group, int(start)
    # One group alone: the others' heads have no part in its channels and its selection.
    k, v, q = k[:, kv_head, None], v[:, kv_head, None], q[:, kv_head * group : (kv_head + 1) * group]
    steps = sparq_steps(q, k, v, config, valid_start=start)
    approximate = steps.scores[0, 0, member, first:].softmax(-1)
    exact = (k[0, 0, first:] @ q[0, member] / q.shape[-1] ** 0.5).softmax(-1)
    selected = steps.selected[0, 0, first:]
    return MapStep(
        step=step,
        approximate=_rounded(approximate),
        exact=_rounded(exact),
        selected=tuple(selected.nonzero().flatten().tolist()),
        coverage=_rounded(steps.coverage[0, 0, member : member + 1])[0],
        mass=_rounded((exact * selected).sum()[None])[0],
    )


class AttentionMaps:
    """Keeps the maps of some heads at some steps; an observer of a `sparq_perf.llm.session.Session`."""

    def __init__(self, heads: Collection[Head], steps: Collection[int]) -> None:
        self._heads, self._steps = sorted(heads), frozenset(steps)
        self._calls: dict[int, int] = defaultdict(int)
        self.found: dict[Head, list[MapStep]] = defaultdict(list)

    def __call__(self, layer: int, q: Tensor, cache: KVCache, config: SparqConfig, y: Tensor) -> None:
        """Look at one call; a layer's calls are its steps."""
        step = self._calls[layer]
        self._calls[layer] += 1
        if step in self._steps:
            for head in self._heads:
                if head.layer == layer:
                    self.found[head].append(map_step(step, head.head, q, cache, config))


def kept_steps(n_steps: int, n_positions: int) -> tuple[int, ...]:
    """As many steps as a line holds, the first and the last among them, evenly spread.

    Raises:
        ConfigError: no line holds two steps of so many positions.
    """
    most = min(n_steps, MAX_WEIGHTS // n_positions)
    if most < min(n_steps, 2):
        raise ConfigError(f"--map: {n_positions:,} positions are too many to draw: {MAX_WEIGHTS // 2:,} at most")
    if most == 1:
        return (0,)
    return tuple(dict.fromkeys(round(i * (n_steps - 1) / (most - 1)) for i in range(most)))


def _rounded(weights: Tensor) -> tuple[float, ...]:
    return tuple(float(f"{min(weight, 1.0):.{DIGITS}g}") for weight in weights.tolist())
