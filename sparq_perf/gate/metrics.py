"""What is compared between two revisions; of each, less is better."""

from collections.abc import Iterable
from typing import Literal, get_args

from sparq_perf.gate.errors import GateError

Metric = Literal["time", "energy", "dram_bytes", "prediction_error"]
METRICS: tuple[Metric, ...] = get_args(Metric)

# One decode call each. The last is the factor between predicted and measured time, whichever is larger: 1 is exact.
# As a factor it has a logarithm like the others, and so the same test.
TITLES: dict[Metric, str] = {
    "time": "time",
    "energy": "energy",
    "dram_bytes": "DRAM bytes",
    "prediction_error": "prediction error",
}
UNITS: dict[Metric, str] = {"time": "s", "energy": "J", "dram_bytes": "B", "prediction_error": "×"}
# What a change for the worse is called.
WORSE: dict[Metric, str] = {
    "time": "slower",
    "energy": "more energy",
    "dram_bytes": "more DRAM bytes",
    "prediction_error": "further from the prediction",
}


def parse_metrics(names: Iterable[str]) -> tuple[Metric, ...]:
    """Metrics by name; all where none is named.

    Raises:
        GateError: no such metric.
    """
    chosen: list[Metric] = []
    for name in names:
        known = next((metric for metric in METRICS if metric == name), None)
        if known is None:
            raise GateError(f"no metric is called {name!r}: choose {', '.join(METRICS)}")
        chosen.append(known)
    return tuple(dict.fromkeys(chosen)) or METRICS
