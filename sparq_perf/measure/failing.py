"""Which errors are a measurement that failed, and not a defect."""

import torch


def out_of_memory(error: BaseException) -> str | None:
    """Why memory ran out, in one line; None where an error is of another kind.

    Host and device fail differently: Python's MemoryError, torch's own error for a GPU, and plain RuntimeErrors from
    torch's CPU allocator and from CUDA calls outside the allocator.
    """
    text = str(error)
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    told = isinstance(error, RuntimeError) and ("allocate memory" in text or "out of memory" in text)
    if not known and not told:
        return None
    return f"out of memory: {text.splitlines()[0] if text else 'no detail'}"
