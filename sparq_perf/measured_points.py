"""Measured points out of records, for calibrating a device and for checking a calibration."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sparq_kernels.registry import IMPLEMENTATIONS
from sparq_perf.records.schema import CeilingsLine, Imported, Line, Measurement, Run
from sparq_perf.records.store import RecordError, latest_measurements, read_lines, records_file
from sparq_profiles.hardware import HardwareProfile
from sparq_roofline.calibration import MeasuredPoint
from sparq_roofline.calibration.points import OwnTraffic

HALF_INTERVAL = 1.96


@dataclass(frozen=True, slots=True)
class Measured:
    """What a record file says of one device.

    Attributes:
        device: as the file names it.
        hardware: its ceilings as the run found them, or the profile it was imported with.
        points: every valid measurement.
        own_traffic: steps of implementations that are this package's own; empty for what others measured.
        source, source_sha256: the file's name and content.
    """

    device: str
    hardware: HardwareProfile
    points: tuple[MeasuredPoint, ...]
    own_traffic: OwnTraffic
    source: str
    source_sha256: str


def own_traffic() -> OwnTraffic:
    """Bytes and FLOPs of this package's implementations, by name."""
    return {name: entry.traffic for name, entry in IMPLEMENTATIONS.items()}


def read_measured(records: Path) -> Measured:
    """Every valid measurement of a record file, or of the folder that holds one.

    Raises:
        RecordError: unreadable records, no ceilings of the device, or no valid measurement; the message names the file.
    """
    path = records_file(records)
    return _measured(read_lines(path), path)


def _measured(lines: Sequence[Line], path: Path) -> Measured:
    devices = [line.environment.device for line in lines if isinstance(line, Run)]
    imports = [line for line in lines if isinstance(line, Imported)]
    profiles = [line.hardware for line in lines if isinstance(line, CeilingsLine) and line.phase == "start"]
    profiles += [line.hardware for line in imports]
    if not profiles:
        raise RecordError(f"{path}: holds no ceilings of its device: measure, or import with --hardware, first")
    valid = [m for m in latest_measurements(list(lines)).values() if m.status == "ok"]
    if not valid:
        raise RecordError(f"{path}: holds no valid measurement: there is nothing to calibrate with")
    return Measured(
        device=(devices or [line.device for line in imports] or [profiles[-1].title])[-1],
        hardware=profiles[-1],
        points=tuple(_point(m) for m in valid),
        own_traffic={} if imports else own_traffic(),
        source=path.name,
        source_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _point(m: Measurement) -> MeasuredPoint:
    assert m.median_s is not None
    assert m.median_ci_s is not None
    footprint_bytes = None
    if m.cache_state == "warm":
        # As predicted: SparQ reads all of K or Kᵀ over and over, for each query takes other channels.
        footprint_bytes = m.shape.kv_bytes / (1 if m.config is None else 2)
    return MeasuredPoint(
        implementation=m.implementation,
        shape=m.shape,
        config=m.config,
        time_s=m.median_s,
        time_stderr_s=(m.median_ci_s[1] - m.median_ci_s[0]) / 2 / HALF_INTERVAL,
        footprint_bytes=footprint_bytes,
    )
