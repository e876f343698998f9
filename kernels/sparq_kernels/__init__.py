"""Dense and SparQ decode attention: a torch reference and the implementations measured against it."""

from typing import TYPE_CHECKING, Any

from sparq_kernels.registry import (
    IMPLEMENTATIONS,
    Implementation,
    bind,
    decode,
    find_implementation,
    implementations,
)

if TYPE_CHECKING:
    from sparq_kernels.cache import KVCache

__all__ = [
    "IMPLEMENTATIONS",
    "Implementation",
    "KVCache",
    "bind",
    "decode",
    "find_implementation",
    "implementations",
]


def __getattr__(name: str) -> Any:
    # On first use: the cache needs torch, which reading an implementation's traffic does not.
    if name == "KVCache":
        from sparq_kernels.cache import KVCache

        return KVCache
    raise AttributeError(f"module 'sparq_kernels' has no attribute {name!r}")
