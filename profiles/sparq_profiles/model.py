"""What a model is: the attention geometry of a transformer, from TOML or a Hugging Face config.json."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sparq_profiles.errors import ProfileError
from sparq_profiles.quantity import Flag, Frozen, Quantity, Whole
from sparq_profiles.shape import AttentionShape, DType

# Families whose input and output embeddings are one matrix unless the config says otherwise: their
# transformers classes default so, and google/gemma-7b's config.json leaves the key out.
_TIED_BY_DEFAULT = ("gemma", "gemma2", "gemma3", "gemma3_text", "gpt2")


class ModelProfile(Frozen):
    """A decoder-only transformer, as far as decoding cost depends on it.

    Attributes:
        source: the document that every number here was taken from (`n_parameters` has its own).
        kind: evidence for those numbers: ``datasheet`` for a published config.
        sliding_window: positions that windowed layers see, where the model has any.
        n_windowed_layers: how many layers those are; None for every layer, where there is a window.
    """

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    title: Annotated[str, Field(min_length=2)]
    architecture: str
    source: Annotated[str, Field(min_length=3)]
    kind: Literal["datasheet", "measured", "assumed"]
    n_layers: Whole
    n_heads: Whole
    n_kv_heads: Whole
    head_dim: Whole
    hidden_size: Whole
    intermediate_size: Whole
    vocab_size: Whole
    max_seq_len: Whole
    sliding_window: Whole | None = None
    n_windowed_layers: Whole | None = None
    tied_embeddings: Flag = False
    dtype: DType = "float16"
    n_parameters: Quantity | None = None

    @model_validator(mode="after")
    def _heads_divide(self) -> "ModelProfile":
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_heads ({self.n_heads}) must be a multiple of n_kv_heads ({self.n_kv_heads})")
        return self

    @model_validator(mode="after")
    def _windowed_layers_exist(self) -> "ModelProfile":
        if self.n_windowed_layers is not None:
            if self.sliding_window is None:
                raise ValueError("n_windowed_layers needs a sliding_window")
            if self.n_windowed_layers > self.n_layers:
                raise ValueError(
                    f"n_windowed_layers ({self.n_windowed_layers}) must be at most n_layers ({self.n_layers})"
                )
        return self

    @property
    def windowed_layers(self) -> int:
        """Layers that see only the last ``sliding_window`` positions."""
        if self.sliding_window is None:
            return 0
        return self.n_layers if self.n_windowed_layers is None else self.n_windowed_layers

    def shape(self, *, batch: int, seq_len: int, dtype: DType | None = None) -> AttentionShape:
        """Shape of one decode step in one layer; ``dtype`` defaults to the model's own."""
        return AttentionShape(
            batch=batch,
            seq_len=seq_len,
            n_heads=self.n_heads,
            n_kv_heads=self.n_kv_heads,
            head_dim=self.head_dim,
            dtype=dtype or self.dtype,
        )


def model_from_huggingface_config(path: Path) -> dict[str, Any]:
    """Fields of a ModelProfile from a Hugging Face ``config.json``.

    Accepts the key names of Llama, Mistral, Gemma, GPT-NeoX and GPT-2 style configs, and a text model nested
    in a multimodal config.

    Raises:
        ProfileError: unreadable JSON, or a key that decides the attention shape is missing.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ProfileError(f"{path}: cannot be read as JSON ({error}): give a Hugging Face config.json") from None
    if not isinstance(config, dict):
        raise ProfileError(f"{path}: holds a JSON {type(config).__name__}: give a Hugging Face config.json")
    text = config.get("text_config")
    architecture = config.get("model_type", "unknown")
    if isinstance(text, dict):
        config = {**config, **text}

    def whole(field: str, *keys: str, default: int | None = None) -> int:
        key = next((key for key in keys if config.get(key) is not None), None)
        if key is None:
            if default is None:
                raise ProfileError(f"{path}: {field} is missing: one of the keys {', '.join(keys)} must be there")
            return default
        value = config[key]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ProfileError(f"{path}: {key} is {value!r}: it must be a whole number of at least 1")
        return value

    n_heads = whole("n_heads", "num_attention_heads", "n_head")
    hidden_size = whole("hidden_size", "hidden_size", "n_embd")
    if config.get("head_dim") is None and hidden_size % n_heads:
        raise ProfileError(
            f"{path}: hidden_size {hidden_size} is not a multiple of num_attention_heads {n_heads}: "
            "add the key head_dim"
        )
    dtype = config.get("torch_dtype") or config.get("dtype") or "float16"
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    windowed = _windowed_layers(config) if window else None
    if windowed == 0:  # a window that no layer uses
        window = windowed = None
    tied = config.get("tie_word_embeddings", config.get("model_type") in _TIED_BY_DEFAULT)
    title = _display_name(config, path)
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in title.lower())
    return {
        "name": name.strip("-._") or "model",
        "title": title,
        "architecture": str(architecture),
        "source": str(path),
        "kind": "datasheet",
        "n_layers": whole("n_layers", "num_hidden_layers", "n_layer"),
        "n_heads": n_heads,
        "n_kv_heads": whole("n_kv_heads", "num_key_value_heads", "num_kv_heads", default=n_heads),
        "head_dim": whole("head_dim", "head_dim", default=hidden_size // n_heads),
        "hidden_size": hidden_size,
        "intermediate_size": whole(
            "intermediate_size", "intermediate_size", "ffn_dim", "n_inner", default=4 * hidden_size
        ),
        "vocab_size": whole("vocab_size", "vocab_size"),
        "max_seq_len": whole("max_seq_len", "max_position_embeddings", "n_positions"),
        "sliding_window": window,
        "n_windowed_layers": windowed,
        "tied_embeddings": bool(tied),
        "dtype": dtype if dtype in ("float16", "bfloat16", "float32") else "float16",
    }


def _windowed_layers(config: dict[str, Any]) -> int | None:
    """How many layers a config's sliding window is for; None for all of them."""
    kinds, pattern = config.get("layer_types"), config.get("sliding_window_pattern")
    n_layers = config.get("num_hidden_layers")
    if isinstance(kinds, list):
        return kinds.count("sliding_attention")
    if not isinstance(n_layers, int):
        return None
    if isinstance(pattern, int) and pattern > 1:  # every so many layers one that sees everything
        return n_layers - n_layers // pattern
    return (n_layers + 1) // 2 if config.get("model_type") == "gemma2" else None


def _display_name(config: dict[str, Any], path: Path) -> str:
    given = config.get("_name_or_path")
    if isinstance(given, str) and given.strip("./"):
        return given.rstrip("/").rsplit("/", 1)[-1]
    return path.parent.name if len(path.parent.name) > 1 else path.stem
