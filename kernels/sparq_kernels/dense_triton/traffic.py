"""Bytes that `dense_triton.kernel` moves: K and V once, and the parts of a split sequence."""

from sparq_kernels.gpu.tiling import DEFAULT, Tiling
from sparq_kernels.gpu.traffic import attend_step
from sparq_profiles import AttentionShape, SparqConfig
from sparq_roofline.steps import Traffic


def traffic(shape: AttentionShape, config: SparqConfig | None = None, tiling: Tiling | None = None) -> Traffic:
    """The one step of a decode call, ``attend``; ``config`` is ignored."""
    return Traffic((attend_step("attend", shape, None, tiling or DEFAULT),))
