"""Time of a call by a calibrated model: what it costs, never below the roofline, and how far off that may be."""

from itertools import pairwise
from math import exp, log, log2, sqrt

from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.hardware import HardwareProfile
from sparq_roofline.calibration.cost import beside, overlapped
from sparq_roofline.calibration.factors import along_4, cell, corrections
from sparq_roofline.calibration.model import TimeModel
from sparq_roofline.calibration.place import Place, octaves_beyond
from sparq_roofline.interval import Interval
from sparq_roofline.prediction import Ceilings, StepTime, TimePrediction, largest_share
from sparq_roofline.steps import Traffic

# Half a 90 % interval, in standard deviations.
NINETY_PERCENT = 1.645
# Standard deviation of log time that each octave beyond what was seen adds: fitted to the published GPU sweep without
# its longest sequences, largest batches, ranks or numbers of keys, times there were off by 5 to 15 % an octave.
SPREAD_AN_OCTAVE = 0.12
# Calibrations see cold caches. Warm ones, predicted from the bandwidth at their footprint, were off on two Xeon threads
# as if they were this many octaves beyond.
WARM_OCTAVES = 2.0


def bandwidth_at(hardware: HardwareProfile, footprint_bytes: float | None) -> float:
    """Read bandwidth for data of one size, bytes/s; None asks for DRAM's.

    Interpolates the measured curve in log size; below and above it, its ends hold.
    """
    curve = hardware.bandwidth_by_footprint
    if footprint_bytes is None or not curve:
        return hardware.memory_bandwidth_bytes_per_s.value
    if footprint_bytes <= curve[0].footprint_bytes:
        return curve[0].read_bandwidth_bytes_per_s
    for below, above in pairwise(curve):
        if footprint_bytes <= above.footprint_bytes:
            low, high = log(below.footprint_bytes), log(above.footprint_bytes)
            share = (log(footprint_bytes) - low) / (high - low)
            return below.read_bandwidth_bytes_per_s * (1 - share) + above.read_bandwidth_bytes_per_s * share
    return curve[-1].read_bandwidth_bytes_per_s


def predict_calibrated(
    traffic: Traffic,
    shape: AttentionShape,
    config: SparqConfig | None,
    hardware: HardwareProfile,
    model: TimeModel,
    *,
    footprint_bytes: float | None = None,
    unseen: tuple[str, ...] = (),
) -> TimePrediction:
    """Time of an implementation's steps by its fitted model, with a 90 % interval.

    A step's time is what it costs the device, stretched so that the steps add up to the whole.

    Args:
        traffic: the implementation's own traffic for ``shape`` and ``config``.
        shape, config: what is computed; where it lies among what the calibration saw.
        hardware: the device, with the ceilings that the model was fitted under.
        model: fitted to this implementation on this device.
        footprint_bytes: size of the data read over and over where caches are warm; None where they are cold.
        unseen: what else differs from all that the calibration saw; each widens the interval like an octave.
    """
    ceilings = Ceilings.of(hardware, shape.dtype)
    warm = footprint_bytes is not None
    byte_s = 1 / (bandwidth_at(hardware, footprint_bytes) if warm else ceilings.bandwidth_bytes_per_s)
    flop_s = 1 / ceilings.peak_flop_per_s
    place, factors = Place.of(shape, config), model.factors
    axes = factors.axes
    cells = [cell(axis, log2(size)) for axis, size in zip(axes, place, strict=False)]
    factor = corrections(factors, axes, cells, exp)
    stream_s = byte_s * model.stream_slowdown * factor.stream
    gather_s = byte_s * model.gather_slowdown * factor.gather
    element_s, arithmetic_s = model.element_s * factor.select, flop_s * model.compute_share * factor.stream
    chain_s = shape.seq_len * model.position_s * factor.position

    terms = []
    read_bytes: float = 0
    write_bytes: float = 0
    flops: float = 0
    memory_s = compute_s = latency_s = streaming_s = 0.0
    launch_s, piece_s = model.launch_s, model.piece_s
    for _, step_read_bytes, step_write_bytes, step_flops, access, elements, launches, pieces, _ in traffic.steps:
        memory, arithmetic = step_read_bytes + step_write_bytes, step_flops * arithmetic_s
        if access == "gather":
            memory *= gather_s
            streaming_s += arithmetic
        else:
            memory *= stream_s
            streaming_s += memory + arithmetic
        compute = elements * element_s + arithmetic
        latency = launches * launch_s + pieces * piece_s
        terms.append((memory, compute, latency))
        memory_s += memory
        compute_s += compute
        latency_s += latency
        read_bytes += step_read_bytes
        write_bytes += step_write_bytes
        flops += step_flops
    # What waiting for each head's chain adds: to the first step, which goes through the positions.
    waiting_s = beside(streaming_s, chain_s) - streaming_s
    terms[0] = (*terms[0][:2], terms[0][2] + waiting_s)
    latency_s += waiting_s
    device_s = memory_s + compute_s + latency_s
    modelled_s = overlapped(model.host_s * factor.host, device_s, model.overlap)
    roofline_s = max((read_bytes + write_bytes) * byte_s, flops * flop_s)
    expected_s = max(modelled_s, roofline_s)
    stretch = expected_s / device_s
    steps = tuple(
        StepTime(
            step.name,
            (memory + compute + latency) * stretch,
            step.read_bytes,
            step.write_bytes,
            step.flops,
            largest_share(memory, compute, latency),
        )
        for step, (memory, compute, latency) in zip(traffic.steps, terms, strict=True)
    )
    beyond = octaves_beyond(place, model.ranges)
    beyond |= dict.fromkeys(unseen, 1.0)
    if warm:
        beyond["cache_state"] = WARM_OCTAVES
    spread = along_4(factors.spread, cells, axes)
    if beyond:
        spread = sqrt(spread**2 + sum((SPREAD_AN_OCTAVE * octaves) ** 2 for octaves in beyond.values()))
    width = exp(NINETY_PERCENT * spread)
    # What the host adds is latency, and so is all of it where it takes longer than the device.
    bound = largest_share(memory_s, compute_s, latency_s + modelled_s - device_s)
    return TimePrediction(
        read_bytes,
        write_bytes,
        flops,
        Interval(max(roofline_s, expected_s / width), expected_s, expected_s * width),
        "compute" if flops * flop_s > modelled_s else bound,
        "calibrated",
        steps,
        tuple(beyond),
    )
