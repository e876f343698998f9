"""Bytes that dense decode moves on a CPU: K and V once, for the CPU's kernels read each line once."""

from sparq_profiles import AttentionShape, SparqConfig
from sparq_roofline.steps import Traffic
from sparq_roofline.traffic import dense_traffic


def traffic(shape: AttentionShape, config: SparqConfig | None = None) -> Traffic:
    """Steps of one decode call (``attend``; appending is the cache's); ``config`` is ignored."""
    return dense_traffic(shape).without(["append"])
