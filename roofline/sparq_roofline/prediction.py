"""Time of an attention step on a device: a roofline with a bound pair and an expected value.

For each step, memory time is bytes over bandwidth, compute time FLOPs over peak, latency launches times the
launch floor.

    lower     everything overlaps, at the full ceilings:   max(Σ memory, Σ compute)
    expected  memory and compute overlap within a step, at the expected efficiencies; launches add up
    upper     nothing overlaps, at the lower efficiencies

The bound pair follows the "How to scale your model" book's roofline chapter; the efficiencies come from the
hardware profile, with their sources.
"""

from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.shape import DType
from sparq_roofline import paper
from sparq_roofline.frozen import frozen
from sparq_roofline.interval import Bound, Evidence, Interval
from sparq_roofline.steps import Traffic
from sparq_roofline.traffic import dense_traffic, sparq_traffic

BOUNDS: tuple[Bound, ...] = ("memory", "compute", "latency")
# Writing the new token: part of a decode step, left out where the attention operator alone is timed.
APPEND_STEPS = ("append",)


@frozen
class StepTime:
    """Expected time of one step and the term that sets it."""

    name: str
    time_s: float
    read_bytes: float
    write_bytes: float
    flops: float
    bound: Bound


@frozen
class TimePrediction:
    """Predicted time of one attention step of one implementation, with what it rests on.

    Attributes:
        time_s: lower, expected and upper time.
        bound: the term with the largest share of the expected time.
        evidence: ``calibrated`` on this device, from its ``measured`` ceilings, or from a ``datasheet``.
        extrapolated: sizes outside what a calibration saw; the interval is wider for them.
    """

    read_bytes: float
    write_bytes: float
    flops: float
    time_s: Interval
    bound: Bound
    evidence: Evidence
    steps: tuple[StepTime, ...]
    extrapolated: tuple[str, ...] = ()


@frozen
class PaperCounts:
    """The paper's element counts for the same S, d, r and k."""

    dense_elements_per_head: int
    sparq_elements_per_head: int
    transfer_ratio: float


@frozen
class Prediction:
    """Dense beside SparQ on one device; ``sparq``, ``speedup`` and ``paper`` are None without a config."""

    hardware: str
    shape: AttentionShape
    config: SparqConfig | None
    dense: TimePrediction
    sparq: TimePrediction | None
    speedup: Interval | None
    paper: PaperCounts | None

    @property
    def bound(self) -> Bound:
        """What limits the configuration asked for: SparQ's bound, or dense's without a config."""
        return (self.sparq or self.dense).bound


@frozen
class Ceilings:
    """A hardware profile's numbers as the time model uses them, for one element type.

    Attributes:
        stream, gather, compute: efficiencies as (lower, expected) fractions of the ceiling.
    """

    bandwidth_bytes_per_s: float
    peak_flop_per_s: float
    launch_latency_s: float
    sector_bytes: int
    stream: tuple[float, float]
    gather: tuple[float, float]
    compute: tuple[float, float]
    evidence: Evidence

    @classmethod
    def of(cls, hardware: HardwareProfile, dtype: DType) -> "Ceilings":
        """The ceilings of a device for one element type; found once for a profile, which cannot change."""
        key = (id(hardware), dtype)
        known = _CEILINGS.get(key)
        if known is not None and known[0] is hardware:
            return known[1]
        bandwidth = hardware.memory_bandwidth_bytes_per_s
        efficiency = hardware.efficiency
        ceilings = cls(
            bandwidth_bytes_per_s=bandwidth.value,
            peak_flop_per_s=hardware.peak_for(dtype).value,
            launch_latency_s=hardware.launch_latency_s.value,
            sector_bytes=int(hardware.sector_bytes.value),
            stream=(efficiency.stream.lower, efficiency.stream.expected),
            gather=(efficiency.gather.lower, efficiency.gather.expected),
            compute=(efficiency.compute.lower, efficiency.compute.expected),
            evidence="measured" if bandwidth.kind == "measured" else "datasheet",
        )
        if len(_CEILINGS) >= LARGEST_CACHE:
            _CEILINGS.clear()
        _CEILINGS[key] = (hardware, ceilings)
        return ceilings


# By the profile's address, which the entry keeps from being used for another.
_CEILINGS: dict[tuple[int, str], tuple[HardwareProfile, Ceilings]] = {}
LARGEST_CACHE = 256


