"""What a machine is: its memory, compute and cache ceilings, each with its source."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparq_profiles.quantity import Frozen, Positive, Quantity, Whole
from sparq_profiles.shape import DType

PeakName = Literal["float64", "float32", "float16", "bfloat16", "float8"]
Fraction = Annotated[float, Field(gt=0, le=1, strict=True)]


class EfficiencyRange(Frozen):
    """The fraction of a ceiling that good kernels reach: lower, expected and upper, each in (0, 1]."""

    lower: Fraction
    expected: Fraction
    upper: Fraction
    kind: Literal["measured", "calibrated", "datasheet", "assumed"]
    source: Annotated[str, Field(min_length=3)]

    @model_validator(mode="after")
    def _ordered(self) -> "EfficiencyRange":
        if not self.lower <= self.expected <= self.upper:
            raise ValueError("must be ordered lower <= expected <= upper")
        return self


class FootprintBandwidth(Frozen):
    """Achieved read bandwidth over a buffer of one size: small buffers are read from a cache."""

    footprint_bytes: Whole
    read_bandwidth_bytes_per_s: Positive


class Efficiency(Frozen):
    """Achievable fractions of the datasheet, by how memory is read.

    Attributes:
        stream: contiguous reads (dense K and V, Kᵀ channels).
        gather: rows picked by index (the top-k keys and values).
        compute: tensor or vector arithmetic.
    """

    stream: EfficiencyRange
    gather: EfficiencyRange
    compute: EfficiencyRange


class HardwareProfile(Frozen):
    """One device: a GPU from a datasheet, or a CPU probed and measured on the spot.

    Attributes:
        name: the key that the command line takes, lower case.
        title: the name a reader knows.
        kind: ``gpu`` or ``cpu``.
        device_names: names that drivers report for this device, for matching records to profiles.
        memory_bandwidth_bytes_per_s: peak (datasheet) or achieved (measured) DRAM bandwidth.
        copy_bandwidth_bytes_per_s: achieved DRAM bandwidth of a copy, bytes read and written together.
        memory_bytes: capacity.
        peak_flop_per_s: dense peaks by element type: tensor cores without sparsity on GPUs.
        l2_bytes, llc_bytes: last private or shared cache, and a memory-side cache where there is one.
        n_compute_units: SMs, CUs or cores.
        power_limit_w: board power.
        link_bandwidth_bytes_per_s: to all peers of a machine together, one direction: half of what vendors print.
        price_usd_per_h: list price of one device for an hour; the source names the provider and the day.
        launch_latency_s: fixed cost of one kernel launch, or of one parallel region on a CPU.
        sector_bytes: smallest unit a memory access moves.
        efficiency: fractions of the ceilings that kernels reach; measured ceilings need none below 1.
        bandwidth_by_footprint: measured read bandwidth by buffer size, ascending; where measured.
    """

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    title: Annotated[str, Field(min_length=2)]
    kind: Literal["gpu", "cpu"]
    vendor: str
    architecture: str | None = None
    device_names: tuple[str, ...] = ()
    memory_bandwidth_bytes_per_s: Quantity
    copy_bandwidth_bytes_per_s: Quantity | None = None
    memory_bytes: Quantity
    peak_flop_per_s: dict[PeakName, Quantity]
    l2_bytes: Quantity | None = None
    llc_bytes: Quantity | None = None
    n_compute_units: Quantity | None = None
    power_limit_w: Quantity | None = None
    link_bandwidth_bytes_per_s: Quantity | None = None
    price_usd_per_h: Quantity | None = None
    launch_latency_s: Quantity
    sector_bytes: Quantity
    efficiency: Efficiency
    bandwidth_by_footprint: tuple[FootprintBandwidth, ...] = ()

    @model_validator(mode="after")
    def _has_a_peak(self) -> "HardwareProfile":
        if not self.peak_flop_per_s:
            raise ValueError("peak_flop_per_s must name at least one element type")
        sizes = [point.footprint_bytes for point in self.bandwidth_by_footprint]
        if sizes != sorted(set(sizes)):
            raise ValueError("bandwidth_by_footprint must ascend in footprint_bytes without repeats")
        return self

    def peak_for(self, dtype: DType) -> Quantity:
        """Dense arithmetic peak for an element type, FLOP/s.

        A type that the profile does not name falls back to the nearest that its kernels would use: 16-bit
        types to each other, float64 to float32 (attention accumulates in float32 on every device here).
        """
        fallbacks: dict[str, tuple[PeakName, ...]] = {
            "float16": ("float16", "bfloat16", "float32"),
            "bfloat16": ("bfloat16", "float16", "float32"),
            "float32": ("float32", "bfloat16", "float16"),
            "float64": ("float64", "float32", "bfloat16"),
        }
        for name in fallbacks[dtype]:
            if name in self.peak_flop_per_s:
                return self.peak_flop_per_s[name]
        return next(iter(self.peak_flop_per_s.values()))
