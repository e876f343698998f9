"""How kernels of other packages refuse: what they raise becomes a ConfigError, but for what is no refusal.

A package that is found may still not load (built for another torch), compile its kernels at first use, or have another
signature than the one that is called here. None of that may end a run that measures others beside it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sparq_kernels.cache import KVCache
from sparq_profiles import ConfigError


@contextmanager
def refusing(implementation: str, cache: KVCache) -> Iterator[None]:
    """Around loading another package and calling it.

    Raises:
        ConfigError: it failed; the message has the error's kind and first line.
        MemoryError, torch.OutOfMemoryError, RuntimeError: as raised, where memory ran out or the device itself failed.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        # Nothing that is measured after that can be trusted.
        if "cuda error" in str(error).lower():
            raise
        told = ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
        raise ConfigError(
            f"{implementation}: refuses {cache.dtype}, head_dim {cache.head_dim} on {cache.device.type}: {told}"
        ) from error


def check_plain(implementation: str, cache: KVCache) -> None:
    """ConfigError where a cache is none that these kernels read in place: K by rows, and no padding."""
    if cache.is_padded:
        raise ConfigError(f"{implementation}: takes no padded cache: use dense-triton or dense-sdpa")
    if cache.keys is None:
        raise ConfigError(f"{implementation}: reads K row-major, and the cache is {cache.k_layout}: use dense-triton")
