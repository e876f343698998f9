"""Which tiling a device gets."""

from functools import cache

import torch

from sparq_kernels.gpu.tiling import DEFAULT, Tiling, tiling_for


def tiling_of(device: torch.device) -> Tiling:
    """The tiling for a device's architecture and number of compute units; the default where there is no device."""
    if device.type != "cuda":
        return DEFAULT
    return _tiling_of_gpu(torch.cuda.current_device() if device.index is None else device.index)


@cache
def _tiling_of_gpu(index: int) -> Tiling:
    properties = torch.cuda.get_device_properties(index)
    # AMD's name carries features behind a colon: gfx942:sramecc+:xnack-
    architecture = getattr(properties, "gcnArchName", "").split(":")[0] if torch.version.hip else ""
    return tiling_for(
        architecture or f"sm_{properties.major}{properties.minor}",
        properties.multi_processor_count,
    )
