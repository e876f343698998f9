"""A grid of configurations at once: the formulas of `prediction.py` over numpy arrays."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sparq_profiles import ConfigError, load_hardware
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.shape import ELEMENT_BYTES, K_LAYOUTS, DType
from sparq_roofline.formulas import dense_steps, sparq_steps
from sparq_roofline.grid_columns import check_columns, part_of, read_columns, whole_numbers
from sparq_roofline.prediction import APPEND_STEPS, BOUNDS, Ceilings
from sparq_roofline.steps import StepTraffic

if TYPE_CHECKING:
    from sparq_roofline.calibration.calibration import Calibration
    from sparq_roofline.grid_calibrated import CalibratedPair

# Rows worked on at a time: the temporaries of a block stay in a core's L2 cache, which is 1.4 times faster than
# whole columns through DRAM.
BLOCK_ROWS = 8192


def sweep(
    *,
    hardware: HardwareProfile | str | None = None,
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
    group_score: str | ArrayLike = "logits",
    include_append: bool = True,
    calibration: "Calibration | None" = None,
    implementations: tuple[str, str] | None = None,
) -> pd.DataFrame:
    """Predict dense and SparQ attention for many configurations on one device.

    Args:
        hardware: a profile, or the name of one; where a calibration is given, None for the one that it holds.
        batch, seq_len, rank, top_k, n_heads, n_kv_heads, head_dim, k_layout, mean_value, group_score: a scalar, or
            a one-dimensional array of the common length. There is no local window: with one, the ``softmax`` rule
            moves less, by the window's share of the sequence.
        dtype: element type of the cache, one for the grid.
        include_append: count writing the new token into the cache; a calibration never does.
        calibration: fitted models to predict by, in place of the roofline with its efficiencies.
        implementations: the dense and the SparQ implementation of the calibration.

    Returns:
        One row a configuration: the arguments, then ``dense_`` and ``sparq_`` ``read_bytes``, ``write_bytes``,
        ``flops``, ``time_s``, ``time_lower_s``, ``time_upper_s``, then ``speedup``, ``speedup_lower``,
        ``speedup_upper``, ``transfer_ratio`` (the paper's) and ``sparq_bound``; with a calibration also
        ``extrapolated``: whether either lies outside what was seen.

    Raises:
        ConfigError: lengths that differ, a size below 1, rank above head_dim, n_heads not a multiple of n_kv_heads
            (the message names the first row at fault), or implementations that the calibration has not.
        ProfileError: unknown hardware name.
    """
    profile = _profile(hardware, calibration, implementations)
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
    others = {"k_layout": k_layout, "group_score": group_score, "mean_value": mean_value}
    columns, length = read_columns({**sizes, **others})
    numbers = {name: whole_numbers(name, columns[name]) for name in sizes}
    layouts = columns["k_layout"]
    check_columns(numbers, columns, length)

    ceilings = Ceilings.of(profile, dtype)
    result: dict[str, Any] = {name: np.empty(length) for name in _RESULT_COLUMNS}
    if calibration is not None:
        result["extrapolated"] = np.zeros(length, dtype=bool)
    bound = np.zeros(length, dtype=np.int8)
    softmax = (columns["group_score"] == "softmax").astype(np.int8)
    parts = {**numbers, "mean_value": columns["mean_value"].astype(np.float64), "shared_softmax": softmax}
    for layout in K_LAYOUTS:
        chosen = layouts == layout
        if not chosen.any():
            continue
        pair = None
        if calibration is not None and implementations is not None:
            from sparq_roofline.grid_calibrated import CalibratedPair

            pair = CalibratedPair(calibration, implementations, dtype, layout)
        if layouts.size == 1 and chosen.all():
            blocks: Any = [slice(start, start + BLOCK_ROWS) for start in range(0, length, BLOCK_ROWS)]
        else:
            rows = np.flatnonzero(np.broadcast_to(chosen, length))
            blocks = [rows[start : start + BLOCK_ROWS] for start in range(0, rows.size, BLOCK_ROWS)]
        for block in blocks:
            part = {name: part_of(column, block) for name, column in parts.items()}
            predicted = _predict_block(part, layout, ELEMENT_BYTES[dtype], ceilings, include_append, pair)
            bound[block] = predicted.pop("bound")
            for name, column in predicted.items():
                result[name][block] = column

    table = {name: np.broadcast_to(columns[name], length) for name in sizes}
    frame = pd.DataFrame({**table, **result}, copy=False)
    frame.insert(len(sizes), "k_layout", pd.Series(pd.Categorical(np.broadcast_to(layouts, length))))
    rules = pd.Categorical.from_codes(np.broadcast_to(softmax, length), categories=pd.Index(("logits", "softmax")))
    frame.insert(len(sizes) + 1, "group_score", pd.Series(rules))
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


def _predict_block(
    part: dict[str, Any],
    layout: str,
    element_bytes: int,
    ceilings: Ceilings,
    include_append: bool,
    pair: "CalibratedPair | None",
) -> dict[str, Any]:
    """Both predictions of one block; mirrors `predict` and `predict_time`, which test_grid holds it to."""
    heads = (part["batch"], part["seq_len"], part["n_heads"], part["n_kv_heads"], part["head_dim"])
    top_k = np.minimum(part["top_k"], part["seq_len"])
    dense = dense_steps(*heads, element_bytes)
    sparq = sparq_steps(
        *heads,
        element_bytes,
        part["rank"],
        top_k,
        0,
        part["mean_value"],
        part["shared_softmax"],
        layout,
        ceilings.sector_bytes,
        np.minimum,
    )
    result: dict[str, Any] = {}
    if pair is not None:
        pair.times(result, dense, sparq, {**part, "top_k": top_k})
    else:
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


def _profile(
    hardware: HardwareProfile | str | None,
    calibration: "Calibration | None",
    implementations: tuple[str, str] | None,
) -> HardwareProfile:
    if (calibration is None) != (implementations is None):
        raise ConfigError("sweep: calibration and implementations belong together: give both or neither")
    if hardware is None:
        if calibration is None:
            raise ConfigError("sweep: hardware is missing: give a profile, its name, or a calibration")
        return calibration.hardware
    profile = load_hardware(hardware) if isinstance(hardware, str) else hardware
    if calibration is not None and profile.name != calibration.hardware.name:
        raise ConfigError(
            f"sweep: hardware is {profile.name} and the calibration is of {calibration.hardware.name}: "
            "leave hardware out"
        )
    return profile


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
