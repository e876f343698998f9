"""Which implementations exist, where they run, and the one call that runs them."""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sparq_profiles import AttentionShape, ConfigError, SparqConfig
from sparq_roofline.steps import Traffic

if TYPE_CHECKING:
    from torch import Tensor

    from sparq_kernels.cache import KVCache


@dataclass(frozen=True, slots=True)
class Implementation:
    """One way to compute decode attention; its folder holds ``kernel.py`` and ``traffic.py``.

    Attributes:
        sparse: SparQ, or dense.
        devices: device types it runs on.
        dtypes: cache types it takes.
        interpretable: written in Triton, whose interpreter runs it on a CPU, slowly, to check or count it.
        base, variant: the implementation whose folder it shares, and what it asks of it.
        needs: the module of others that it calls, and where that comes from; None where it comes with this package.
    """

    name: str
    sparse: bool
    devices: tuple[str, ...]
    dtypes: tuple[str, ...]
    interpretable: bool = False
    base: str | None = None
    variant: str | None = None
    needs: tuple[str, str] | None = None

    @property
    def installed(self) -> bool:
        """Whether what it calls is there; nothing is imported to find out."""
        return self.needs is None or find_spec(self.needs[0]) is not None

    @property
    def folder(self) -> str:
        """Name of its package."""
        return f"sparq_kernels.{(self.base or self.name).replace('-', '_')}"

    def kernel(self) -> Callable[..., "Tensor"]:
        """Its decode function, ``(q, cache)`` for dense and ``(q, cache, config)`` for SparQ."""
        function: Callable[..., Tensor] = importlib.import_module(f"{self.folder}.kernel").decode
        return partial(function, variant=self.variant) if self.variant else function

    def traffic(self, shape: AttentionShape, config: SparqConfig | None) -> Traffic:
        """Bytes that one decode call moves; imports neither torch nor a compiler."""
        module = importlib.import_module(f"{self.folder}.traffic")
        return module.traffic(shape, config)  # type: ignore[no-any-return]

    def refusal(self, dtype: str, device: str) -> str | None:
        """Why it cannot take a cache of this type on this device; None where it can."""
        if device not in self.devices:
            mend = f" (or, with {INTERPRET}=1 set before Python starts, interpreted)" if self.interpretable else ""
            return f"runs on {', '.join(self.devices)}{mend}"
        if dtype not in self.dtypes:
            return f"takes caches of {', '.join(self.dtypes)}"
        if self.needs is not None and not self.installed:
            module, mend = self.needs
            return f"needs the module {module}, which is not installed here: {mend}"
        return None


ALL_FLOATS = ("float16", "bfloat16", "float32", "float64")
SIXTEEN_BITS = ("float16", "bfloat16")
UP_TO_32_BITS = ("float16", "bfloat16", "float32")
# Read by triton itself when a kernel is defined.
INTERPRET = "TRITON_INTERPRET"

# In order of preference: "auto" takes the first that fits.
IMPLEMENTATIONS = {
    implementation.name: implementation
    for implementation in (
        Implementation("dense-triton", sparse=False, devices=("cuda",), dtypes=UP_TO_32_BITS, interpretable=True),
        Implementation("dense-cpu", sparse=False, devices=("cpu",), dtypes=("float32",)),
        Implementation("dense-sdpa", sparse=False, devices=("cpu", "cuda"), dtypes=ALL_FLOATS),
        *(
            Implementation(
                f"dense-sdpa-{variant}",
                sparse=False,
                devices=("cuda",),
                dtypes=SIXTEEN_BITS if variant in ("flash", "cudnn") else UP_TO_32_BITS,
                base="dense-sdpa",
                variant=variant,
            )
            for variant in ("flash", "cudnn", "efficient", "gqa")
        ),
        # What a user would otherwise pick. None comes with this package: each is measured where it is installed.
        Implementation(
            "dense-flash-attn",
            sparse=False,
            devices=("cuda",),
            dtypes=SIXTEEN_BITS,
            needs=("flash_attn", "pip install flash-attn"),
        ),
        Implementation(
            "dense-flash-attn-3",
            sparse=False,
            devices=("cuda",),
            dtypes=SIXTEEN_BITS,
            base="dense-flash-attn",
            variant="3",
            needs=("flash_attn_interface", "build it from the folder hopper of flash-attention"),
        ),
        *(
            Implementation(
                name,
                sparse=False,
                devices=("cuda",),
                dtypes=SIXTEEN_BITS,
                base="dense-flashinfer",
                variant=variant,
                needs=("flashinfer", "pip install flashinfer-python"),
            )
            for name, variant in (("dense-flashinfer", None), ("dense-flashinfer-tensor-cores", "tensor-cores"))
        ),
        Implementation("sparq-triton", sparse=True, devices=("cuda",), dtypes=UP_TO_32_BITS, interpretable=True),
        Implementation("sparq-cpu", sparse=True, devices=("cpu",), dtypes=("float32",)),
        Implementation("sparq-torch", sparse=True, devices=("cpu", "cuda"), dtypes=ALL_FLOATS),
    )
}


