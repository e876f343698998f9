"""The shipped models: geometry typed a second time, and parameter counts derived from it."""

import pytest

from sparq_profiles import ModelProfile, load_model
from sparq_profiles.load import all_models, list_names

# name: layers, query heads, KV heads, head_dim, hidden, MLP, vocabulary, context
GEOMETRY: dict[str, tuple[int, int, int, int, int, int, int, int]] = {
    "llama-2-7b": (32, 32, 32, 128, 4096, 11008, 32000, 4096),
    "llama-2-13b": (40, 40, 40, 128, 5120, 13824, 32000, 4096),
    "llama-2-70b": (80, 64, 8, 128, 8192, 28672, 32000, 4096),
    "llama-3-8b": (32, 32, 8, 128, 4096, 14336, 128256, 8192),
    "llama-3-70b": (80, 64, 8, 128, 8192, 28672, 128256, 8192),
    "mistral-7b": (32, 32, 8, 128, 4096, 14336, 32000, 32768),
    "gemma-7b": (28, 16, 16, 256, 3072, 24576, 256000, 8192),
    "pythia-1.4b": (24, 16, 16, 128, 2048, 8192, 50304, 2048),
    "pythia-2.8b": (32, 32, 32, 80, 2560, 10240, 50304, 2048),
    "pythia-6.9b": (32, 32, 32, 128, 4096, 16384, 50432, 2048),
    "smollm2-135m": (30, 9, 3, 64, 576, 1536, 49152, 8192),
}
# Billions, as the model cards round them.
BILLIONS = {
    "llama-2-7b": 6.74,
    "llama-2-13b": 13.0,
    "llama-2-70b": 69.0,
    "llama-3-8b": 8.03,
    "llama-3-70b": 70.6,
    "mistral-7b": 7.24,
    "gemma-7b": 8.54,
    "pythia-1.4b": 1.41,
    "pythia-2.8b": 2.78,
    "pythia-6.9b": 6.86,
    "smollm2-135m": 0.135,
}
TIED = {"gemma-7b", "smollm2-135m"}

every_model = pytest.mark.parametrize("name", sorted(GEOMETRY))


def test_exactly_these_ship() -> None:
    assert list_names("models") == sorted(GEOMETRY)
    assert [model.name for model in all_models()] == sorted(GEOMETRY)


@every_model
def test_geometry(name: str) -> None:
    model = load_model(name)
    assert (
        model.n_layers,
        model.n_heads,
        model.n_kv_heads,
        model.head_dim,
        model.hidden_size,
        model.intermediate_size,
        model.vocab_size,
        model.max_seq_len,
    ) == GEOMETRY[name]
    assert model.tied_embeddings == (name in TIED)
    assert model.sliding_window == (4096 if name == "mistral-7b" else None)
    assert model.source.startswith("https://huggingface.co/")
    assert model.source.endswith("/config.json")


@every_model
def test_parameter_count_follows_from_the_geometry(name: str) -> None:
    model = load_model(name)
    assert model.n_parameters is not None
    assert model.n_parameters.value == count_parameters(model)
    assert model.n_parameters.value / 1e9 == pytest.approx(BILLIONS[name], rel=0.005)
    assert "https://huggingface.co/" in model.n_parameters.source


def count_parameters(model: ModelProfile) -> int:
    """Weights of a decoder: attention, MLP, norms, embeddings; GPT-NeoX also has biases."""
    hidden, mlp = model.hidden_size, model.intermediate_size
    query, key_value = model.n_heads * model.head_dim, 2 * model.n_kv_heads * model.head_dim
    layer = hidden * (query + key_value) + query * hidden
    if model.architecture == "gpt_neox":
        layer += 2 * hidden * mlp  # up, down
        layer += query + key_value + hidden + mlp + hidden  # biases
        norm = 2 * hidden  # weight and bias
    else:
        layer += 3 * hidden * mlp  # gate, up, down
        norm = hidden
    embeddings = model.vocab_size * hidden * (1 if model.tied_embeddings else 2)
    return model.n_layers * (layer + 2 * norm) + norm + embeddings


def test_shape_takes_the_models_heads_and_dtype() -> None:
    shape = load_model("llama-3-8b").shape(batch=16, seq_len=4096)
    assert (shape.n_heads, shape.n_kv_heads, shape.head_dim, shape.group_size) == (32, 8, 128, 4)
    assert shape.dtype == "bfloat16"
    assert shape.kv_bytes == 268_435_456
    assert load_model("llama-3-8b").shape(batch=1, seq_len=1, dtype="float32").element_bytes == 4


def test_gemma_heads_are_wider_than_its_hidden_size() -> None:
    gemma = load_model("gemma-7b")
    assert gemma.n_heads * gemma.head_dim == 4096 > gemma.hidden_size


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"n_windowed_layers": 3}, "n_windowed_layers needs a sliding_window"),
        ({"n_windowed_layers": 33, "sliding_window": 512}, r"n_windowed_layers \(33\) must be at most n_layers \(32\)"),
        ({"n_windowed_layers": 0, "sliding_window": 512}, "n_windowed_layers"),
    ],
)
def test_windowed_layers_must_exist(changes: dict[str, int], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ModelProfile.model_validate({**load_model("llama-3-8b").model_dump(), **changes})


def test_a_window_is_for_every_layer_unless_said() -> None:
    mistral = load_model("mistral-7b")
    assert mistral.windowed_layers == mistral.n_layers == 32
    assert mistral.model_copy(update={"n_windowed_layers": 5}).windowed_layers == 5
    assert load_model("llama-3-8b").windowed_layers == 0
