"""Where each number came from: the runs, the device's ceilings and the time models."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sparq_perf.records.schema import CalibrationLine, CeilingsLine, End, Environment, Line, Run
from sparq_perf.report.gpu_facts import GpuFacts, gpu_facts
from sparq_perf.report.wording import data_size, duration, moment, percent, seconds, si, times_faster
from sparq_profiles.hardware import FootprintBandwidth, HardwareProfile
from sparq_profiles.quantity import Quantity
from sparq_profiles.shape import SparqConfig


@dataclass(frozen=True, slots=True)
class RunFact:
    """One run or resumption, and how it ended; ``gpu_facts`` is None where nobody asked NVML."""

    run_id: str
    started: str
    resumed: bool
    suite: str
    suite_sha256: str
    n_planned: int
    package_version: str
    command: str
    ended: str
    environment: Environment
    gpu_facts: GpuFacts | None


@dataclass(frozen=True, slots=True)
class Ceiling:
    """One ceiling at the start and the end of the run, with the evidence for the first."""

    name: str
    start: str
    end: str
    drift: str
    kind: str
    source: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """One implementation's time model: its parameters in words, and the points it was fitted to."""

    implementation: str
    parameters: tuple[tuple[str, str], ...]
    points: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything that section says; empty tuples where the run recorded nothing."""

    runs: tuple[RunFact, ...]
    ceilings: tuple[Ceiling, ...]
    bandwidth_start: tuple[FootprintBandwidth, ...]
    bandwidth_end: tuple[FootprintBandwidth, ...]
    bandwidth_drift: float | None
    calibrations: tuple[Calibration, ...]


def build_provenance(lines: list[Line], names: Mapping[SparqConfig | None, str]) -> Provenance:
    """Collect the evidence: the first ceilings, the last ones, and each implementation's last fit."""
    start, end = starting_hardware(lines), _ending_hardware(lines)
    drift = None
    if start is not None and end is not None:
        drift = end.memory_bandwidth_bytes_per_s.value / start.memory_bandwidth_bytes_per_s.value - 1
    fits = {line.implementation: line for line in lines if isinstance(line, CalibrationLine)}
    return Provenance(
        runs=_runs(lines),
        ceilings=_ceilings(start, end) if start else (),
        bandwidth_start=start.bandwidth_by_footprint if start else (),
        bandwidth_end=end.bandwidth_by_footprint if end else (),
        bandwidth_drift=drift,
        calibrations=tuple(_calibration(line, names) for line in fits.values()),
    )


def starting_hardware(lines: list[Line]) -> HardwareProfile | None:
    """The ceilings that the predictions rest on: a start's last recorded, None where there are none."""
    found = [line for line in lines if isinstance(line, CeilingsLine)]
    starts = [line for line in found if line.phase == "start"]
    return (starts or found)[-1].hardware if found else None


def _ending_hardware(lines: list[Line]) -> HardwareProfile | None:
    ends = [line for line in lines if isinstance(line, CeilingsLine) and line.phase == "end"]
    return ends[-1].hardware if ends else None


def _runs(lines: list[Line]) -> tuple[RunFact, ...]:
    runs = []
    for index, line in enumerate(lines):
        if isinstance(line, Run):
            end = next((later for later in lines[index + 1 :] if isinstance(later, Run | End)), None)
            runs.append(_run(line, end if isinstance(end, End) else None))
    return tuple(runs)


def _run(run: Run, end: End | None) -> RunFact:
    ended = "no end was recorded: the run was killed, or is still going on"
    if end is not None:
        ended = (
            f"{end.outcome}, {moment(end.time)}: {end.n_measured} measured, {end.n_missing} missing, "
            f"after {duration(end.elapsed_s)}"
        )
    return RunFact(
        run_id=run.run_id,
        started=moment(run.time),
        resumed=run.resumed,
        suite=f"{run.suite} ({run.suite_title})",
        suite_sha256=run.suite_sha256,
        n_planned=run.n_planned,
        package_version=run.package_version,
        command=shlex.join(run.command),
        ended=ended,
        environment=run.environment,
        gpu_facts=gpu_facts(state) if (state := run.environment.gpu_state) is not None else None,
    )


