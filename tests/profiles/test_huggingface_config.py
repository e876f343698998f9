import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_profiles import load_model

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 8192,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}
WriteConfig = Callable[..., Path]


@pytest.fixture
def config(write: Callable[..., Path]) -> WriteConfig:
    """Writes LLAMA with the given keys changed; a key set to None is left out."""

    def _config(**changes: Any) -> Path:
        keys = {key: value for key, value in {**LLAMA, **changes}.items() if value is not None}
        return write("Some-Model_1.0/config.json", json.dumps(keys))

    return _config


def test_llama_style(config: WriteConfig) -> None:
    path = config()
    model = load_model(path)
    assert (model.name, model.title) == ("some-model_1.0", "Some-Model_1.0")
    assert (model.source, model.kind, model.architecture) == (str(path), "datasheet", "llama")
    assert (model.n_layers, model.n_heads, model.n_kv_heads, model.head_dim) == (32, 32, 8, 128)
    assert (model.hidden_size, model.intermediate_size) == (4096, 14336)
    assert (model.vocab_size, model.max_seq_len) == (128256, 8192)
    assert (model.dtype, model.tied_embeddings, model.sliding_window) == ("bfloat16", False, None)
    assert model.n_parameters is None


@pytest.mark.parametrize(
    ("keys", "window", "layers"),
    [
        ({}, None, 0),
        ({"sliding_window": 4096}, 4096, 32),
        ({"sliding_window": 4096, "use_sliding_window": False}, None, 0),
        ({"sliding_window": 4096, "model_type": "gemma2"}, 4096, 16),
        ({"sliding_window": 512, "sliding_window_pattern": 6}, 512, 27),
        ({"sliding_window": 512, "layer_types": ["sliding_attention"] * 20 + ["full_attention"] * 12}, 512, 20),
        ({"sliding_window": 512, "layer_types": ["full_attention"] * 32}, None, 0),
    ],
)
def test_windowed_layers(config: WriteConfig, keys: dict[str, Any], window: int | None, layers: int) -> None:
    model = load_model(config(**keys))
    assert (model.sliding_window, model.windowed_layers) == (window, layers)


def test_the_folder_stands_for_its_config(config: WriteConfig) -> None:
    path = config()
    assert load_model(path.parent) == load_model(str(path)) == load_model(path)


def test_gpt_neox_style_has_one_kv_head_per_query_head(write: Callable[..., Path]) -> None:
    keys = {
        "model_type": "gpt_neox",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "max_position_embeddings": 2048,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "vocab_size": 50304,
    }
    model = load_model(write("pythia/config.json", json.dumps(keys)))
    assert (model.n_kv_heads, model.head_dim, model.intermediate_size) == (32, 80, 10240)


def test_gpt_2_style_key_names(write: Callable[..., Path]) -> None:
    keys = {
        "model_type": "gpt2",
        "n_embd": 768,
        "n_head": 12,
        "n_layer": 12,
        "n_positions": 1024,
        "n_inner": None,
        "vocab_size": 50257,
    }
    model = load_model(write("gpt2/config.json", json.dumps(keys)))
    assert (model.n_layers, model.n_heads, model.head_dim, model.max_seq_len) == (12, 12, 64, 1024)
    assert (model.intermediate_size, model.tied_embeddings, model.dtype) == (4 * 768, True, "float16")


def test_gemma_has_its_own_head_dim_and_ties_without_saying_so(config: WriteConfig) -> None:
    gemma = {"model_type": "gemma", "hidden_size": 3072, "num_attention_heads": 16, "num_key_value_heads": 16}
    model = load_model(config(**gemma, head_dim=256))
    assert (model.head_dim, model.hidden_size) == (256, 3072)
    assert model.tied_embeddings
    assert not load_model(config(**gemma, head_dim=256, tie_word_embeddings=False)).tied_embeddings


def test_nested_text_config(write: Callable[..., Path]) -> None:
    keys = {
        "model_type": "gemma3",
        "vision_config": {"hidden_size": 1152},
        "text_config": {**LLAMA, "head_dim": 256},
    }
    model = load_model(write("multimodal/config.json", json.dumps(keys)))
    assert (model.architecture, model.hidden_size, model.head_dim) == ("gemma3", 4096, 256)


def test_sliding_window(config: WriteConfig) -> None:
    assert load_model(config(sliding_window=4096)).sliding_window == 4096
    assert load_model(config(sliding_window=4096, use_sliding_window=False)).sliding_window is None


@pytest.mark.parametrize(
    ("given", "title", "name"),
    [
        ("mistralai/Mistral-7B-v0.1", "Mistral-7B-v0.1", "mistral-7b-v0.1"),
        ("/home/me/My Model/", "My Model", "my-model"),
        ("org/Modèle", "Modèle", "mod-le"),
        ("./", "Some-Model_1.0", "some-model_1.0"),
    ],
)
def test_name(config: WriteConfig, given: str, title: str, name: str) -> None:
    model = load_model(config(_name_or_path=given))
    assert (model.title, model.name) == (title, name)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"num_attention_heads": None}, ["n_heads is missing", "num_attention_heads"]),
        ({"vocab_size": None}, ["vocab_size is missing", "must be there"]),
        (
            {"max_position_embeddings": None},
            ["max_seq_len is missing", "max_position_embeddings, n_positions"],
        ),
        ({"num_hidden_layers": "32"}, ["num_hidden_layers is '32'", "whole number of at least 1"]),
        ({"num_hidden_layers": None, "n_layer": 0}, ["n_layer is 0", "whole number of at least 1"]),
        ({"num_key_value_heads": True}, ["num_key_value_heads is True", "whole number"]),
        ({"head_dim": 128.0}, ["head_dim is 128.0", "whole number"]),
        ({"hidden_size": 4100}, ["hidden_size 4100", "multiple of num_attention_heads 32", "head_dim"]),
        ({"num_key_value_heads": 5}, ["n_heads (32) must be a multiple of n_kv_heads (5)"]),
        ({"sliding_window": "4096"}, ["sliding_window is '4096'", "integer"]),
    ],
)
def test_faults(config: WriteConfig, refusal: Callable[..., str], changes: dict[str, Any], parts: list[str]) -> None:
    path = config(**changes)
    message = refusal(load_model, path)
    for part in [str(path), *parts]:
        assert part in message


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{not json", "cannot be read as JSON"),
        ("", "cannot be read as JSON"),
        (b"\xff\xfe{}", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[1, 2]", "holds a JSON list"),
        ('"text"', "holds a JSON str"),
    ],
)
def test_not_a_config(write: Callable[..., Path], refusal: Callable[..., str], content: str | bytes, part: str) -> None:
    path = write("config.json", content)
    message = refusal(load_model, path)
    assert message.startswith(f"{path}: {part}")
    assert message.endswith("give a Hugging Face config.json")


def test_missing_json_and_empty_folder(tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert "no such file: give the path" in refusal(load_model, tmp_path / "config.json")
    assert f"unknown model {str(tmp_path)!r}" in refusal(load_model, tmp_path)
