"""The columns of a grid: scalars and arrays of one length, checked."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparq_profiles import ConfigError
from sparq_profiles.shape import GROUP_SCORES, K_LAYOUTS

Floats = NDArray[np.float64]

WORDS = {"k_layout": K_LAYOUTS, "group_score": GROUP_SCORES}


def read_columns(arguments: dict[str, Any]) -> tuple[dict[str, NDArray[Any]], int]:
    """Every argument as an array of one value or of the common length, and that length."""
    columns = {name: np.atleast_1d(np.asarray(value)) for name, value in arguments.items()}
    lengths = {name: column.size for name, column in columns.items() if column.size != 1}
    for name, column in columns.items():
        if column.ndim != 1:
            raise ConfigError(f"sweep: {name} has {column.ndim} dimensions: give a scalar or a one-dimensional array")
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {size}" for name, size in lengths.items())
        raise ConfigError(f"sweep: lengths differ ({shown}): arrays must share one length")
    return columns, next(iter(lengths.values()), 1)


def whole_numbers(name: str, column: NDArray[Any]) -> Floats:
    """A column as floats; ConfigError where one is no whole number above 0."""
    if column.dtype.kind not in "iuf":
        raise ConfigError(f"sweep: {name} holds {column.dtype}: it must hold whole numbers")
    numbers = column.astype(np.float64)
    wrong = ~((numbers >= 1) & (numbers == np.floor(numbers)) & np.isfinite(numbers))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ConfigError(f"sweep: {name}[{row}] is {column[row]}: it must be a whole number of at least 1")
    return numbers


def check_columns(numbers: dict[str, Floats], columns: dict[str, NDArray[Any]], length: int) -> None:
    """Raise ConfigError for the first row that cannot be: by its rank, its heads or one of `WORDS`."""

    def first(wrong: NDArray[np.bool_]) -> int | None:
        rows = np.flatnonzero(np.broadcast_to(wrong, length))
        return int(rows[0]) if rows.size else None

    def at(name: str, row: int) -> int:
        return int(np.broadcast_to(numbers[name], length)[row])

    row = first(numbers["rank"] > numbers["head_dim"])
    if row is not None:
        raise ConfigError(
            f"sweep: rank[{row}] is {at('rank', row)} and head_dim is {at('head_dim', row)}: "
            "rank must be at most head_dim"
        )
    row = first(numbers["n_heads"] % numbers["n_kv_heads"] != 0)
    if row is not None:
        raise ConfigError(
            f"sweep: n_heads[{row}] is {at('n_heads', row)} and n_kv_heads is {at('n_kv_heads', row)}: "
            "n_heads must be a multiple of n_kv_heads"
        )
    for name, known in WORDS.items():
        row = first(~np.isin(columns[name], known))
        if row is not None:
            value = np.broadcast_to(columns[name], length)[row].item()
            raise ConfigError(f"sweep: {name}[{row}] is {value!r}: choose one of {', '.join(known)}")


def part_of(column: NDArray[Any], block: Any) -> Any:
    """A block of a column; a column of one value stays a Python number, which numpy multiplies fastest."""
    return column[block] if column.size > 1 else column[0].item()
