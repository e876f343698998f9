"""Time of an attention step on a device: a roofline with a bound pair and an expected value.

For each step, memory time is bytes over bandwidth, compute time FLOPs over peak, latency launches times the
launch floor.

    lower     everything overlaps, at the full ceilings:   max(Σ memory, Σ compute)
    expected  memory and compute overlap within a step, at the expected efficiencies; launches add up
    upper     nothing overlaps, at the lower efficiencies

The bound pair follows the "How to scale your model" book's roofline chapter; the efficiencies come from the
hardware profile, with their sources.
"""

from dataclasses import dataclass

from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.shape import DType
from sparq_roofline import paper
from sparq_roofline.interval import Bound, Evidence, Interval
from sparq_roofline.steps import Traffic
from sparq_roofline.traffic import dense_traffic, sparq_traffic

BOUNDS: tuple[Bound, ...] = ("memory", "compute", "latency")
# Writing the new token: part of a decode step, left out where the attention operator alone is timed.
APPEND_STEPS = ("append",)


@dataclass(frozen=True, slots=True)
class StepTime:
    """Expected time of one step and the term that sets it."""

    name: str
    time_s: float
    read_bytes: float
    write_bytes: float
    flops: float
    bound: Bound


@dataclass(frozen=True, slots=True)
class TimePrediction:
    """Predicted time of one attention step of one implementation, with what it rests on.

    Attributes:
        time_s: lower, expected and upper time.
        bound: the term with the largest share of the expected time.
        evidence: ``calibrated`` on this device, from its ``measured`` ceilings, or from a ``datasheet``.
    """

    read_bytes: float
    write_bytes: float
    flops: float
    time_s: Interval
    bound: Bound
    evidence: Evidence
    steps: tuple[StepTime, ...]


@dataclass(frozen=True, slots=True)
class PaperCounts:
    """The paper's element counts for the same S, d, r and k."""

    dense_elements_per_head: int
    sparq_elements_per_head: int
    transfer_ratio: float


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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
        """The ceilings of a device for one element type."""
        bandwidth = hardware.memory_bandwidth_bytes_per_s
        efficiency = hardware.efficiency
        return cls(
            bandwidth_bytes_per_s=bandwidth.value,
            peak_flop_per_s=hardware.peak_for(dtype).value,
            launch_latency_s=hardware.launch_latency_s.value,
            sector_bytes=int(hardware.sector_bytes.value),
            stream=(efficiency.stream.lower, efficiency.stream.expected),
            gather=(efficiency.gather.lower, efficiency.gather.expected),
            compute=(efficiency.compute.lower, efficiency.compute.expected),
            evidence="measured" if bandwidth.kind == "measured" else "datasheet",
        )


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
    left_out = () if include_append else APPEND_STEPS
    dense = predict_time(dense_traffic(shape).without(left_out), ceilings)
    if config is None:
        return Prediction(hardware.name, shape, None, dense, None, None, None)
    traffic = sparq_traffic(shape, config, sector_bytes=ceilings.sector_bytes)
    sparq = predict_time(traffic.without(left_out), ceilings)
    counts = (shape.seq_len, shape.head_dim)
    return Prediction(
        hardware.name,
        shape,
        config,
        dense,
        sparq,
        dense.time_s.over(sparq.time_s),
        PaperCounts(
            paper.dense_elements_per_head(*counts),
            paper.sparq_elements_per_head(*counts, config.rank, config.top_k),
            paper.transfer_ratio(*counts, config.rank, config.top_k),
        ),
    )


def predict_time(traffic: Traffic, ceilings: Ceilings) -> TimePrediction:
    """Time of some steps under a device's ceilings; see the module's text for the three numbers."""
    bandwidth, peak = ceilings.bandwidth_bytes_per_s, ceilings.peak_flop_per_s
    compute_low, compute_mid = ceilings.compute
    steps = []
    read_bytes: float = 0
    write_bytes: float = 0
    flops: float = 0
    memory_s = compute_s = latency_s = 0.0  # at the full ceilings
    expected_s = upper_s = 0.0
    shares = {"memory": 0.0, "compute": 0.0, "latency": 0.0}
    for step in traffic.steps:
        low, mid = ceilings.gather if step.access == "gather" else ceilings.stream
        step_memory_s = (step.read_bytes + step.write_bytes) / bandwidth
        step_compute_s = step.flops / peak
        step_latency_s = step.launches * ceilings.launch_latency_s
        busy_s = max(step_memory_s / mid, step_compute_s / compute_mid)
        bound: Bound = "memory" if step_memory_s / mid >= step_compute_s / compute_mid else "compute"
        shares[bound] += busy_s
        shares["latency"] += step_latency_s
        steps.append(
            StepTime(
                step.name,
                busy_s + step_latency_s,
                step.read_bytes,
                step.write_bytes,
                step.flops,
                "latency" if step_latency_s > busy_s else bound,
            )
        )
        read_bytes += step.read_bytes
        write_bytes += step.write_bytes
        flops += step.flops
        memory_s += step_memory_s
        compute_s += step_compute_s
        latency_s += step_latency_s
        expected_s += busy_s + step_latency_s
        upper_s += step_memory_s / low + step_compute_s / compute_low
    return TimePrediction(
        read_bytes,
        write_bytes,
        flops,
        Interval(max(memory_s, compute_s), expected_s, upper_s + latency_s),
        max(BOUNDS, key=shares.__getitem__),
        ceilings.evidence,
        tuple(steps),
    )
