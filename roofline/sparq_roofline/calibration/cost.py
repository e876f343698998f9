"""What a call's steps ask of a device, and what that costs: the physical half of the time model.

    device = launches · launch_s
           + pieces · piece_s
           + (stream^c + chain^c)^(1/c)
           + gathered bytes / bandwidth · gather_slowdown · F_gather
           + elements · element_s · F_select
    stream = (streamed bytes / bandwidth · stream_slowdown + FLOPs / peak · compute_share) · F_stream
    chain  = positions · position_s · F_position
    time   = (host^p + device^p)^(1/p),  host = host_s · F_host,  p = overlap

`host_s` is the floor of a call whose launches the host cannot make faster; it overlaps the device's work: p = 1 adds
the two, a large p takes the longer one. `position_s` is what one position costs a head on its own, while the other
heads go through theirs: until there are heads enough to fill the device, the chain is the longer one, and bandwidth
grows with the heads in flight. The F are factors near 1 that vary smoothly with the size of the step (`factors`).
Slowdowns are at least 1 and costs at least 0, so more bytes never cost less.

The arithmetic is the same for floats and for numpy arrays.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sparq_roofline.steps import StepTraffic

# A float, or a numpy array of them.
Amount = Any


class Amounts(NamedTuple):
    """What one call asks of a device.

    Attributes:
        positions: tokens that one head goes through one after another, when nothing else hides it.
        rest: as in `StepTraffic`, summed over the steps.
    """

    launches: Amount
    stream_bytes: Amount
    gather_bytes: Amount
    elements: Amount
    flops: Amount
    pieces: Amount
    positions: Amount


# The cost that each amount is multiplied by, in the order of `Amounts`, and the least that it can be.
LEAST = {
    "launch_s": 0.0,
    "stream_slowdown": 1.0,
    "gather_slowdown": 1.0,
    "element_s": 0.0,
    "compute_share": 0.0,
    "piece_s": 0.0,
    "position_s": 0.0,
}
# The factor that varies each cost; launches and pieces cost the same at every size.
GROUP_OF = {
    "stream_slowdown": "stream",
    "compute_share": "stream",
    "gather_slowdown": "gather",
    "element_s": "select",
    "position_s": "position",
}


def amounts(steps: Iterable[StepTraffic], seq_len: Amount) -> Amounts:
    """Sum what the steps ask for; see the module's text."""
    launches: Amount = 0
    stream_bytes: Amount = 0
    gather_bytes: Amount = 0
    elements: Amount = 0
    flops: Amount = 0
    pieces: Amount = 0
    for step in steps:
        launches += step.launches
        if step.access == "gather":
            gather_bytes = gather_bytes + step.read_bytes + step.write_bytes
        else:
            stream_bytes = stream_bytes + step.read_bytes + step.write_bytes
        elements = elements + step.elements
        flops = flops + step.flops
        pieces = pieces + step.pieces
    return Amounts(launches, stream_bytes, gather_bytes, elements, flops, pieces, seq_len)


# How sharply the device passes from waiting for each head's chain to being full (c): between adding the two (1) and
# the longer alone.
CROWDING = 2.0


def beside(stream_s: Amount, chain_s: Amount) -> Amount:
    """Streaming and each head's chain together."""
    return (stream_s**CROWDING + chain_s**CROWDING) ** (1.0 / CROWDING)


def overlapped(host_s: Amount, device_s: Amount, overlap: float) -> Amount:
    """Host and device time together, with ``overlap`` from 1 (they add up) upwards (the longer one counts)."""
    return device_s * (1.0 + (host_s / device_s) ** overlap) ** (1.0 / overlap)
