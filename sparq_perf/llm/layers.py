"""The attention layers of a model, and which of them SparQ can take over."""

import inspect
from dataclasses import dataclass
from typing import Any

from torch import nn

from sparq_perf.llm.errors import LlmError

# What a forward names when it takes its attention function from transformers' interface.
INTERFACE = "ALL_ATTENTION_FUNCTIONS"
FULL = "full_attention"


@dataclass(frozen=True)
class AttentionLayer:
    """One causal self-attention layer.

    Attributes:
        index: its number in the KV cache.
        local: why it attends to a part of the sequence only, and so stays dense; None where it attends to all.
        unsupported: what it computes that SparQ does not; None where nothing.
    """

    index: int
    module: nn.Module
    local: str | None
    unsupported: str | None

    @property
    def head_dim(self) -> int | None:
        """Components per head, where the module tells."""
        size = getattr(self.module, "head_dim", getattr(self.module, "head_size", None))
        return size if isinstance(size, int) else None


def attention_layers(model: Any) -> list[AttentionLayer]:
    """Every layer of a model that takes its attention function from transformers' interface, by index.

    Raises:
        LlmError: not a transformers model, an encoder-decoder, or an architecture that does not use the interface.
    """
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        raise LlmError(f"enable_sparq: {type(model).__name__} is not a transformers model: give a PreTrainedModel")
    if getattr(model.config, "is_encoder_decoder", False):
        raise LlmError(f"enable_sparq: {type(model).__name__} is an encoder-decoder: SparQ takes decoder-only models")
    modules = [module for module in model.modules() if _takes_the_interface(module)]
    if not modules:
        raise LlmError(
            f"enable_sparq: {type(model).__name__} has no attention layer that uses transformers' attention "
            "interface: take an architecture that does, such as Llama, Mistral, Gemma, Qwen or GPT-NeoX"
        )
    layers = [_describe(module) for module in modules]
    indices = [layer.index for layer in layers]
    if len(set(indices)) < len(indices):
        raise LlmError(
            f"enable_sparq: {type(model).__name__} holds several stacks of attention layers: give the text decoder"
        )
    return sorted(layers, key=lambda layer: layer.index)


def _takes_the_interface(module: nn.Module) -> bool:
    if not isinstance(getattr(module, "layer_idx", None), int) or not getattr(module, "is_causal", True):
        return False
    code = getattr(inspect.unwrap(type(module).forward), "__code__", None)
    return code is not None and INTERFACE in code.co_names


def _describe(module: Any) -> AttentionLayer:
    config, index = module.config, module.layer_idx
    types = getattr(config, "layer_types", None)
    # Where a config lists no types, a window means a window in every layer: so transformers' caches read it too.
    window = getattr(config, "sliding_window", None) if types is None else None
    kind = types[index] if types is not None else FULL
    local = None
    if kind != FULL:
        local = f"{kind.replace('_', ' ')}"
    elif window is not None or getattr(module, "sliding_window", None) is not None:
        local = "sliding attention"
    elif getattr(config, "attention_chunk_size", None) is not None and types is None:
        local = "chunked attention"
    unsupported = None
    if getattr(module, "attn_logit_softcapping", None) is not None:
        unsupported = "caps its logits (attn_logit_softcapping)"
    elif getattr(module, "sinks", None) is not None:
        unsupported = "adds attention sinks to its softmax"
    elif getattr(module, "kv_lora_rank", None) is not None:
        unsupported = "keeps latent keys (kv_lora_rank)"
    return AttentionLayer(index, module, local, unsupported)
