"""Where a configuration lies among those that a calibration has seen."""

from collections.abc import Iterable, Mapping
from math import log2
from typing import NamedTuple

from sparq_profiles import AttentionShape, SparqConfig

# Coordinates that factors vary over.
COORDINATES = ("kv_heads", "seq_len", "rank", "top_k")


class Place(NamedTuple):
    """A configuration's sizes.

    Attributes:
        kv_heads: KV heads of the whole batch, ``batch · n_kv_heads``: the pieces of work that a device can share out.
        top_k: at most ``seq_len``. It and ``rank`` are 1 for dense attention.
    """

    kv_heads: int
    seq_len: int
    rank: int
    top_k: int
    group_size: int
    head_dim: int

    @classmethod
    def of(cls, shape: AttentionShape, config: SparqConfig | None) -> "Place":
        """The place of a configuration."""
        rank, top_k = (1, 1) if config is None else (config.rank, min(config.top_k, shape.seq_len))
        heads = shape.n_kv_heads
        return cls(shape.batch * heads, shape.seq_len, rank, top_k, shape.n_heads // heads, shape.head_dim)


# Smallest and largest value of each size that was seen.
Ranges = Mapping[str, tuple[float, float]]


def ranges(places: Iterable[Place]) -> dict[str, tuple[float, float]]:
    """Smallest and largest of every size."""
    columns = zip(*places, strict=True)
    return {name: (min(column), max(column)) for name, column in zip(Place._fields, columns, strict=True)}


def octaves_beyond(place: Place, seen: Ranges) -> dict[str, float]:
    """Sizes outside what was seen, each with its distance from the nearest seen one in factors of two.

    Nothing is outside a size of which ``seen`` says nothing.
    """
    beyond: dict[str, float] = {}
    for name, value in zip(Place._fields, place, strict=True):
        if name not in seen:
            continue
        low, high = seen[name]
        if value < low:
            beyond[name] = log2(low / value)
        elif value > high:
            beyond[name] = log2(value / high)
    return beyond
