"""Runs what is to be counted, on CPU tensors in Triton's interpreter: decode calls, and appending a token."""

import importlib
from collections.abc import Callable
from typing import Any

import torch

from sparq_kernels.gpu.tiling import Tiling
from sparq_kernels.registry import Implementation, find_implementation
from sparq_perf.measure.countable import APPEND
from sparq_perf.measure.counted_traffic import Case, CountedStep, compare
from sparq_perf.measure.counting import counting
from sparq_perf.measure.inputs import Queries, build_cache
from sparq_profiles import ConfigError, SparqPerfError
from sparq_roofline.steps import Traffic


def count(name: str, case: Case, tiling: Tiling, seed: int = 0) -> list[CountedStep]:
    """Count one decode call, or one append, step by step.

    Raises:
        SparqPerfError: a type of cache that it cannot take, no Triton kernel launched, or not interpreted.
        ConfigError: an unknown name.
    """
    return (
        count_append(case, tiling, seed)
        if name == APPEND
        else count_decode(find_implementation(name), case, tiling, seed)
    )


def count_decode(implementation: Implementation, case: Case, tiling: Tiling, seed: int = 0) -> list[CountedStep]:
    """Count one decode call of a Triton implementation; errors as for `count`."""
    refusal = implementation.refusal(case.shape.dtype, implementation.devices[0])
    if refusal is not None:
        raise ConfigError(f"counting: {implementation.name} {refusal}; dtype is {case.shape.dtype}")
    config = case.config if implementation.sparse else None
    cache = build_cache(case.shape, case.config.k_layout, seed)
    q = Queries(case.shape, seed).draw()
    decode: Callable[..., Any] = implementation.kernel()
    with counting() as launches:
        decode(q, cache, *(() if config is None else (config,)), tiling=tiling)
    if not launches:
        raise SparqPerfError(f"counting: {implementation.name} launched no Triton kernel: there is nothing to count")
    # Not through the registry, whose formulas are for the default tiling: these must be of the launches made.
    formulas = importlib.import_module(f"{implementation.folder}.traffic")
    return compare(implementation.name, case, config, tiling, launches, formulas.traffic(case.shape, config, tiling))


def count_append(case: Case, tiling: Tiling, seed: int = 0) -> list[CountedStep]:
    """Count writing the last of ``seq_len`` tokens into the cache; with two copies it may complete a tile of Kᵀ."""
    from sparq_kernels.gpu.append import append_token
    from sparq_kernels.gpu.tiling import TRANSPOSED_TILE
    from sparq_kernels.gpu.traffic import append_step

    shape, k_layout = case.shape, case.config.k_layout
    if shape.dtype == "float64":
        raise ConfigError(f"counting: {APPEND} takes caches of up to 32 bits; dtype is {shape.dtype}")
    cache = build_cache(shape, k_layout, seed)
    # The state one token earlier, had every token been appended.
    cache.seq_len -= 1
    cache.transposed_len = cache.seq_len
    if k_layout == "two_copies":
        cache.transposed_len -= cache.seq_len % TRANSPOSED_TILE
    token = torch.ones(shape.batch, shape.n_kv_heads, shape.head_dim, dtype=cache.dtype)
    with counting() as launches:
        append_token(cache, token, token.clone())
    analytic = Traffic((append_step(shape, k_layout, flush=shape.seq_len % TRANSPOSED_TILE == 0),))
    return compare(APPEND, case, None, tiling, launches, analytic)
