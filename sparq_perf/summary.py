"""A run in a few lines of text: what was found, what SparQ bought, how far off the predictions were."""

from pathlib import Path

from sparq_perf.comparison import Comparison, compare, median_absolute_error, prediction_error
from sparq_perf.records.schema import CeilingsLine, Line, Measurement
from sparq_perf.records.store import latest_measurements
from sparq_profiles.shape import DType

GIGA = 1e9


def summarise(lines: list[Line], report: Path | str) -> list[str]:
    """Five lines: ceilings, counts, best speedup with its prediction, prediction error, and the report.

    ``report``: where it is, or why there is none.
    """
    measurements = list(latest_measurements(lines).values())
    return [
        f"ceilings    {_ceilings(lines)}",
        f"measured    {_counts(measurements)}",
        f"best        {_best(compare(lines))}",
        f"prediction  {_errors(measurements)}",
        f"report      {report}",
    ]


def describe_config(measurement: Measurement) -> str:
    """Shape and settings in one phrase."""
    shape, config = measurement.shape, measurement.config
    settings = "" if config is None else f" r={config.rank} k={config.top_k}"
    return f"{measurement.model} B={shape.batch} S={shape.seq_len:,}{settings}, {measurement.cache_state}"


def _ceilings(lines: list[Line]) -> str:
    found = [line.hardware for line in lines if isinstance(line, CeilingsLine) and line.phase == "start"]
    if not found:
        return "not measured: left out with --no-predict, or the run ended before they were found"
    hardware = found[-1]
    bandwidth, copied = hardware.memory_bandwidth_bytes_per_s.value, hardware.copy_bandwidth_bytes_per_s
    copies = f", {copied.value / GIGA:.1f} GB/s copied" if copied else ""
    name: DType = "float16" if hardware.kind == "gpu" else "float32"
    peak = hardware.peak_for(name).value
    return f"{bandwidth / GIGA:.1f} GB/s read from DRAM{copies}, {peak / GIGA:.0f} GFLOP/s {name} ({hardware.title})"


def _counts(measurements: list[Measurement]) -> str:
    counts = {status: sum(m.status == status for m in measurements) for status in ("ok", "invalid", "failed")}
    return f"{counts['ok']} valid, {counts['invalid']} invalid, {counts['failed']} failed"


def _best(comparisons: list[Comparison]) -> str:
    if not comparisons:
        return "no valid SparQ measurement has a valid dense baseline"
    best = max(comparisons, key=lambda comparison: comparison.speedup.expected)
    speedup, predicted = best.speedup, best.predicted_speedup
    expectation = f"{predicted.expected:.2f}× predicted" if predicted else "no prediction"
    return (
        f"{speedup.expected:.2f}× measured [{speedup.lower:.2f}, {speedup.upper:.2f}], {expectation}: "
        f"{best.sparq.implementation} over {best.dense.implementation}, {describe_config(best.sparq)}"
    )


def _errors(measurements: list[Measurement]) -> str:
    errors = {m.key: error for m in measurements if (error := prediction_error(m)) is not None}
    overall = median_absolute_error(measurements)
    if overall is None:
        return "no valid measurement with a prediction"
    worst_key = max(errors, key=lambda key: abs(errors[key]))
    worst = next(m for m in measurements if m.key == worst_key)
    return (
        f"median error {overall:.1%} of {len(errors)}, worst {errors[worst_key]:+.0%}: {worst.implementation}, "
        f"{describe_config(worst)}"
    )