def _ceilings(start: HardwareProfile, end: HardwareProfile | None) -> tuple[Ceiling, ...]:
    after = dict(_quantities(end)) if end else {}
    ceilings = []
    for name, (quantity, unit) in _quantities(start):
        # Only what is measured can drift: a number from a datasheet is the same at the end.
        later = after.get(name) if quantity.kind == "measured" else None
        note = f" ({quantity.note})" if quantity.note else ""
        ceilings.append(
            Ceiling(
                name,
                _show(quantity.value, unit),
                _show(later[0].value, unit) if later else "not measured" if quantity.kind == "measured" else "–",
                percent(later[0].value / quantity.value - 1, signed=True) if later else "–",
                quantity.kind,
                quantity.source + note,
            )
        )
    for label in ("stream", "gather", "compute"):
        share = getattr(start.efficiency, label)
        shown = f"{share.expected:.0%} ({share.lower:.0%} to {share.upper:.0%})"
        ceilings.append(Ceiling(f"Reached share, {label}", shown, "–", "–", share.kind, share.source))
    return tuple(ceilings)


def _quantities(hardware: HardwareProfile) -> list[tuple[str, tuple[Quantity, str]]]:
    named: list[tuple[str, tuple[Quantity | None, str]]] = [
        ("Memory bandwidth", (hardware.memory_bandwidth_bytes_per_s, "B/s")),
        ("Copy bandwidth, read and written", (hardware.copy_bandwidth_bytes_per_s, "B/s")),
        *((f"Peak, {name}", (peak, "FLOP/s")) for name, peak in hardware.peak_flop_per_s.items()),
        ("Launch latency", (hardware.launch_latency_s, "s")),
        ("Memory capacity", (hardware.memory_bytes, "bytes")),
        ("L2 cache", (hardware.l2_bytes, "bytes")),
        ("Last-level cache", (hardware.llc_bytes, "bytes")),
        ("Cores or multiprocessors", (hardware.n_compute_units, "")),
        ("Power limit", (hardware.power_limit_w, "W")),
        ("Memory sector", (hardware.sector_bytes, "bytes")),
    ]
    return [(name, (quantity, unit)) for name, (quantity, unit) in named if quantity is not None]


def _show(value: float, unit: str) -> str:
    if unit == "bytes":
        return data_size(value)
    return si(value, unit) if unit else f"{value:g}"


# How each parameter of the time model reads. Its tables and ranges are in the records.
_PARAMETERS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "host_s": ("Host's floor", seconds),
    "overlap": ("Overlap of host and device", lambda p: f"{p:.1f}"),
    "launch_s": ("Launch", seconds),
    "stream_slowdown": ("Stream slowdown", times_faster),
    "gather_slowdown": ("Gather slowdown", times_faster),
    "element_s": ("Per score", seconds),
    "compute_share": ("Arithmetic not hidden", percent),
    "piece_s": ("Per KV head", seconds),
    "position_s": ("Per position of a head's chain", seconds),
    "left_out_error": ("Error with a point left out, 90th percentile", percent),
    "n_points": ("Points", lambda n: f"{n:,}"),
}


def _calibration(line: CalibrationLine, names: Mapping[SparqConfig | None, str]) -> Calibration:
    parameters = []
    for name, (label, show) in _PARAMETERS.items():
        parameters.append((label, show(getattr(line.model, name))))
    points = []
    for point in line.points:
        shape = point.shape
        heads = f"{shape.n_heads}/{shape.n_kv_heads} heads of {shape.head_dim}, {shape.dtype}"
        what = f"{names[point.config]}, batch {shape.batch}, {shape.seq_len:,} tokens, {heads}"
        error = percent(point.fitted_s / point.measured_s - 1, signed=True)
        error += " (disturbed)" if point.disturbed else ""
        points.append((what, seconds(point.measured_s), seconds(point.fitted_s), error))
    return Calibration(line.implementation, tuple(parameters), tuple(points))
