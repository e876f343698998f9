"""The suite that both arms measure: one file, whatever each revision ships under its name; and parts of it."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from sparq_perf.gate.errors import GateError
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.plan import Group
from sparq_profiles import load_model, load_suite
from sparq_profiles.load import data_directory
from sparq_profiles.suite import Suite, SuiteGrid, Workload


def suite_text(name_or_path: str) -> str:
    """The file of a suite, which must be a valid one.

    Raises:
        ProfileError: unknown name, or a file that cannot be read or believed.
    """
    load_suite(name_or_path)
    path = Path(name_or_path)
    if path.suffix != ".toml" and not path.is_file():
        path = data_directory() / "suites" / f"{name_or_path}.toml"
    return path.read_text(encoding="utf-8")


def part_of(suite: Suite, keys: Collection[str]) -> str:
    """A suite with only the groups that hold some configurations, as TOML.

    A group is measured whole: its contenders take turns, so that each would be disturbed by others if some were left
    out.

    Raises:
        GateError: no group holds any of the keys.
    """
    wanted = {_place_of(key) for key in keys}
    grids = [
        _grid(workload, grid)
        for workload, grid in suite.workloads(load_model)
        if _place_of(_any_key(workload)) in wanted
    ]
    if not grids:
        raise GateError(
            f"suite {suite.name}: holds none of {', '.join(sorted(keys))}: give the suite that was measured"
        )
    head = {
        "schema_version": suite.schema_version,
        "name": suite.name,
        "title": suite.title,
        "device": suite.device,
        "dtype": suite.dtype,
    }
    return "\n".join(
        [*_assignments(head), *(line for grid in grids for line in ("", "[[grids]]", *_assignments(grid)))]
    )


def _place_of(key: str) -> str:
    """Model, shape, cache state and layout of a configuration's key, which its group shares."""
    return key.rsplit("/", 2)[0]


def _any_key(workload: Workload) -> str:
    assert workload.config is not None
    group = Group(workload.model, workload.shape, workload.cache_state, workload.config.k_layout, ())
    return group.key(Contender("any", workload.config))


def _grid(workload: Workload, grid: SuiteGrid) -> dict[str, Any]:
    shape, config = workload.shape, workload.config
    assert config is not None
    return {
        "model": workload.model,
        "shape": {name: getattr(shape, name) for name in ("n_heads", "n_kv_heads", "head_dim")},
        "batch": [shape.batch],
        "seq_len": [shape.seq_len],
        "cache_state": [workload.cache_state],
        "configs": [
            {
                "rank": config.rank,
                "top_k": config.top_k,
                "local_window": config.local_window,
                "mean_value": config.mean_value,
                "group_score": config.group_score,
                "k_layout": config.k_layout,
            }
        ],
        "implementations": list(grid.implementations),
        "watched": grid.watched,
    }


def _assignments(fields: dict[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        yield f"{name} = {_toml(value)}"


def _toml(value: Any) -> str:
    """TOML's inline form, which is JSON's but for tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(_assignments(value)) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)
