"""Weights by part, and what one GPU of several holds of them."""

from collections.abc import Callable
from typing import Any

import pytest

from sparq_profiles import ConfigError, load_model
from sparq_profiles.load import list_names
from sparq_roofline.deployment.formats import WEIGHTS
from sparq_roofline.deployment.parameters import count_parameters
from sparq_roofline.deployment.sharding import degrees, shard


@pytest.mark.parametrize("name", list_names("models"))
def test_the_geometry_gives_the_published_count(name: str) -> None:
    model = load_model(name)
    assert model.n_parameters is not None
    assert count_parameters(model).total == model.n_parameters.value


def test_by_hand(tiny: Callable[..., Any]) -> None:
    counted = count_parameters(tiny())
    assert (counted.query_head, counted.key_value_head, counted.output_head) == (256, 512, 256)
    assert (counted.mlp, counted.layer_vectors, counted.table, counted.last_vectors) == (6144, 64, 3200, 32)
    assert counted.total == 2 * (4 * 512 + 2 * 512 + 6144 + 64) + 2 * 3200 + 32
    assert count_parameters(tiny(tied_embeddings=True)).total == counted.total - 3200


def test_kinds_of_decoders(tiny: Callable[..., Any]) -> None:
    llama = count_parameters(tiny())
    neox = count_parameters(tiny(architecture="gpt_neox"))
    assert neox.mlp == llama.mlp * 2 // 3
    # Biases of QKV, the output projection and the MLP, and two norms of two vectors.
    assert neox.layer_vectors == 32 + 32 + 32 + 64 + 32 + 4 * 32
    assert count_parameters(tiny(architecture="qwen2")).layer_vectors == llama.layer_vectors + 64


@pytest.mark.parametrize("architecture", ["mixtral", "qwen2_moe", "deepseek_v3"])
def test_experts_are_refused(tiny: Callable[..., Any], architecture: str) -> None:
    with pytest.raises(ConfigError, match=f"model tiny: {architecture} is a mixture of experts"):
        count_parameters(tiny(architecture=architecture))


def test_a_count_that_the_geometry_misses(tiny: Callable[..., Any]) -> None:
    wrong = {"value": 30_000, "kind": "datasheet", "source": "a test"}
    with pytest.raises(ConfigError, match="n_parameters is 30,000 and its geometry has 24,992"):
        count_parameters(tiny(n_parameters=wrong))


def test_shards_of_llama_3_70b() -> None:
    model = load_model("llama-3-70b")
    whole, eighth = shard(model, 1), shard(model, 8)
    assert (whole.n_heads, whole.n_kv_heads, eighth.n_heads, eighth.n_kv_heads) == (64, 8, 8, 1)
    assert eighth.layer_matrices == whole.layer_matrices / 8
    # Norms are held by each: 2 in each of 80 layers and one at the end, 8192 long, 2 bytes.
    norms = (2 * 80 + 1) * 8192 * 2
    bfloat16 = WEIGHTS["bfloat16"]
    assert whole.weight_bytes(bfloat16) == 2 * 70_553_706_496
    assert eighth.weight_bytes(bfloat16) == (2 * 70_553_706_496 - norms) / 8 + norms


def test_kv_heads_are_replicated_where_there_are_fewer(tiny: Callable[..., Any]) -> None:
    model = tiny()
    two, four = shard(model, 2), shard(model, 4)
    assert (two.n_kv_heads, four.n_kv_heads) == (1, 1)
    # A quarter of the query heads and of the MLP, and a KV head that another GPU holds too.
    assert four.layer_matrices == 512 + 512 + 6144 / 4
    assert two.layer_matrices == 2 * 512 + 512 + 6144 / 2


@pytest.mark.parametrize(
    ("heads", "kv_heads", "found"),
    [(32, 8, (1, 2, 4, 8)), (40, 40, (1, 2, 4, 8)), (9, 3, (1,)), (4, 2, (1, 2, 4)), (12, 4, (1, 2, 4)), (12, 3, (1,))],
)
def test_degrees(tiny: Callable[..., Any], heads: int, kv_heads: int, found: tuple[int, ...]) -> None:
    model = tiny(n_heads=heads, n_kv_heads=kv_heads)
    assert degrees(model, 8) == found
    for n_gpus in found:
        shard(model, n_gpus)


@pytest.mark.parametrize("n_gpus", [0, 2, 5])
def test_heads_that_cannot_be_split(tiny: Callable[..., Any], n_gpus: int) -> None:
    model = tiny(n_heads=12, n_kv_heads=3)
    assert shard(model, 3).n_kv_heads == 1
    with pytest.raises(ConfigError, match=f"12 query and 3 KV heads cannot be split over {n_gpus} GPUs"):
        shard(model, n_gpus)
