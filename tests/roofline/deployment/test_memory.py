"""Memory worked by hand: weights, KV cache, reserve, and what fits."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparq_profiles import AttentionShape, ConfigError, SparqConfig, load_hardware, load_model
from sparq_profiles.shape import K_LAYOUTS, KLayout
from sparq_roofline import kv_cache_bytes
from sparq_roofline.deployment.formats import KV, WEIGHTS, kv_format, weight_format
from sparq_roofline.deployment.memory import largest_batch, memory
from sparq_roofline.deployment.served import Served
from sparq_roofline.deployment.sharding import shard

MakeServed = Callable[..., Served]
TWO = SparqConfig(32, 128)
GQA = SparqConfig(32, 128, mean_value=False)


def test_llama_2_7b_by_hand(served: MakeServed) -> None:
    model = served("llama-2-7b")
    hardware = load_hardware("a100-sxm-80gb")
    held = shard(model.model, 1)
    dense = memory(hardware, model, held, batch=4, tokens=4096, config=None)
    assert dense.weight_bytes == 6_738_415_616 * 2 == 13_476_831_232
    # K and V of 32 layers with 32 heads of 128, 2 bytes: 524,288 bytes a token.
    assert dense.kv_bytes == 4 * 4096 * 524_288 == 8_589_934_592
    assert (dense.capacity_bytes, dense.reserve_bytes) == (80e9, 8e9)
    assert dense.total_bytes == 30_066_765_824
    assert dense.fits
    sparq = memory(hardware, model, held, batch=4, tokens=4096, config=TWO)
    # K twice, and a running mean of 32 layers, 32 heads, 128 components, 4 bytes for each sequence.
    assert sparq.kv_bytes == 12_884_901_888 + 4 * 524_288
    # 80 GB less 8 and 13.48 hold 58,523,168,768 bytes; a sequence takes 2,147,483,648 or 3,221,749,760.
    assert largest_batch(hardware, model, held, tokens=4096, config=None) == 27
    assert largest_batch(hardware, model, held, tokens=4096, config=TWO) == 18


def test_llama_3_8b_by_hand(served: MakeServed) -> None:
    model = served("llama-3-8b", "bfloat16", "bfloat16")
    hardware = load_hardware("h100-sxm-80gb")
    held = shard(model.model, 1)
    dense = memory(hardware, model, held, batch=8, tokens=8192, config=None)
    assert dense.weight_bytes == 8_030_261_248 * 2 == 16_060_522_496
    # 8 KV heads, not 32: 131,072 bytes a token.
    assert dense.kv_bytes == 8 * 8192 * 131_072 == 8_589_934_592
    assert memory(hardware, model, held, batch=8, tokens=8192, config=GQA).kv_bytes == 12_884_901_888
    # 80 GB less 8 and 16.06 hold 55,939,477,504 bytes; a sequence takes 1,073,741,824 or half as much again.
    assert largest_batch(hardware, model, held, tokens=8192, config=None) == 52
    assert largest_batch(hardware, model, held, tokens=8192, config=GQA) == 34


def test_llama_3_8b_in_4_bits_by_hand(served: MakeServed) -> None:
    model = served("llama-3-8b", "int4", "float8")
    held = shard(model.model, 1)
    matrices = 32 * (4096 * (4096 + 2 * 1024) + 4096 * 4096 + 3 * 4096 * 14336)
    assert matrices == 6_979_321_856
    # Half a byte, and a 16-bit scale for each 128 weights; embedding, LM head and norms stay in 16 bits.
    expected = matrices // 2 + matrices // 128 * 2 + 2 * (2 * 128_256 * 4096 + (2 * 32 + 1) * 4096)
    assert held.weight_bytes(model.weights) == expected == 5_700_591_616
    assert model.kv_token_bytes(held, None) * 32 == 65_536


def test_formats() -> None:
    assert WEIGHTS["int4"].matrix_bytes == 0.515625
    assert WEIGHTS["q8_0"].matrix_bytes == WEIGHTS["q8_0"].table_bytes == 1.0625  # 34 bytes for 32 weights
    assert (WEIGHTS["float8"].matrix_bytes, WEIGHTS["float8"].table_bytes) == (1, 2)
    assert {name: kind.element_bytes for name, kind in KV.items()} == {
        "float32": 4,
        "float16": 2,
        "bfloat16": 2,
        "float8": 1,
    }
    assert (weight_format("fp8"), kv_format("bf16")) == (WEIGHTS["float8"], KV["bfloat16"])
    with pytest.raises(ConfigError, match="weights is 'int3': choose one of float32, float16"):
        weight_format("int3")
    with pytest.raises(ConfigError, match="kv is 'int4': choose one of float32"):
        kv_format("int4")


def test_weights_meet_the_arithmetic_that_multiplies_them() -> None:
    h100, a100 = load_hardware("h100-sxm-80gb"), load_hardware("a100-sxm-80gb")
    assert WEIGHTS["float8"].peak_flop_per_s(h100) == 1979e12
    assert WEIGHTS["float8"].peak_flop_per_s(a100) == WEIGHTS["int4"].peak_flop_per_s(a100) == 312e12
    assert WEIGHTS["int4"].peak_flop_per_s(h100) == 989e12


@pytest.mark.parametrize("layout", K_LAYOUTS)
@pytest.mark.parametrize("mean_value", [True, False])
@pytest.mark.parametrize("name", ["llama-2-7b", "llama-3-8b", "gemma-7b"])
def test_layers_agree_with_kv_cache_bytes(served: MakeServed, layout: KLayout, mean_value: bool, name: str) -> None:
    model = served(name)
    config = SparqConfig(32, 128, mean_value=mean_value, k_layout=layout)
    shape = AttentionShape(1, 3000, model.model.n_heads, model.model.n_kv_heads, model.model.head_dim)
    held = shard(model.model, 1)
    assert model.sequence_bytes(held, 3000, config) == model.model.n_layers * kv_cache_bytes(shape, config)
    assert model.sequence_bytes(held, 3000, None) == model.model.n_layers * kv_cache_bytes(shape, None)


def test_each_choice_changes_the_bytes_as_it_should(served: MakeServed) -> None:
    """Element size, layout, query heads per KV head and GPUs, one at a time."""
    model, held = served("llama-2-7b"), shard(load_model("llama-2-7b"), 1)
    token = model.kv_token_bytes(held, None)
    assert served("llama-2-7b", kv="float8").kv_token_bytes(held, None) * 2 == token
    assert served("llama-2-7b", kv="float32").kv_token_bytes(held, None) == 2 * token
    assert model.kv_token_bytes(held, TWO) * 2 == 3 * token
    for layout in ("channel_major", "row_major"):
        assert model.kv_token_bytes(held, SparqConfig(32, 128, k_layout=layout)) == token
    for n_gpus in (2, 4, 8):
        assert model.kv_token_bytes(shard(model.model, n_gpus), None) * n_gpus == token
    grouped = served("llama-3-8b")
    assert grouped.kv_token_bytes(shard(grouped.model, 1), None) * 4 == token


def test_windowed_layers_keep_their_window(served: MakeServed, tiny: Callable[..., Any]) -> None:
    every = served(tiny(sliding_window=100))
    some = served(tiny(sliding_window=100, n_windowed_layers=1))
    held = shard(every.model, 1)
    token = every.kv_token_bytes(held, None)
    assert every.sequence_bytes(held, 50, None) == some.sequence_bytes(held, 50, None) == 2 * 50 * token
    assert every.sequence_bytes(held, 1000, None) == 2 * 100 * token
    assert some.sequence_bytes(held, 1000, None) == (1000 + 100) * token
    mistral = served("mistral-7b")
    held = shard(mistral.model, 1)
    assert mistral.sequence_bytes(held, 32768, None) == mistral.sequence_bytes(held, 4096, None)


@given(
    batch=st.integers(1, 200),
    tokens=st.integers(1, 100_000),
    more=st.integers(1, 1000),
    n_gpus=st.sampled_from([1, 2, 4, 8]),
    config=st.sampled_from([None, TWO, GQA]),
)
def test_more_batch_or_tokens_take_more(
    batch: int, tokens: int, more: int, n_gpus: int, config: SparqConfig | None
) -> None:
    model = load_model("llama-3-8b")
    hardware = load_hardware("h200-sxm-141gb")
    served, held = Served(model, WEIGHTS["bfloat16"], KV["float16"]), shard(model, n_gpus)

    def total(batch: int, tokens: int) -> float:
        return memory(hardware, served, held, batch=batch, tokens=tokens, config=config).total_bytes

    assert total(batch + more, tokens) > total(batch, tokens)
    assert total(batch, tokens + more) > total(batch, tokens)
    most = largest_batch(hardware, served, held, tokens=tokens, config=config)
    assert most >= largest_batch(hardware, served, held, tokens=tokens + more, config=config)
    if most:
        assert memory(hardware, served, held, batch=most, tokens=tokens, config=config).fits
    assert not memory(hardware, served, held, batch=most + 1, tokens=tokens, config=config).fits
