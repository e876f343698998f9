from typing import Any

import pytest

from sparq_profiles import AttentionShape, ConfigError

MHA: dict[str, Any] = {"batch": 1, "seq_len": 4096, "n_heads": 32, "n_kv_heads": 32, "head_dim": 128}


def test_llama_3_8b_by_hand() -> None:
    shape = AttentionShape(batch=16, seq_len=4096, n_heads=32, n_kv_heads=8, head_dim=128)
    assert shape.group_size == 4
    assert shape.element_bytes == 2
    # K and V, 16 sequences, 8 KV heads, 4096 tokens, 128 components of 2 bytes: 256 MiB.
    assert shape.kv_bytes == 2 * 16 * 8 * 4096 * 128 * 2 == 268_435_456


def test_kv_bytes_count_kv_heads_not_query_heads() -> None:
    mha, gqa = AttentionShape(**MHA), AttentionShape(**{**MHA, "n_kv_heads": 8})
    assert mha.kv_bytes == 4 * gqa.kv_bytes
    assert mha.group_size == 1


@pytest.mark.parametrize(("dtype", "size"), [("float16", 2), ("bfloat16", 2), ("float32", 4), ("float64", 8)])
def test_element_bytes(dtype: Any, size: int) -> None:
    shape = AttentionShape(**MHA, dtype=dtype)
    assert shape.element_bytes == size
    assert shape.kv_bytes == 2 * 32 * 4096 * 128 * size


@pytest.mark.parametrize("field", list(MHA))
@pytest.mark.parametrize("value", [0, -1, True, 2.0, "2", None])
def test_sizes_are_whole_numbers_of_at_least_one(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^shape: {field} is {value!r}: ") as caught:
        AttentionShape(**{**MHA, field: value})
    assert "whole number of at least 1" in str(caught.value)


def test_heads_must_divide() -> None:
    with pytest.raises(ConfigError, match=r"n_heads is 32 and n_kv_heads is 5: .*multiple"):
        AttentionShape(**{**MHA, "n_kv_heads": 5})


def test_unknown_dtype() -> None:
    with pytest.raises(ConfigError, match=r"dtype is 'fp16': choose one of float16, bfloat16"):
        AttentionShape(**MHA, dtype="fp16")  # type: ignore[arg-type]


def test_shape_is_frozen_and_hashable() -> None:
    shape = AttentionShape(**MHA)
    assert {shape: 1}[AttentionShape(**MHA)] == 1
    with pytest.raises(AttributeError):
        shape.batch = 2  # type: ignore[misc]
