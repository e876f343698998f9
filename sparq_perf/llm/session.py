"""SparQ at work in one model: what happens before and in each attention layer's call."""

import math
import sys
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from sparq_kernels import KVCache, decode
from sparq_perf.llm.cache_layer import SparqCacheLayer
from sparq_perf.llm.errors import LlmError
from sparq_perf.llm.padding import first_valid_positions
from sparq_profiles import SparqConfig

# Layer, query [batch, n_heads, head_dim] scaled as the kernels expect it, cache, settings, output like the query.
Observer = Callable[[int, Tensor, KVCache, SparqConfig, Tensor], None]

# Arguments of an attention function that change what it computes, and that SparQ does not take.
REFUSED = ("softcap", "position_bias", "s_aux", "sliding_window")


class Session:
    """Decides in every call of an attention layer between SparQ and what the model did before.

    A layer's call is seen twice. The forward pre-hook sees the cache, which an attention function is not given; it
    puts a `SparqCacheLayer` in place in the first decode step. The attention function then finds the layer's token
    appended. Prefill, and layers without settings, go to ``base``, the model's own attention function.

    Attributes:
        observer: told of every SparQ call; None: nobody.
    """

    def __init__(self, base: str, settings: Mapping[nn.Module, SparqConfig], implementation: str) -> None:
        self.observer: Observer | None = None
        self._base = base
        self._settings = settings
        self._implementation = implementation
        self._ready: dict[nn.Module, SparqCacheLayer] = {}
        self._caches: weakref.WeakSet[Any] = weakref.WeakSet()
        # The mask is the same object in every layer of a step: its padding is found once.
        self._mask: tuple[Tensor | None, int, Tensor] | None = None

    def before(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Forward pre-hook of an attention layer.

        Raises:
            LlmError: training, several new tokens on top of earlier ones, padding elsewhere than on the left, or a
                cache that cannot be taken over.
        """
        self._ready.pop(module, None)
        if module.training:
            raise LlmError("SparQ decode: the model is in training mode, and SparQ has no gradient: call model.eval()")
        hidden = args[0] if args else kwargs["hidden_states"]
        cache = next((value for value in (*kwargs.values(), *args) if isinstance(value, Cache)), None)
        index, n_new = module.layer_idx, hidden.shape[1]
        n_held = 0 if cache is None else int(cache.get_seq_length(index))
        if cache is None:
            return
        if n_held == 0:  # prefill
            if len(cache.layers) > index and isinstance(cache.layers[index], SparqCacheLayer):  # emptied by reset()
                cache.layers[index] = cache.layers[index].restored()
            return
        if n_new > 1:
            raise LlmError(
                f"SparQ decode: {n_new} new tokens after {n_held}: SparQ decodes one token a step and prefills in one "
                "go; disable it for speculative decoding or a prefill in chunks"
            )
        if cache.offloading:
            raise LlmError("SparQ decode: the cache is offloaded: use a cache without offloading")
        config, layer = self._settings[module], cache.layers[index]
        start = self._valid_start(kwargs.get("attention_mask"), hidden.shape[0], n_held + 1)
        if not isinstance(layer, SparqCacheLayer):
            layer = cache.layers[index] = SparqCacheLayer.replacing(layer, config.k_layout, start)
            self._caches.add(cache)
        elif layer.kv.is_padded or bool(start.any()):
            self._check_padding(layer, start)
        self._ready[module] = layer

    def attend(
        self,
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Attention function as transformers calls it.

        Args:
            query: [batch, n_heads, tokens, head_dim]; key, value: the whole cache's, with n_kv_heads.
            scaling: what logits are multiplied by; 1/√head_dim where it is not given.

        Returns:
            [batch, tokens, n_heads, head_dim], and no weights.

        Raises:
            LlmError: an argument that changes attention in a way SparQ does not know.
        """
        layer = self._ready.pop(module, None)
        if layer is None:
            function = base_function(self._base, module)
            result: tuple[Tensor, Tensor | None] = function(
                module, query, key, value, attention_mask, scaling=scaling, **kwargs
            )
            return result
        for name in REFUSED:
            if kwargs.get(name) is not None:
                raise LlmError(f"SparQ decode: {type(module).__name__} is called with {name}, which SparQ has not")
        q, config = query[:, :, 0], self._settings[module]
        own_scale = 1 / math.sqrt(q.shape[-1])
        if scaling is not None and not math.isclose(scaling, own_scale, rel_tol=1e-9):
            q = (q.to(torch.promote_types(q.dtype, torch.float32)) * (scaling / own_scale)).to(q.dtype)
        y = decode(q, layer.kv, config, self._implementation)
        if self.observer is not None:
            self.observer(module.layer_idx, q, layer.kv, config, y)
        return y[:, None], None

    def restore_caches(self) -> None:
        """Give every cache layers of the type that it had."""
        for cache in self._caches:
            for index, layer in enumerate(cache.layers):
                if isinstance(layer, SparqCacheLayer):
                    cache.layers[index] = layer.restored()
        self._caches.clear()

    def _valid_start(self, mask: Tensor | None, batch: int, seq_len: int) -> Tensor:
        known = self._mask
        if known is not None and known[0] is mask and known[1] == seq_len and len(known[2]) == batch:
            return known[2]
        start = first_valid_positions(mask, batch, seq_len)
        self._mask = (mask, seq_len, start)
        return start

    def _check_padding(self, layer: SparqCacheLayer, start: Tensor) -> None:
        held = layer.kv.valid_start.cpu()
        if not torch.equal(held, start):
            raise LlmError(
                f"SparQ decode: sequences began at {held.tolist()} and the attention mask now says {start.tolist()}: "
                "give every step the same padding"
            )


def base_function(name: str, module: Any) -> Callable[..., Any]:
    """The attention function that a model used before, by its name in transformers' interface."""
    if name == "eager":  # not in the interface: each architecture has its own
        function: Callable[..., Any] = sys.modules[type(module).__module__].eager_attention_forward
        return function
    found: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS[name]
    return found
