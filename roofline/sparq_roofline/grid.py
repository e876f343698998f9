"""A grid of configurations at once: the formulas of `prediction.py` over numpy arrays."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sparq_profiles import ConfigError, load_hardware
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.shape import ELEMENT_BYTES, K_LAYOUTS, DType
from sparq_roofline.formulas import dense_steps, sparq_steps
from sparq_roofline.prediction import APPEND_STEPS, BOUNDS, Ceilings
from sparq_roofline.steps import StepTraffic

Floats = NDArray[np.float64]

# Rows worked on at a time: the temporaries of a block stay in a core's L2 cache, which is 1.4 times faster than
# whole columns through DRAM.
BLOCK_ROWS = 8192


def sweep(
    *,
    hardware: HardwareProfile | str,
    batch: ArrayLike,
    seq_len: ArrayLike,
    rank: ArrayLike,
    top_k: ArrayLike,
    n_heads: ArrayLike,
    n_kv_heads: ArrayLike,
    head_dim: ArrayLike,
    dtype: DType = "float16",
    k_layout: str | ArrayLike = "two_copies",
    mean_value: bool | ArrayLike = True,
    include_append: bool = True,
) -> pd.DataFrame:
    """Predict dense and SparQ attention for many configurations on one device.

    Args:
        hardware: a profile, or the name of one.
        batch, seq_len, rank, top_k, n_heads, n_kv_heads, head_dim, k_layout, mean_value: a scalar, or a
            one-dimensional array of the common length.
        dtype: element type of the cache, one for the grid.
        include_append: count writing the new token into the cache.

    Returns:
        One row a configuration: the arguments, then ``dense_`` and ``sparq_`` ``read_bytes``, ``write_bytes``,
        ``flops``, ``time_s``, ``time_lower_s``, ``time_upper_s``, then ``speedup``, ``speedup_lower``,
        ``speedup_upper``, ``transfer_ratio`` (the paper's) and ``sparq_bound``.

    Raises:
        ConfigError: lengths that differ, a size below 1, rank above head_dim, or n_heads not a multiple of
            n_kv_heads; the message names the first row at fault.
        ProfileError: unknown hardware name.
    """
    profile = load_hardware(hardware) if isinstance(hardware, str) else hardware
    if dtype not in ELEMENT_BYTES:
        raise ConfigError(f"sweep: dtype is {dtype!r}: choose one of {', '.join(ELEMENT_BYTES)}")
    sizes = {
        "batch": batch,
        "seq_len": seq_len,
        "rank": rank,
        "top_k": top_k,
        "n_heads": n_heads,
        "n_kv_heads": n_kv_heads,
        "head_dim": head_dim,
    }
    columns, length = _columns({**sizes, "k_layout": k_layout, "mean_value": mean_value})
    numbers = {name: _whole_numbers(name, columns[name]) for name in sizes}
    layouts = columns["k_layout"]
    _check(numbers, layouts, length)

    ceilings = Ceilings.of(profile, dtype)
    result = {name: np.empty(length) for name in _RESULT_COLUMNS}
    bound = np.zeros(length, dtype=np.int8)
    mean = columns["mean_value"].astype(np.float64)
    for layout in K_LAYOUTS:
        chosen = layouts == layout
        if layouts.size == 1 and chosen.all():
            blocks: Any = [slice(start, start + BLOCK_ROWS) for start in range(0, length, BLOCK_ROWS)]
        else:
            rows = np.flatnonzero(np.broadcast_to(chosen, length))
            blocks = [rows[start : start + BLOCK_ROWS] for start in range(0, rows.size, BLOCK_ROWS)]
        for block in blocks:
            part = {name: _part(column, block) for name, column in numbers.items()}
            predicted = _predict_block(part, _part(mean, block), layout, ELEMENT_BYTES[dtype], ceilings, include_append)
            bound[block] = predicted.pop("bound")
            for name, column in predicted.items():
                result[name][block] = column

    table = {name: np.broadcast_to(columns[name], length) for name in sizes}
    frame = pd.DataFrame({**table, **result}, copy=False)
    frame.insert(len(sizes), "k_layout", pd.Series(pd.Categorical(np.broadcast_to(layouts, length))))
    frame["sparq_bound"] = pd.Categorical.from_codes(bound, categories=pd.Index(BOUNDS))
    return frame


_TIMES = ("read_bytes", "write_bytes", "flops", "time_s", "time_lower_s", "time_upper_s")
_RESULT_COLUMNS = (
    *(f"{side}_{name}" for side in ("dense", "sparq") for name in _TIMES),
    "speedup",
    "speedup_lower",
    "speedup_upper",
    "transfer_ratio",
)


def _columns(arguments: dict[str, Any]) -> tuple[dict[str, NDArray[Any]], int]:
    columns = {name: np.atleast_1d(np.asarray(value)) for name, value in arguments.items()}
    lengths = {name: column.size for name, column in columns.items() if column.size != 1}
    for name, column in columns.items():
        if column.ndim != 1:
            raise ConfigError(f"sweep: {name} has {column.ndim} dimensions: give a scalar or a one-dimensional array")
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {size}" for name, size in lengths.items())
        raise ConfigError(f"sweep: lengths differ ({shown}): arrays must share one length")
    return columns, next(iter(lengths.values()), 1)


def _whole_numbers(name: str, column: NDArray[Any]) -> Floats:
    if column.dtype.kind not in "iuf":
        raise ConfigError(f"sweep: {name} holds {column.dtype}: it must hold whole numbers")
    numbers = column.astype(np.float64)
    wrong = ~((numbers >= 1) & (numbers == np.floor(numbers)) & np.isfinite(numbers))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ConfigError(f"sweep: {name}[{row}] is {column[row]}: it must be a whole number of at least 1")
    return numbers


def _check(numbers: dict[str, Floats], layouts: NDArray[Any], length: int) -> None:
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
    row = first(~np.isin(layouts, K_LAYOUTS))
    if row is not None:
        value = np.broadcast_to(layouts, length)[row].item()
        raise ConfigError(f"sweep: k_layout[{row}] is {value!r}: choose one of {', '.join(K_LAYOUTS)}")


def _part(column: NDArray[Any], block: Any) -> Any:
    """A block of a column; a column of one value stays a Python number, which numpy multiplies fastest."""
    return column[block] if column.size > 1 else column[0].item()


def _predict_block(
    part: dict[str, Any],
    mean_value: Any,
    layout: str,
    element_bytes: int,
    ceilings: Ceilings,
    include_append: bool,
) -> dict[str, Any]:
    """Both predictions of one block; mirrors `predict` and `predict_time`, which test_grid holds it to."""
    heads = (part["batch"], part["seq_len"], part["n_heads"], part["n_kv_heads"], part["head_dim"])
    top_k = np.minimum(part["top_k"], part["seq_len"])
    dense = dense_steps(*heads, element_bytes)
    sparq = sparq_steps(
        *heads, element_bytes, part["rank"], top_k, mean_value, layout, ceilings.sector_bytes, np.minimum
    )
    result: dict[str, Any] = {}
    _times(result, "dense", dense, ceilings, include_append)
    result["bound"] = _times(result, "sparq", sparq, ceilings, include_append)
    result["speedup"] = result["dense_time_s"] / result["sparq_time_s"]
    result["speedup_lower"] = result["dense_time_lower_s"] / result["sparq_time_upper_s"]
    result["speedup_upper"] = result["dense_time_upper_s"] / result["sparq_time_lower_s"]
    row = 2.0 * part["head_dim"]
    result["transfer_ratio"] = (part["seq_len"] * part["rank"] + (part["top_k"] + 2.0) * row) / (
        (part["seq_len"] + 1.0) * row
    )
    return result


def _times(
    result: dict[str, Any],
    side: str,
    steps: tuple[StepTraffic, ...],
    ceilings: Ceilings,
    include_append: bool,
) -> Any:
    read_bytes: Any = 0.0
    write_bytes: Any = 0.0
    flops: Any = 0.0
    upper_s: Any = 0.0
    memory_share: Any = 0.0
    compute_share: Any = 0.0
    latency_s = 0.0
    compute_low, compute_mid = ceilings.compute
    for step in steps:
        if not include_append and step.name in APPEND_STEPS:
            continue
        low, mid = ceilings.gather if step.access == "gather" else ceilings.stream
        memory_s = step.moved_bytes / ceilings.bandwidth_bytes_per_s
        compute_s = step.flops / ceilings.peak_flop_per_s
        by_memory = memory_s / mid >= compute_s / compute_mid
        memory_share = memory_share + memory_s / mid * by_memory
        compute_share = compute_share + compute_s / compute_mid * ~np.asarray(by_memory)
        latency_s += step.launches * ceilings.launch_latency_s
        read_bytes = read_bytes + step.read_bytes
        write_bytes = write_bytes + step.write_bytes
        flops = flops + step.flops
        upper_s = upper_s + memory_s / low + compute_s / compute_low
    result[f"{side}_read_bytes"] = read_bytes
    result[f"{side}_write_bytes"] = write_bytes
    result[f"{side}_flops"] = flops
    result[f"{side}_time_s"] = memory_share + compute_share + latency_s
    result[f"{side}_time_lower_s"] = np.maximum(
        (read_bytes + write_bytes) / ceilings.bandwidth_bytes_per_s, flops / ceilings.peak_flop_per_s
    )
    result[f"{side}_time_upper_s"] = upper_s + latency_s
    return np.where(memory_share >= np.maximum(compute_share, latency_s), 0, np.where(compute_share >= latency_s, 1, 2))
