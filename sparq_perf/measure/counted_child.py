"""Counts what standard input names, in a process of its own, one line of JSON for each; see `counted_pass`."""

import json
import sys
from typing import Any

from sparq_kernels.gpu.tiling import Tiling, tiling_for
from sparq_perf.measure.counted_runs import count
from sparq_perf.measure.counted_traffic import Case, CountedStep
from sparq_profiles import AttentionShape, SparqConfig, SparqPerfError


def answer(item: dict[str, Any], tiling: Tiling) -> dict[str, Any]:
    """Counted steps of one configuration, or the error that it ended in."""
    # Dense attention takes only the layout from the settings.
    settings = item["config"] or {"rank": 1, "top_k": 1, "k_layout": item["k_layout"]}
    case = Case(AttentionShape(**item["shape"]), SparqConfig(**settings))
    try:
        steps = count(item["implementation"], case, tiling)
    except SparqPerfError as error:
        return {"error": str(error)}
    return {"steps": [_row(step) for step in steps]}


def _row(step: CountedStep) -> dict[str, Any]:
    return {
        "step": step.step,
        "counted_bytes": step.counted_bytes,
        "analytic_bytes": step.analytic_bytes,
        "sector_bytes": step.unique_sector_bytes,
        "requested_bytes": step.requested_bytes,
    }


def main() -> None:
    """Answer line by line, so that what was counted is kept should a later one fail."""
    tiling = tiling_for(sys.argv[1], int(sys.argv[2]))
    for item in json.load(sys.stdin):
        print(json.dumps(answer(item, tiling)), flush=True)


if __name__ == "__main__":
    main()
