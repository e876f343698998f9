"""What the Triton kernels access and launch, counted in Triton's interpreter at the standard small configurations."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sparq_perf.gate.deterministic.child import ask
from sparq_perf.gate.deterministic.facts import Row, Rows, Value, collect

# `sparq-perf traffic` exits with 1 where formulas and counts disagree: the counts are facts all the same.
COUNTED_OR_DIFFERS = (0, 1)
SHAPE = ("batch", "seq_len", "n_heads", "n_kv_heads", "head_dim", "dtype")
SETTINGS = ("rank", "top_k", "local_window", "mean_value", "group_score")
TOTALS = (
    *("counted_read_bytes", "counted_write_bytes", "analytic_bytes"),
    *("moved_read_bytes", "moved_write_bytes", "unique_sector_bytes", "sector_requests"),
)
OUT_OF_BOUNDS = "out_of_bounds_lanes"


def counted_facts() -> Rows:
    """Each step of each implementation in each standard configuration."""
    rows = ask("sparq_perf", ["traffic", "--json"], interpret=True, fine=COUNTED_OR_DIFFERS)
    return collect("counted", as_facts(rows))


def as_facts(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Row]]:
    """Rows of ``sparq-perf traffic --json`` as facts; a dense step once, whatever SparQ settings it stood beside."""
    seen: dict[str, Row] = {}
    for row in rows:
        name, fact = _name(row), _row(row)
        if seen.get(name) != fact:
            seen[name] = fact
            yield name, fact


def _name(row: Mapping[str, Any]) -> str:
    b, s, n, kv, d, dtype = (row[field] for field in SHAPE)
    words = [f"{row['implementation']} {row['step']}", f"B={b} S={s} heads {n}/{kv} d={d} {dtype}"]
    if row["rank"] is not None:
        rank, top_k, window, mean, rule = (row[field] for field in SETTINGS)
        words += [f"r={rank} k={top_k} l={window} {rule}" + ("" if mean else " no mean")]
    return " · ".join([*words, row["k_layout"], row["architecture"]])


def _row(row: Mapping[str, Any]) -> Row:
    """The step's totals, its launches, and the bytes that it accesses through each tensor."""
    fact: dict[str, Value] = {field: row[field] for field in TOTALS}
    fact["launches"] = len(row["launches"])
    fact["programs"] = "; ".join(f"{each['kernel']} {_grid(each['grid'])}" for each in row["launches"])
    fact[OUT_OF_BOUNDS] = sum(stray["lanes"] for stray in row["out_of_bounds"])
    for launch in row["launches"]:
        for tensor in launch["tensors"]:
            for way in ("read", "write"):
                if tensor[f"{way}_bytes"]:
                    field = f"{way} {tensor['parameter']}"
                    before = fact.get(field, 0)
                    assert isinstance(before, int)
                    fact[field] = before + tensor[f"{way}_bytes"]
    return fact


def _grid(grid: Sequence[int]) -> str:
    return "×".join(map(str, grid))
