"""Where the measured points lie under the device's ceilings."""

from collections.abc import Mapping
from dataclasses import dataclass

from sparq_perf.records.schema import Measurement
from sparq_perf.report.settings import where
from sparq_perf.report.wording import count, data_size, si
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.quantity import SourceKind
from sparq_profiles.shape import DType, SparqConfig


@dataclass(frozen=True, slots=True)
class BandwidthRoof:
    """A sloped ceiling: bytes per second of DRAM, or of the fastest cache found."""

    name: str
    bytes_per_s: float
    kind: SourceKind


@dataclass(frozen=True, slots=True)
class PeakRoof:
    """A flat ceiling: FLOP/s of one element type."""

    name: str
    flop_per_s: float
    kind: SourceKind


@dataclass(frozen=True, slots=True)
class RooflinePoint:
    """One measurement: its counted FLOPs and bytes, over its measured median time."""

    name: str
    implementation: str
    cache_state: str
    flop_per_byte: float
    flop_per_s: float


@dataclass(frozen=True, slots=True)
class Roofline:
    """The ceilings with the points; ``note`` names what could not be placed, ``absent`` why all is."""

    bandwidths: tuple[BandwidthRoof, ...]
    peaks: tuple[PeakRoof, ...]
    points: tuple[RooflinePoint, ...]
    note: str
    absent: str | None


def build_roofline(
    measurements: list[Measurement], hardware: HardwareProfile | None, names: Mapping[SparqConfig | None, str]
) -> Roofline:
    """Place every valid measurement that knows its FLOPs and bytes."""
    valid = [m for m in measurements if m.status == "ok"]
    points = tuple(point for m in valid if (point := _place(m, names)) is not None)
    if hardware is None:
        return Roofline(
            (),
            (),
            (),
            "",
            "The device's ceilings were not recorded in this run, so there is no roof to draw.",
        )
    if not points:
        why = (
            "no valid measurement carries a prediction, which is where its FLOPs and bytes are counted"
            if valid
            else "no measurement is valid"
        )
        return Roofline((), (), (), "", f"There is no point to place under the ceilings: {why}.")
    unplaced = len(valid) - len(points)
    note = f"{count(unplaced, 'valid measurement')} without counted bytes could not be placed." if unplaced else ""
    dtypes: list[DType] = sorted({m.shape.dtype for m in valid})
    return Roofline(_bandwidths(hardware), _peaks(hardware, dtypes), points, note, None)


def _place(m: Measurement, names: Mapping[SparqConfig | None, str]) -> RooflinePoint | None:
    if m.prediction is None or not m.median_s:
        return None
    moved = m.prediction.read_bytes + m.prediction.write_bytes
    if moved <= 0 or m.prediction.flops <= 0:
        return None
    flops = m.prediction.flops
    return RooflinePoint(where(m, names), m.implementation, m.cache_state, flops / moved, flops / m.median_s)


def _bandwidths(hardware: HardwareProfile) -> tuple[BandwidthRoof, ...]:
    dram = hardware.memory_bandwidth_bytes_per_s
    roofs = [BandwidthRoof(f"DRAM {si(dram.value, 'B/s')}", dram.value, dram.kind)]
    fastest = max(hardware.bandwidth_by_footprint, key=lambda p: p.read_bandwidth_bytes_per_s, default=None)
    if fastest is not None and fastest.read_bandwidth_bytes_per_s > 1.1 * dram.value:
        rate = fastest.read_bandwidth_bytes_per_s
        name = f"Cache {si(rate, 'B/s')} ({data_size(fastest.footprint_bytes)} buffer)"
        roofs.append(BandwidthRoof(name, rate, "measured"))
    return tuple(roofs)


def _peaks(hardware: HardwareProfile, dtypes: list[DType]) -> tuple[PeakRoof, ...]:
    peaks = {dtype: hardware.peak_for(dtype) for dtype in dtypes}
    return tuple(PeakRoof(f"{dtype} {si(q.value, 'FLOP/s')}", q.value, q.kind) for dtype, q in peaks.items())
