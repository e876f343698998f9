"""Bytes that scaled_dot_product_attention moves: K and V once (its CPU and GPU kernels are flash kernels)."""

from sparq_profiles import AttentionShape, SparqConfig
from sparq_roofline.steps import Traffic
from sparq_roofline.traffic import dense_traffic


def traffic(shape: AttentionShape, config: SparqConfig | None = None) -> Traffic:
    """Steps of one decode call (``attend``; appending is the cache's); ``config`` is ignored."""
    return dense_traffic(shape).without(["append"])
