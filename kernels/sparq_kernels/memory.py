"""Where a KV cache's memory comes from."""

import numpy as np
import torch
from torch import Tensor

CACHE_LINE_BYTES = 64


def allocate(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """An uninitialised tensor; on a CPU from numpy, which asks the kernel for huge pages.

    A gather touches a page a row, so 4 KiB pages cost a TLB miss each; torch's CPU allocator does not ask for huge
    ones unless THP_MEM_ALLOC_ENABLE is set before it starts.
    """
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(size + CACHE_LINE_BYTES, dtype=np.uint8)
    offset = -raw.ctypes.data % CACHE_LINE_BYTES
    return torch.from_numpy(raw[offset : offset + size]).view(dtype).view(shape)


def padded_stride(length: int, element_bytes: int) -> int:
    """Elements from one Kᵀ row to the next: at least ``length``, whole cache lines, an odd number of them.

    Rows a multiple of 4 KiB apart share one L1 set, and a score pass reads many rows side by side: with S a
    power of two, 16 of them would evict each other from a 12-way set. An odd number of lines spreads them.
    """
    per_line = max(1, CACHE_LINE_BYTES // element_bytes)
    lines = -(-length // per_line)
    return (lines + 1 - lines % 2) * per_line
