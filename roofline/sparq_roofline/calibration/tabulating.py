"""Tables of a fit's factors and spread, over what was seen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sparq_profiles import AttentionShape, SparqConfig
from sparq_roofline.calibration.cost_fit import Observations
from sparq_roofline.calibration.factors import TABLES, Axis, axis_over, never_falling
from sparq_roofline.calibration.kriging import GROUPS, Kriging, Part
from sparq_roofline.calibration.place import COORDINATES
from sparq_roofline.calibration.points import MeasuredPoint
from sparq_roofline.calibration.rising import most_probable, slopes

Floats = NDArray[np.float64]
Axes = tuple[Axis, Axis, Axis, Axis]

# A cost rises with each size of its table at least by this power, wherever its step has work. The host's floor and a
# position of a head's own chain may cost the same at any size.
LEAST_EXPONENTS: dict[str, tuple[float, ...]] = {
    "host": (0.0, 0.0),
    "stream": (0.5, 0.5, 0.5),
    "select": (0.5, 0.5),
    "gather": (0.5, 0.5),
    "position": (0.0, 0.0),
}


def axes_over(observations: Observations) -> Axes:
    """The axes over all that was seen, in any layout."""
    lowest, highest = observations.places.min(axis=0).tolist(), observations.places.max(axis=0).tolist()
    heads, positions, rank, keys = map(axis_over, lowest, highest)
    return heads, positions, rank, keys


def tabulate(kriging: Kriging, axes: Axes, layouts: Sequence[str | None]) -> list[dict[str, tuple[float, ...]]]:
    """Factors of each layout by group: the most probable of those with which more work never takes less time."""
    parts = kriging.prior.parts
    places = [nodes_of(part.group, axes) for part in parts]
    mean, covariance = kriging.log_factors(parts, places)
    ends = np.cumsum([0, *map(len, places)])
    spans = [slice(start, end) for start, end in pairwise(ends)]
    exponents = [_least_exponents(part, layouts) for part in parts]
    blocks = [slopes(_own(part.group, axes), least) for part, least in zip(parts, exponents, strict=True)]
    rows = np.zeros((sum(len(block) for block, _ in blocks), ends[-1]))
    first = 0
    for (block, _), span in zip(blocks, spans, strict=True):
        rows[first : first + len(block), span] = block
        first += len(block)
    logs = most_probable(mean, covariance, rows, np.concatenate([least for _, least in blocks]))

    found = {}
    for part, span, least in zip(parts, spans, exponents, strict=True):
        own = _own(part.group, axes)
        # Once more, for what the solver's tolerance left over.
        table = never_falling(logs[span].reshape([axis.nodes for axis in own]), own, least)
        found[part] = rounded(table.ravel())
    flat = {g: (0.0,) * len(nodes_of(g, axes)) for g in GROUPS}
    return [{g: found.get(Part(g, i), found.get(Part(g, None), flat[g])) for g in GROUPS} for i in range(len(layouts))]


def nodes_of(table: str, axes: Axes) -> Floats:
    """[n, 4] nodes of a table, the last of its axes running fastest; other coordinates at the start of theirs."""
    along = [axis.start + axis.step * np.arange(axis.nodes if i in TABLES[table] else 1) for i, axis in enumerate(axes)]
    return np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, len(COORDINATES))


def configurations_at(
    nodes: Floats, points: Sequence[MeasuredPoint]
) -> list[tuple[AttentionShape, SparqConfig | None]]:
    """Configurations at some nodes, of the head geometry that most points have."""
    geometries = Counter(replace(point.shape, batch=1, seq_len=1) for point in points)
    geometry, config = geometries.most_common(1)[0][0], points[0].config
    heads = geometry.n_heads // geometry.n_kv_heads
    found = []
    for kv_heads, seq_len, rank, top_k in np.round(2.0**nodes).astype(int).tolist():
        shape = replace(geometry, batch=kv_heads, seq_len=seq_len, n_heads=heads, n_kv_heads=1)
        if config is not None:
            window = min(config.local_window, top_k)
            config = replace(config, rank=min(rank, geometry.head_dim), top_k=top_k, local_window=window)
        found.append((shape, config))
    return found


def rounded(values: Floats) -> tuple[float, ...]:
    """Numbers as a file holds them: a millionth more or less of a factor is nobody's time."""
    return tuple(round(value, 6) for value in values.tolist())


def _own(table: str, axes: Axes) -> list[Axis]:
    return [axes[i] for i in TABLES[table]]


def _least_exponents(part: Part, layouts: Sequence[str | None]) -> tuple[float, ...]:
    """K's sectors do not grow with the rank where rows of K are read, nor the keys gathered where Kᵀ is."""
    exponents = LEAST_EXPONENTS[part.group]
    by_rows = part.layout is not None and layouts[part.layout] == "row_major"
    by_channels = "channel_major" in layouts
    if (part.group == "stream" and by_rows) or (part.group == "gather" and by_channels):
        return (*exponents[:-1], 0.0)
    return exponents