def is_interpreted() -> bool:
    """Whether Triton kernels defined in this process are interpreted on the CPU."""
    return os.environ.get(INTERPRET) == "1"


def implementations(device: str = "cpu") -> list[str]:
    """Names of the implementations that run on a type of device and are installed, the preferred first."""
    return [name for name, entry in IMPLEMENTATIONS.items() if device in entry.devices and entry.installed]


def find_implementation(name: str) -> Implementation:
    """An implementation by its name.

    Raises:
        ConfigError: unknown name.
    """
    if name not in IMPLEMENTATIONS:
        raise ConfigError(f"unknown implementation {name!r}: known: {', '.join(IMPLEMENTATIONS)}")
    return IMPLEMENTATIONS[name]


def decode(q: "Tensor", cache: "KVCache", config: SparqConfig | None = None, implementation: str = "auto") -> "Tensor":
    """Attention of one new query per sequence over a KV cache that already holds its key and value.

    Args:
        q: [batch, n_heads, head_dim], of the cache's type and device.
        cache: keys and values so far. Its own layout decides what is read; ``config.k_layout`` is what a
            prediction assumes.
        config: SparQ settings; None computes dense attention.
        implementation: a name from `implementations`, or ``auto`` for the first that fits.

    Returns:
        [batch, n_heads, head_dim]. A ``top_k`` at or above seq_len computes dense attention.

    Raises:
        ConfigError: shapes that do not fit, rank above head_dim, an unknown implementation, or one that does not
            support this request; the message says what it supports.
    """
    _check_query(q, cache)
    # Inference only: no gradient flows through the compiled kernels.
    return bind(cache, config, implementation)(q.detach().contiguous())


def bind(
    cache: "KVCache", config: SparqConfig | None = None, implementation: str = "auto"
) -> Callable[["Tensor"], "Tensor"]:
    """`decode` with all decided that does not change from token to token, which costs 2 µs a call otherwise.

    Returns:
        Takes a query as `decode` does, which must be contiguous and fit the cache: it is not checked again.

    Raises:
        ConfigError: as `decode`.
    """
    if config is not None:
        config.check_fits(cache.head_dim)
    dtype, device = str(cache.dtype).removeprefix("torch."), cache.device.type
    kernel = _choose(implementation, config is not None, dtype, device).kernel()
    return (lambda q: kernel(q, cache)) if config is None else (lambda q: kernel(q, cache, config))


def _choose(name: str, sparse: bool, dtype: str, device: str) -> Implementation:
    if name == "auto":
        for entry in IMPLEMENTATIONS.values():
            if entry.sparse == sparse and entry.refusal(dtype, device) is None:
                return entry
        raise ConfigError(f"decode: no implementation takes a {dtype} cache on {device}")
    entry = find_implementation(name)
    if entry.sparse != sparse:
        mend = "give a SparqConfig" if entry.sparse else "leave config out"
        raise ConfigError(f"decode: {name} computes {'SparQ' if entry.sparse else 'dense'} attention: {mend}")
    interpreted = entry.interpretable and device == "cpu" and is_interpreted()
    refusal = entry.refusal(dtype, "cuda" if interpreted else device)
    if refusal is not None:
        raise ConfigError(f"decode: {name} {refusal}; the cache is {dtype} on {device}")
    return entry


def _check_query(q: "Tensor", cache: "KVCache") -> None:
    if q.ndim != 3 or q.shape[0] != cache.batch or q.shape[2] != cache.head_dim:
        raise ConfigError(
            f"decode: q is {tuple(q.shape)}: it must be [batch, n_heads, head_dim] = "
            f"[{cache.batch}, n_heads, {cache.head_dim}]"
        )
    if q.shape[1] % cache.n_kv_heads:
        raise ConfigError(
            f"decode: q has {q.shape[1]} heads and the cache {cache.n_kv_heads}: "
            "n_heads must be a multiple of n_kv_heads"
        )
    if q.dtype != cache.dtype or q.device.type != cache.device.type:
        raise ConfigError(
            f"decode: q is {q.dtype} on {q.device} and the cache {cache.dtype} on {cache.device}: they must be equal"
        )
    if cache.seq_len < 1:
        raise ConfigError("decode: the cache is empty: append the new token's key and value first")
