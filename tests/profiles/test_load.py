from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_profiles import load_hardware, load_model, load_suite
from sparq_profiles.load import data_directory, list_names

L4 = (data_directory() / "hardware" / "l4-24gb.toml").read_text(encoding="utf-8")
LLAMA = (data_directory() / "models" / "llama-3-8b.toml").read_text(encoding="utf-8")


def test_name_and_path_give_the_same_profile(write: Callable[..., Path]) -> None:
    assert load_hardware(write("copy.toml", L4)) == load_hardware("l4-24gb")
    assert load_model(str(write("copy.toml", LLAMA))) == load_model("llama-3-8b")


@pytest.mark.parametrize(
    ("load", "name", "what", "hint"),
    [
        (load_hardware, "h100-sxm", "hardware", "did you mean h100-sxm-80gb?"),
        (load_hardware, "H200-SXM-141GB", "hardware", "did you mean h200-sxm-141gb?"),
        (load_hardware, "mi300", "hardware", "did you mean mi300x-192gb?"),
        (load_model, "llama3-8b", "model", "did you mean llama-3-8b?"),
        (load_model, "a\nb", "model", ""),
        (load_hardware, "", "hardware", ""),
        (load_hardware, "@@@@", "hardware", ""),
    ],
)
def test_unknown_name(refusal: Callable[..., str], load: Any, name: str, what: str, hint: str) -> None:
    message = refusal(load, name)
    assert message.startswith(f"unknown {what} {name!r}: {hint}")
    assert ("did you mean" in message) == bool(hint)
    assert message.endswith("or the path of a .toml file")
    for known in list_names("hardware" if load is load_hardware else "models"):
        assert known in message


def test_unknown_suite(refusal: Callable[..., str]) -> None:
    assert refusal(load_suite, "no-such-suite").startswith("unknown suite 'no-such-suite': ")


@pytest.mark.parametrize(
    ("load", "old", "new", "parts"),
    [
        (load_hardware, "value = 72,", "value = -72,", ["power_limit_w.value is -72: ", "greater than 0"]),
        (load_hardware, "value = 72,", "value = 0,", ["power_limit_w.value is 0: ", "greater than 0"]),
        (load_hardware, "value = 72,", "value = nan,", ["power_limit_w.value is nan: ", "finite"]),
        (load_hardware, "value = 72,", "value = true,", ["power_limit_w.value is True: ", "number"]),
        (load_hardware, "value = 72,", 'value = "72",', ["power_limit_w.value is '72': ", "number"]),
        (load_hardware, "value = 72, ", "", ["power_limit_w.value is missing: add it"]),
        (
            load_hardware,
            "sector_bytes =",
            "sector_byte =",
            ["sector_bytes is missing: add it", "(and 1 more)"],
        ),
        (load_hardware, "schema_version = 1", "schema_version = 2", ["schema_version is 2: ", "should be 1"]),
        (load_hardware, 'kind = "gpu"', 'kind = "TPU"', ["kind is 'TPU': ", "'gpu' or 'cpu'"]),
        (load_hardware, "float8 =", "int8 =", ["peak_flop_per_s.int8 is 'int8': ", "'bfloat16' or 'float8'"]),
        (
            load_hardware,
            "lower = 0.8,",
            "lower = 0.95,",
            ["efficiency.stream is {", "lower <= expected <= upper"],
        ),
        (
            load_hardware,
            "upper = 0.92",
            "upper = 92",
            ["efficiency.stream.upper is 92: ", "less than or equal to 1"],
        ),
        (load_hardware, "vendor =", '"a\\nb" = 1\nvendor =', ["a\\nb is not a known field: remove it"]),
        (load_model, "n_layers = 32", "n_layers = true", ["n_layers is True: ", "integer"]),
        (load_model, "n_layers = 32", 'n_layers = "32"', ["n_layers is '32': ", "integer"]),
        (load_model, "n_layers = 32", "", ["n_layers is missing: add it"]),
        (
            load_model,
            "n_layers = 32",
            "layers = 32\nn_layers = 32",
            ["layers is not a known field: remove it"],
        ),
        (
            load_model,
            "n_kv_heads = 8",
            "n_kv_heads = 5",
            ["n_heads (32) must be a multiple of n_kv_heads (5)"],
        ),
        (load_model, 'dtype = "bfloat16"', 'dtype = "bf16"', ["dtype is 'bf16': ", "'float16', 'bfloat16'"]),
        (
            load_model,
            "tied_embeddings = false",
            'tied_embeddings = "no"',
            ["tied_embeddings is 'no': ", "boolean"],
        ),
    ],
)
def test_a_fault_is_named(
    write: Callable[..., Path], refusal: Callable[..., str], load: Any, old: str, new: str, parts: list[str]
) -> None:
    text = L4 if load is load_hardware else LLAMA
    assert text.count(old) >= 1
    path = write("edited.toml", text.replace(old, new, 1))
    message = refusal(load, path)
    assert message.startswith(f"{path}: {parts[0]}")
    for part in parts[1:]:
        assert part in message


def test_a_long_value_is_cut(write: Callable[..., Path], refusal: Callable[..., str]) -> None:
    path = write("long.toml", LLAMA.replace("n_layers = 32", f'n_layers = "{"x" * 500}"'))
    assert len(refusal(load_model, path)) < len(str(path)) + 150


@pytest.mark.parametrize(
    "content",
    ["a = = 1", "[table\n", "a = 1\na = 2\n", b"\xff\xfe", "x = " + "[" * 100_000, "name = 'caf\x00'"],
)
@pytest.mark.parametrize("load", [load_hardware, load_model, load_suite])
def test_not_toml(write: Callable[..., Path], refusal: Callable[..., str], load: Any, content: str | bytes) -> None:
    path = write("broken.toml", content)
    message = refusal(load, path)
    assert message.startswith(f"{path}: cannot be read as TOML (")
    assert message.endswith("): mend the file")


def test_no_such_file_and_a_folder(tmp_path: Path, refusal: Callable[..., str]) -> None:
    path = tmp_path / "missing.toml"
    assert refusal(load_hardware, path) == f"{path}: no such file: give the path of a .toml file"
    path.mkdir()
    assert refusal(load_hardware, path).startswith(f"{path}: cannot be read as TOML (")
