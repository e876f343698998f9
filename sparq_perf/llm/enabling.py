"""SparQ on and off in a model."""

import itertools
from collections.abc import Iterable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any

from sparq_kernels import find_implementation
from sparq_perf.llm.errors import LlmError
from sparq_perf.llm.layers import AttentionLayer, attention_layers
from sparq_profiles import ConfigError, SparqConfig

Layers = Mapping[int, SparqConfig | None] | Iterable[int]

# Attention functions that take the masks which `first_valid_positions` reads.
BASES = ("sdpa", "eager")
PREFIX = "sparq_"
_numbers = itertools.count()


class SparqHandle:
    """SparQ in one model, until `disable` or the end of a ``with`` block.

    Attributes:
        layers: the settings of each layer that decodes with SparQ.
        left_dense: why each of the others does not.
    """

    def __init__(
        self, layers: list[AttentionLayer], settings: dict[int, SparqConfig], left_dense: dict[int, str], how: str
    ) -> None:
        from transformers import AttentionInterface, AttentionMaskInterface
        from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

        from sparq_perf.llm.session import Session

        self.layers: Mapping[int, SparqConfig] = MappingProxyType(settings)
        self.left_dense: Mapping[int, str] = MappingProxyType(left_dense)
        taken: list[Any] = [layer.module for layer in layers if layer.index in settings]
        configs = {id(module.config): module.config for module in taken}
        bases = {config._attn_implementation for config in configs.values()}
        base = _only_base(bases) if configs else "sdpa"
        self.session = Session(base, {module: settings[module.layer_idx] for module in taken}, how)
        self._name = f"{PREFIX}{base}_{next(_numbers)}"
        self._restore = [(config, base) for config in configs.values()]
        AttentionInterface.register(self._name, self.session.attend)
        AttentionMaskInterface.register(self._name, ALL_MASK_ATTENTION_FUNCTIONS[base])
        for config in configs.values():
            config._attn_implementation_internal = self._name
        self._hooks = [module.register_forward_pre_hook(self.session.before, with_kwargs=True) for module in taken]
        self.enabled = True

    def disable(self) -> None:
        """The model, and caches in use, as they were; nothing where that was done before."""
        from transformers import AttentionInterface, AttentionMaskInterface

        if not self.enabled:
            return
        self.enabled = False
        for hook in self._hooks:
            hook.remove()
        for config, base in self._restore:
            config._attn_implementation_internal = base
        for interface in (AttentionInterface, AttentionMaskInterface):
            # transformers can register and has no public way back.
            interface._global_mapping.pop(self._name, None)
        self.session.restore_caches()

    def __enter__(self) -> "SparqHandle":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disable()


def enable_sparq(
    model: Any, config: SparqConfig, *, layers: Layers | None = None, implementation: str = "auto"
) -> SparqHandle:
    """Decode with SparQ from now on: a plain call, or the head of a ``with`` block.

    Decode steps (one new token a sequence, after a prefill) go through `sparq_kernels.decode`; prefill stays with the
    model's own attention. Inference only: no gradient flows through the kernels. The cache of a decode step, dynamic
    or static, keeps Kᵀ and the mean of V beside K and V, as ``k_layout`` asks.

    Args:
        model: a decoder-only transformers model in eval mode, whose attention is ``sdpa`` or ``eager``.
        config: SparQ's settings.
        layers: indices of the layers that get SparQ, or settings by index (None: dense) that replace ``config`` in
            those layers. Sliding-window layers stay dense unless they are named, which is an error.
        implementation: a sparse one of `sparq_kernels.implementations`.

    Raises:
        LlmError: a model that SparQ cannot take part in, or in training mode, or with SparQ enabled already.
        ConfigError: settings that do not fit the model, or layers that it does not have.
    """
    found = attention_layers(model)
    if model.training:
        raise LlmError("enable_sparq: the model is in training mode, and SparQ has no gradient: call model.eval()")
    if any(str(layer.module.config._attn_implementation).startswith(PREFIX) for layer in found):  # type: ignore[union-attr]
        raise LlmError("enable_sparq: SparQ is enabled in this model already: disable it first")
    if implementation != "auto" and not find_implementation(implementation).sparse:
        raise ConfigError(f"enable_sparq: {implementation} computes dense attention: name a sparse implementation")
    settings, left_dense = _settle(found, config, layers)
    return SparqHandle(found, settings, left_dense, implementation)


def _settle(
    found: list[AttentionLayer], config: SparqConfig, layers: Layers | None
) -> tuple[dict[int, SparqConfig], dict[int, str]]:
    """Settings by layer, and reasons by layer for those that have none."""
    indices = [layer.index for layer in found]
    named: dict[int, SparqConfig | None] = {}
    if isinstance(layers, Mapping):
        named = dict(layers)
    elif layers is not None:
        named = dict.fromkeys(layers, config)
    unknown = [index for index in named if index not in indices]
    if unknown:
        raise ConfigError(f"enable_sparq: layers names {unknown[0]!r}: the model has {indices[0]} … {indices[-1]}")
    only_named = layers is not None and not isinstance(layers, Mapping)
    settings: dict[int, SparqConfig] = {}
    left_dense: dict[int, str] = {}
    for layer in found:
        chosen = named.get(layer.index, None if only_named else config)
        if chosen is None:
            left_dense[layer.index] = "not asked for"
        elif layer.local is not None and layer.index not in named:
            left_dense[layer.index] = layer.local
        else:
            _check(layer, chosen)
            settings[layer.index] = chosen
    return settings, left_dense


def _check(layer: AttentionLayer, config: SparqConfig) -> None:
    if layer.local is not None:
        raise LlmError(f"enable_sparq: layer {layer.index} is {layer.local}: it stays dense; leave it out of layers")
    if layer.unsupported is not None:
        raise LlmError(
            f"enable_sparq: layer {layer.index} ({type(layer.module).__name__}) {layer.unsupported}, "
            "which SparQ's scores do not: take another model, or layers without it"
        )
    if layer.head_dim is not None:
        config.check_fits(layer.head_dim)


def _only_base(names: set[Any]) -> str:
    name = next(iter(names))
    if len(names) > 1 or name not in BASES:
        told = ", ".join(sorted(map(str, names)))
        raise LlmError(
            f"enable_sparq: the model's attention is {told}: load it with attn_implementation='sdpa' or 'eager'"
        )
    return str(name)
