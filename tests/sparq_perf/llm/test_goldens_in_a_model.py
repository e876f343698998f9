"""Outputs of the published implementation, through a one-layer model with identity projections."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sparq_perf.llm import enable_sparq
from sparq_profiles import SparqConfig

FOLDER = Path(__file__).parents[4] / "shared" / "golden"
FILES = sorted(FOLDER.glob("*.npz"))
CASES = FILES or [pytest.param(None, marks=pytest.mark.skip(reason="no golden files beside this checkout"))]
SETTINGS = ("rank", "top_k", "local_window", "mean_value", "group_score")


class Nothing(nn.Module):
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(hidden)


def through(n_heads: int, n_kv_heads: int, head_dim: int) -> Any:
    """A model whose hidden state is q, k and v side by side, and whose layer adds attention's output to it."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    width, narrow = n_heads * head_dim, n_kv_heads * head_dim
    hidden_size = width + 2 * narrow
    hidden_size += -hidden_size % n_heads  # LlamaConfig wants a multiple
    config = transformers.LlamaConfig(
        vocab_size=3,
        hidden_size=hidden_size,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=n_heads,
        num_key_value_heads=n_kv_heads,
        head_dim=head_dim,
    )
    model = transformers.LlamaModel(config).eval()
    layer = model.layers[0]
    layer.input_layernorm = layer.post_attention_layernorm = model.norm = nn.Identity()
    layer.mlp = Nothing()
    with torch.no_grad():
        every = torch.eye(config.hidden_size)
        layer.self_attn.q_proj.weight.copy_(every[:width])
        layer.self_attn.k_proj.weight.copy_(every[width : width + narrow])
        layer.self_attn.v_proj.weight.copy_(every[width + narrow : width + 2 * narrow])
        layer.self_attn.o_proj.weight.copy_(every[:, :width])
    return model


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem if path else "none")
def test_the_published_outputs(path: Path) -> None:
    with np.load(path, allow_pickle=False) as file:
        case = {name: torch.from_numpy(file[name]) for name in ("q", "k", "v", "start", "y", "y_dense")}
        meta = json.loads(str(file["meta"]))
    batch, n_heads, head_dim = case["q"].shape
    seq_len = case["k"].shape[2]
    model = through(n_heads, case["k"].shape[1], head_dim)
    q = case["q"].flatten(1)[:, None].expand(-1, seq_len, -1)
    hidden = torch.cat([q, *(case[name].transpose(1, 2).flatten(2) for name in ("k", "v"))], -1).float()
    hidden = nn.functional.pad(hidden, (0, model.config.hidden_size - hidden.shape[-1]))
    mask = (torch.arange(seq_len) >= case["start"][:, None]).long()
    # Position 0 everywhere: rotary embedding is then no rotation.
    positions = torch.zeros(batch, seq_len, dtype=torch.int64)

    def decode() -> torch.Tensor:
        with torch.inference_mode():
            known = {"attention_mask": mask[:, :-1], "position_ids": positions[:, :-1]}
            cache = model(inputs_embeds=hidden[:, :-1], use_cache=True, **known).past_key_values
            known = {"attention_mask": mask, "position_ids": positions[:, -1:]}
            after = model(inputs_embeds=hidden[:, -1:], past_key_values=cache, **known).last_hidden_state
        return (after - hidden[:, -1:])[:, 0, : n_heads * head_dim].unflatten(-1, (n_heads, head_dim))

    torch.testing.assert_close(decode(), case["y_dense"].float(), rtol=0, atol=1e-4)
    with enable_sparq(model, SparqConfig(**{name: meta[name] for name in SETTINGS})):
        torch.testing.assert_close(decode(), case["y"].float(), rtol=0, atol=1e-4)
