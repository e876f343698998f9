"""Tiny random models of each family, text for them, and SparQ applied by hand; nothing is downloaded."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from sparq_kernels.reference import sparq_attention
from sparq_profiles import SparqConfig

FAMILIES = ("llama", "mistral", "gemma", "gpt_neox", "qwen2", "gemma2")
VOCABULARY = 97
HEAD_DIM = 16
PAD = 0


def _tiny(family: str, *, n_layers: int = 2, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """A model of two layers in eval mode; 4 query heads on 2 KV heads of 16 where the family has groups."""
    import transformers

    common: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": n_layers,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
        "pad_token_id": PAD,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    grouped = {"num_key_value_heads": 2}
    names = {
        "llama": ("Llama", grouped),
        "mistral": ("Mistral", {**grouped, "sliding_window": None}),
        "gemma": ("Gemma", {**grouped, "num_key_value_heads": 1, "head_dim": HEAD_DIM}),
        "gpt_neox": ("GPTNeoX", {}),
        "qwen2": ("Qwen2", grouped),
        # Scales its queries by something else than 1/√head_dim.
        "gemma2": (
            "Gemma2",
            {
                **grouped,
                "head_dim": HEAD_DIM,
                "query_pre_attn_scalar": 24,
                "attn_logit_softcapping": None,
                "layer_types": ["full_attention"] * n_layers,
            },
        ),
    }
    stem, extra = names[family]
    config = getattr(transformers, f"{stem}Config")(**{**common, **extra, **changes})
    torch.manual_seed(11)
    model = getattr(transformers, f"{stem}ForCausalLM")(config).to(dtype).eval()
    if family == "gemma2" and config.attn_logit_softcapping is None:
        # Its default, eager, gives NaN for padding in float64; what is asked for at building it refuses.
        config._attn_implementation_internal = "sdpa"
    with torch.no_grad():
        # Weights of 0.02 make every score the same: attention must have something to choose between.
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "embed" not in name:
                parameter.normal_(0, 0.4 if any(part in name for part in ("q_proj", "k_proj", "query_key")) else 0.15)
    return model


def _tokens(batch: int, length: int, seed: int = 0) -> torch.Tensor:
    """Random tokens, none of them special, and none twice: its second key could tie with the first."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(VOCABULARY - 3, generator=generator)[:length] + 3 for _ in range(batch)])


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tiny() -> Callable[..., Any]:
    pytest.importorskip("transformers", reason="transformers is not installed")
    return _tiny


@pytest.fixture
def tokens() -> Callable[..., torch.Tensor]:
    return _tokens


@pytest.fixture
def decode_steps() -> Callable[..., torch.Tensor]:
    """Prefill of all but the last tokens, then one step each; the steps' logits, [batch, steps, vocabulary]."""

    def run(model: Any, ids: torch.Tensor, n_steps: int, mask: torch.Tensor | None = None, cache: Any = None) -> Any:
        first = ids.shape[1] - n_steps
        logits = []
        with torch.inference_mode():
            for start, stop in ((0, first), *((i, i + 1) for i in range(first, ids.shape[1]))):
                known = {}
                if mask is not None:
                    positions = (mask.cumsum(-1) - 1).clamp(min=0)
                    known = {"attention_mask": mask[:, :stop], "position_ids": positions[:, start:stop]}
                done = model(ids[:, start:stop], past_key_values=cache, use_cache=True, **known)
                cache = done.past_key_values
                logits.append(done.logits[:, -1])
        return torch.stack(logits[1:], 1)

    return run


@pytest.fixture
def by_hand() -> Iterator[Callable[..., None]]:
    """Makes a model decode with the reference in each layer, over the plain cache: settings by layer."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    name = "reference_by_hand"

    def take_over(model: Any, settings: dict[int, SparqConfig | None]) -> None:
        own = model.config._attn_implementation
        eager = sys.modules[type(model).__module__].eager_attention_forward
        base = ALL_ATTENTION_FUNCTIONS.get(own, eager)

        def attend(module: Any, q: Any, k: Any, v: Any, mask: Any, scaling: float, **kwargs: Any) -> Any:
            config = settings.get(module.layer_idx)
            if q.shape[2] > 1 or config is None:
                return base(module, q, k, v, mask, scaling=scaling, **kwargs)
            start = torch.zeros(len(q), dtype=torch.int64)
            if mask is not None:
                attended = mask[:, 0, 0] if mask.dtype == torch.bool else mask[:, 0, 0] == 0
                start = attended.long().argmax(-1)
            scaled = q[:, :, 0] * (scaling * q.shape[-1] ** 0.5)
            return sparq_attention(scaled, k, v, config, valid_start=start)[:, None], None

        transformers.AttentionInterface.register(name, attend)
        transformers.AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[own])
        model.config._attn_implementation_internal = name

    yield take_over
    for interface in (transformers.AttentionInterface, transformers.AttentionMaskInterface):
        interface._global_mapping.pop(name, None)
