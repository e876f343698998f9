"""Dense decode through FlashInfer's paged kernels: a baseline that serving engines use.

FlashInfer plans first, on the host: how the sequences are split among programs. An engine plans once a token and
attends once a layer, so planning is done once for each length of a cache here, outside what is timed.
"""

import importlib
from dataclasses import dataclass
from functools import cache as once
from math import gcd
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from sparq_kernels.cache import KVCache
from sparq_kernels.profiling import step_range
from sparq_kernels.third_party import check_plain, refusing

# As FlashInfer recommends; partial results of split sequences lie there. Its first use wants zeros.
WORKSPACE_BYTES = 128 * 2**20
# Tokens in a page, where the cache's size allows: what engines use.
PAGE_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Planned:
    """FlashInfer's plan for one cache, as long as that holds so many tokens.

    Attributes:
        wrapper: FlashInfer's object that holds the plan and runs it.
        pages: K and V as it reads them.
        made_for: what the plan depends on.
    """

    wrapper: Any
    pages: tuple[Tensor, Tensor]
    made_for: tuple[int, ...]


_plans: WeakKeyDictionary[KVCache, dict[str | None, Planned]] = WeakKeyDictionary()


def decode(q: Tensor, cache: KVCache, *, variant: str | None = None) -> Tensor:
    """Dense attention of q [batch, n_heads, head_dim] over the cache; returns y like q.

    Args:
        q: of the cache's type.
        cache: keys and values.
        variant: ``tensor-cores``, or None for FlashInfer's kernel without.

    Raises:
        ConfigError: a padded cache, one without row-major K, or what FlashInfer has no kernel for.
    """
    name = "dense-flashinfer" + (f"-{variant}" if variant else "")
    check_plain(name, cache)
    with refusing(name, cache):
        planned = _plan(q, cache, variant)
        with step_range("attend"):
            y: Tensor = planned.wrapper.run(q, planned.pages)
    return y


def _plan(q: Tensor, cache: KVCache, variant: str | None) -> Planned:
    keys, values = cache.any_keys, cache.values
    n_heads = q.shape[1]
    made_for = (n_heads, cache.seq_len, keys.data_ptr(), values.data_ptr())
    plans = _plans.setdefault(cache, {})
    if variant in plans and plans[variant].made_for == made_for:
        return plans[variant]
    flashinfer = importlib.import_module("flashinfer")
    wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper(
        _workspace(cache.device), "HND", use_tensor_cores=variant is not None
    )
    table = PageTable.of(keys)
    wrapper.plan(
        *(part.to(cache.device) for part in (table.starts, table.indices, table.last_page_tokens)),
        n_heads,
        cache.n_kv_heads,
        cache.head_dim,
        table.page_tokens,
        q_data_type=cache.dtype,
        kv_data_type=cache.dtype,
    )
    plans[variant] = Planned(wrapper, (table.pages(keys), table.pages(values)), made_for)
    return plans[variant]


@once
def _workspace(device: torch.device) -> Tensor:
    return torch.zeros(WORKSPACE_BYTES, dtype=torch.uint8, device=device)


@dataclass(frozen=True, slots=True)
class PageTable:
    """A cache of whole sequences seen as pages, in place.

    A page begins every ``page_tokens`` rows of the memory and reaches from head to head at the cache's own stride: one
    page holds the same tokens of all heads of a sequence.

    Attributes:
        page_tokens: tokens in a page.
        starts: int32 [batch + 1], where each sequence begins in ``indices``.
        indices: int32 [pages in use], by sequence.
        last_page_tokens: int32 [batch], tokens in each sequence's last page.
    """

    page_tokens: int
    starts: Tensor
    indices: Tensor
    last_page_tokens: Tensor

    @classmethod
    def of(cls, keys: Tensor) -> "PageTable":
        """The table of K or V [batch, n_kv_heads, seq_len, head_dim], whose rows follow each other in memory."""
        batch, _, seq_len, head_dim = keys.shape
        rows_apart = keys.stride(0) // head_dim  # from sequence to sequence
        page = gcd(PAGE_TOKENS, seq_len, rows_apart if batch > 1 else 0)
        per_sequence = seq_len // page
        first = torch.arange(batch) * (rows_apart // page)
        return cls(
            page_tokens=page,
            starts=(torch.arange(batch + 1) * per_sequence).to(torch.int32),
            indices=(first[:, None] + torch.arange(per_sequence)).flatten().to(torch.int32),
            last_page_tokens=torch.full((batch,), page, dtype=torch.int32),
        )

    def pages(self, tensor: Tensor) -> Tensor:
        """K or V as [pages, n_kv_heads, page_tokens, head_dim]; nothing is copied."""
        _, n_kv_heads, _, head_dim = tensor.shape
        n_pages = int(self.indices[-1]) + 1
        strides = (self.page_tokens * head_dim, tensor.stride(1), head_dim, 1)
        return tensor.as_strided((n_pages, n_kv_heads, self.page_tokens, head_dim), strides, tensor.storage_offset())
