"""Factors near 1 that correct a cost for the size of the step, tabulated over a grid of sizes.

Between the nodes the logarithm of a factor is linear in the logarithms of the sizes, beyond the grid it stays as at
the edge. A table's slope can then be bounded exactly, for between nodes it is a mean of slopes between nodes: that is
how more work never takes less time (`never_falling`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, ClassVar, NamedTuple

# Coordinates of each table, by index into `place.COORDINATES`. The last is the spread of the prediction, no factor.
TABLES: dict[str, tuple[int, ...]] = {
    "host": (0, 1),
    "stream": (0, 1, 2),
    "select": (0, 1),
    "gather": (0, 3),
    "position": (0, 2),
    "spread": (0, 1, 2, 3),
}


@dataclass(frozen=True, slots=True)
class Axis:
    """Evenly spaced nodes of log2 of one size: ``start``, ``start + step`` and so on, ``nodes`` of them."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    start: float
    step: float
    nodes: int

    def __post_init__(self) -> None:
        if not (self.nodes >= 1 and 0 < self.step < inf and -inf < self.start < inf):
            raise ValueError(f"axis {self.start!r}, {self.step!r}, {self.nodes!r}: it needs a node and a step above 0")


@dataclass(frozen=True, slots=True)
class Factors:
    """Tables of the natural logarithms of the factors, and of the spread.

    Attributes:
        axes: one for each of `place.COORDINATES`.
        host, stream, select, gather, position: logarithms of the factors, the last of the table's axes running
            fastest.
        spread: standard deviation of the logarithm of a time about its prediction.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    axes: tuple[Axis, Axis, Axis, Axis]
    host: tuple[float, ...]
    stream: tuple[float, ...]
    select: tuple[float, ...]
    gather: tuple[float, ...]
    position: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def none(cls, spread: float = 0.1) -> "Factors":
        """Factors of 1 everywhere, and one spread."""
        axis = Axis(0.0, 1.0, 1)
        return cls((axis,) * 4, *((0.0,),) * 5, (spread,))

    def __post_init__(self) -> None:
        for name, coordinates in TABLES.items():
            expected = 1
            for i in coordinates:
                expected *= self.axes[i].nodes
            values = getattr(self, name)
            if len(values) != expected:
                raise ValueError(f"{name} has {len(values)} values where its axes have {expected} nodes")
            if not all(map(isfinite, values)):
                raise ValueError(f"{name} holds {next(v for v in values if not isfinite(v))!r}: it must hold numbers")
        if min(self.spread) < 0:
            raise ValueError(f"spread holds {min(self.spread)!r}: it cannot be below 0")


# Index of the node below, the one above, and how far between them, None where on the lower one: scalars, or arrays of
# one length.
Cell = tuple[Any, Any, Any]


def cell(axis: Axis, position: float) -> Cell:
    """Where a size lies on an axis; ``position`` is its log2. Beyond the axis is at its end."""
    if axis.nodes == 1:
        return (0, 0, None)
    at = (position - axis.start) / axis.step
    if at <= 0.0:
        return (0, 0, None)
    last = axis.nodes - 1
    if at >= last:
        return (last, last, None)
    below = int(at)
    part = at - below
    return (below, below + 1, part) if part else (below, below, None)


class Corrections(NamedTuple):
    """Each factor at one place; arrays for a grid."""

    host: Any
    stream: Any
    select: Any
    gather: Any
    position: Any


def corrections(tables: Any, axes: Sequence[Axis], cells: Sequence[Cell], exp: Callable[[Any], Any]) -> Corrections:
    """Every factor where ``cells`` say.

    Args:
        tables: `Factors`, or anything with its tables as arrays.
        axes: of the tables.
        cells: one for each axis.
        exp: math's for numbers, numpy's for arrays.
    """
    heads, positions, rank, keys = cells
    _, by_positions, by_rank, by_keys = axes
    return Corrections(
        exp(along_2(tables.host, heads, positions, by_positions.nodes)),
        exp(along_3(tables.stream, heads, positions, rank, by_positions.nodes, by_rank.nodes)),
        exp(along_2(tables.select, heads, positions, by_positions.nodes)),
        exp(along_2(tables.gather, heads, keys, by_keys.nodes)),
        exp(along_2(tables.position, heads, rank, by_rank.nodes)),
    )


def along_2(values: Any, a: Cell, b: Cell, nodes_b: int, offset: Any = 0) -> Any:
    """Interpolate a table of two axes; ``values`` is flat, a sequence or an array."""
    low_at, high_at, part = a
    b_low, b_high, b_part = b
    row = offset + low_at * nodes_b
    low = values[row + b_low]
    if b_part is not None:
        low = low + b_part * (values[row + b_high] - low)
    if part is None:
        return low
    row = offset + high_at * nodes_b
    high = values[row + b_low]
    if b_part is not None:
        high = high + b_part * (values[row + b_high] - high)
    return low + part * (high - low)


def along_3(values: Any, a: Cell, b: Cell, c: Cell, nodes_b: int, nodes_c: int, offset: Any = 0) -> Any:
    """Interpolate a table of three axes."""
    low_at, high_at, part = a
    block = nodes_b * nodes_c
    low = along_2(values, b, c, nodes_c, offset + low_at * block)
    return low if part is None else low + part * (along_2(values, b, c, nodes_c, offset + high_at * block) - low)


def along_4(values: Any, cells: Sequence[Cell], axes: Sequence[Axis]) -> Any:
    """Interpolate a table of all four axes."""
    (low_at, high_at, part), b, c, d = cells
    _, by_b, by_c, by_d = axes
    block = by_b.nodes * by_c.nodes * by_d.nodes
    low = along_3(values, b, c, d, by_c.nodes, by_d.nodes, low_at * block)
    return (
        low if part is None else low + part * (along_3(values, b, c, d, by_c.nodes, by_d.nodes, high_at * block) - low)
    )


def never_falling(logs: Any, axes: Sequence[Axis], least_exponents: Sequence[float]) -> Any:
    """A table changed as little as makes ``factor · size^exponent`` rise, or stay, along every axis.

    The cost that a factor multiplies rises with a size at least as fast as ``size^exponent``: then the product does
    not fall. Takes the mean of the least rising table above and the greatest below.

    Args:
        logs: natural logarithms of the factors at the nodes, one dimension an axis.
        axes: the table's axes.
        least_exponents: one for each axis.
    """
    import numpy as np

    trend = np.zeros(())
    for axis, exponent in zip(axes, least_exponents, strict=True):
        rise = exponent * axis.step * np.log(2.0) * np.arange(axis.nodes)
        trend = np.add.outer(trend, rise)
    above = below = logs + trend
    for direction in range(len(axes)):
        above = np.maximum.accumulate(above, axis=direction)
        below = np.flip(np.minimum.accumulate(np.flip(below, direction), axis=direction), direction)
    return (above + below) / 2 - trend


def axis_over(low: float, high: float) -> Axis:
    """Nodes from the log2 ``low`` to ``high``, at most an octave apart."""
    import math

    span = high - low
    if span <= 0.0:
        return Axis(low, 1.0, 1)
    intervals = max(1, math.ceil(span - 1e-9))
    return Axis(low, span / intervals, intervals + 1)