def predict(
    hardware: HardwareProfile,
    shape: AttentionShape,
    config: SparqConfig | None,
    *,
    include_append: bool = True,
) -> Prediction:
    """Predict dense attention, and SparQ with ``config``, on one device.

    Args:
        hardware: the device.
        shape: the decode step.
        config: SparQ settings; None predicts dense alone.
        include_append: count writing the new token's K, V (and Kᵀ, mean) into the cache. A benchmark of the
            attention operator alone leaves it out.

    Raises:
        ConfigError: rank above head_dim.
    """
    ceilings = Ceilings.of(hardware, shape.dtype)
    dense_moves = dense_traffic(shape)
    if not include_append:
        dense_moves = dense_moves.without(APPEND_STEPS)
    dense = predict_time(dense_moves, ceilings)
    if config is None:
        return Prediction(hardware.name, shape, None, dense, None, None, None)
    sparq_moves = sparq_traffic(shape, config, sector_bytes=ceilings.sector_bytes)
    if not include_append:
        sparq_moves = sparq_moves.without(APPEND_STEPS)
    sparq = predict_time(sparq_moves, ceilings)
    counts = (shape.seq_len, shape.head_dim)
    return Prediction(
        hardware.name,
        shape,
        config,
        dense,
        sparq,
        speedup_of(dense, sparq),
        PaperCounts(
            paper.dense_elements_per_head(*counts),
            paper.sparq_elements_per_head(*counts, config.rank, config.top_k),
            paper.transfer_ratio(*counts, config.rank, config.top_k),
        ),
    )


def predict_time(traffic: Traffic, ceilings: Ceilings) -> TimePrediction:
    """Time of some steps under a device's ceilings; see the module's text for the three numbers."""
    byte_s, flop_s, launch_s = (
        1 / ceilings.bandwidth_bytes_per_s,
        1 / ceilings.peak_flop_per_s,
        ceilings.launch_latency_s,
    )
    low, mid = ceilings.stream
    stream_low_s, stream_mid_s = byte_s / low, byte_s / mid
    low, mid = ceilings.gather
    gather_low_s, gather_mid_s = byte_s / low, byte_s / mid
    low, mid = ceilings.compute
    flop_low_s, flop_mid_s = flop_s / low, flop_s / mid
    steps = []
    read_bytes: float = 0
    write_bytes: float = 0
    flops: float = 0
    memory_s = compute_s = latency_s = upper_s = 0.0  # memory and compute: of the steps that each of them bounds
    for name, step_read_bytes, step_write_bytes, step_flops, access, _, launches, _, _ in traffic.steps:
        moved_bytes = step_read_bytes + step_write_bytes
        if access == "gather":
            step_memory_s = moved_bytes * gather_mid_s
            upper_s += moved_bytes * gather_low_s + step_flops * flop_low_s
        else:
            step_memory_s = moved_bytes * stream_mid_s
            upper_s += moved_bytes * stream_low_s + step_flops * flop_low_s
        step_compute_s = step_flops * flop_mid_s
        step_latency_s = launches * launch_s
        bound: Bound
        if step_memory_s >= step_compute_s:
            busy_s, bound = step_memory_s, "memory"
            memory_s += busy_s
        else:
            busy_s, bound = step_compute_s, "compute"
            compute_s += busy_s
        if step_latency_s > busy_s:
            bound = "latency"
        steps.append(StepTime(name, busy_s + step_latency_s, step_read_bytes, step_write_bytes, step_flops, bound))
        read_bytes += step_read_bytes
        write_bytes += step_write_bytes
        flops += step_flops
        latency_s += step_latency_s
    all_memory_s, all_compute_s = (read_bytes + write_bytes) * byte_s, flops * flop_s
    return TimePrediction(
        read_bytes,
        write_bytes,
        flops,
        Interval(
            all_memory_s if all_memory_s > all_compute_s else all_compute_s,
            memory_s + compute_s + latency_s,
            upper_s + latency_s,
        ),
        largest_share(memory_s, compute_s, latency_s),
        ceilings.evidence,
        tuple(steps),
    )


def speedup_of(dense: TimePrediction, sparq: TimePrediction) -> Interval:
    """Dense over SparQ time: 90 % intervals of calibrated times give another, bounds are set at their worst."""
    if dense.evidence == sparq.evidence == "calibrated":
        return dense.time_s.over_independent(sparq.time_s)
    return dense.time_s.over(sparq.time_s)


def largest_share(memory_s: float, compute_s: float, latency_s: float) -> Bound:
    """The term that sets a time: its largest part."""
    if memory_s >= compute_s and memory_s >= latency_s:
        return "memory"
    return "compute" if compute_s >= latency_s else "latency"
