"""How kernels of other packages refuse: what they raise becomes a ConfigError, but for what is no refusal."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sparq_kernels.cache import KVCache
from sparq_profiles import ConfigError


@contextmanager
def refusing(implementation: str, cache: KVCache) -> Iterator[None]:
    """Calls of another package: where one has no kernel for this cache, it says so by a RuntimeError or ValueError.

    Raises:
        ConfigError: it refused; the message has its first line.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError) as error:
        # The device itself failed: nothing that is measured after that can be trusted.
        if "CUDA error" in str(error) or isinstance(error, ConfigError):
            raise
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{implementation}: refuses {cache.dtype}, head_dim {cache.head_dim} on {cache.device.type}: {told}"
        ) from error


def check_plain(implementation: str, cache: KVCache) -> None:
    """ConfigError where a cache is none that these kernels read in place: K by rows, and no padding."""
    if cache.is_padded:
        raise ConfigError(f"{implementation}: takes no padded cache: use dense-triton or dense-sdpa")
    if cache.keys is None:
        raise ConfigError(f"{implementation}: reads K row-major, and the cache is {cache.k_layout}: use dense-triton")
