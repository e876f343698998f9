"""A layer of a transformers cache that keeps Kᵀ and the running mean of V beside K and V."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, StaticLayer

from sparq_kernels import KVCache
from sparq_kernels.cache import MINIMUM_SPARE
from sparq_perf.llm.errors import LlmError
from sparq_profiles.shape import KLayout

# Only these hold every token's K and V as they are: a window or a quantised cache does not.
REPLACEABLE = (DynamicLayer, StaticLayer)


class SparqCacheLayer(CacheLayerMixin):  # type: ignore[misc]
    """Takes the place of a `DynamicLayer` or `StaticLayer` in its cache, from the first decode step on.

    Appending a token costs the same at any length, where a `DynamicLayer` copies the whole of K and V.

    Attributes:
        kv: K, Kᵀ, V and the mean of V.
        static_length: tokens that the replaced static layer had room for; None for a dynamic one.
    """

    is_sliding = False
    is_croppable = True
    supports_early_init = False

    def __init__(self, kv: KVCache, static_length: int | None) -> None:
        # Not super().__init__(): it would set keys and values, which are views of the KVCache here.
        self.kv = kv
        self.static_length = static_length
        self.is_initialized = True

    @classmethod
    def replacing(cls, layer: Any, k_layout: KLayout, valid_start: Tensor) -> "SparqCacheLayer":
        """A layer with what another one holds.

        Raises:
            LlmError: a type of layer that does not hold K and V as they are, or K and V of different sizes.
        """
        if type(layer) not in REPLACEABLE:
            raise LlmError(
                f"SparQ decode: the cache holds a {type(layer).__name__}: use a DynamicCache or a StaticCache"
            )
        length = int(layer.get_seq_length())
        k, v = layer.keys[:, :, :length], layer.values[:, :, :length]
        if k.shape != v.shape:
            raise LlmError(
                f"SparQ decode: keys are {tuple(k.shape)} and values {tuple(v.shape)}: SparQ takes equal head sizes"
            )
        static_length = layer.max_cache_len if isinstance(layer, StaticLayer) else None
        # With no room left the first token appended would copy everything once more.
        capacity = static_length or length + max(length // 4, MINIMUM_SPARE)
        kv = KVCache.from_tensors(k, v, k_layout=k_layout, valid_start=valid_start, capacity=capacity)
        return cls(kv, static_length)

    def restored(self) -> Any:
        """A layer of the replaced type with the same tokens."""
        layer = DynamicLayer() if self.static_length is None else StaticLayer(max_cache_len=self.static_length)
        layer.update(self.keys.contiguous(), self.values.contiguous())
        return layer

    @property
    def keys(self) -> Tensor:
        """K, [batch, n_kv_heads, seq_len, head_dim]."""
        return self.kv.any_keys

    @property
    def values(self) -> Tensor:
        """V, [batch, n_kv_heads, seq_len, head_dim]."""
        return self.kv.values

    @property
    def dtype(self) -> torch.dtype:
        """Type of K and V."""
        return self.kv.dtype

    @property
    def device(self) -> torch.device:
        """Where K and V are."""
        return self.kv.device

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing: the layer is made with its tokens."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append one token; returns K and V of every token so far.

        Raises:
            LlmError: several tokens at once, or more than the static cache has room for.
        """
        if key_states.shape[-2] != 1:
            raise LlmError(f"SparQ decode: {key_states.shape[-2]} tokens at once: decode one token a step")
        if self.static_length is not None and self.kv.seq_len >= self.static_length:
            raise LlmError(
                f"SparQ decode: the static cache is full at {self.static_length} tokens: give a larger max_cache_len"
            )
        self.kv.append(key_states, value_states)
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset that a mask must cover; a static cache's mask covers all its room."""
        return self.static_length or self.kv.seq_len + query_length, 0

    def get_seq_length(self) -> int:
        """Tokens held."""
        return self.kv.seq_len

    def get_max_length(self) -> int:
        """Tokens there is room for; −1: no bound."""
        return -1 if self.static_length is None else self.static_length

    def offload(self) -> None:
        """Refused: the kernels read the cache where it is."""
        raise LlmError("SparQ decode: the cache is offloaded: use a cache without offloading")

    def prefetch(self) -> None:
        """Refused, as `offload`."""
        self.offload()

    def reset(self) -> None:
        """Forget every token."""
        self._take(lambda tensor: tensor[:, :, :0], self.kv.valid_start.zero_())

    def crop(self, tokens_to_remove: int) -> None:
        """Remove the newest tokens; the count is given as a number of at most 0, as transformers does."""
        kept = self.kv.seq_len - abs(tokens_to_remove)
        self._take(lambda tensor: tensor[:, :, :kept], self.kv.valid_start.clamp(max=kept))

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take sequences in another order, as beam search does."""
        self.batch_select_indices(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every sequence."""
        self.batch_select_indices(torch.arange(self.kv.batch, device=self.device).repeat_interleave(repeats))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these sequences, in this order."""
        rows = indices.to(self.device)
        self._take(lambda tensor: tensor[rows], self.kv.valid_start[rows])

    def _take(self, choose: Callable[[Tensor], Tensor], valid_start: Tensor) -> None:
        """Rebuild from parts of K and V: rare, and as dear as copying both."""
        self.kv = KVCache.from_tensors(
            choose(self.keys),
            choose(self.values),
            k_layout=self.kv.k_layout,
            valid_start=valid_start,
            capacity=self.static_length,
        )
