"""Options that several commands share, and what they build."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sparq_profiles import AttentionShape, ConfigError, SparqConfig

Hardware = Annotated[
    str,
    typer.Option("--hardware", help="A hardware profile's name ('sparq-perf hardware' lists them) or .toml."),
]
HardwareOrCalibration = Annotated[
    str | None,
    typer.Option("--hardware", help="A hardware profile's name ('sparq-perf hardware' lists them) or .toml."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="Take the heads of this model: a name, a .toml, or a Hugging Face config.json."),
]
NHeads = Annotated[int | None, typer.Option("--n-heads", help="Query heads, where no model is named.")]
NKvHeads = Annotated[int | None, typer.Option("--n-kv-heads", help="KV heads; as many as --n-heads by default.")]
HeadDim = Annotated[int | None, typer.Option("--head-dim", help="Components per head.")]
DTypeName = Annotated[str | None, typer.Option("--dtype", help="Type of the KV cache: float16, bfloat16, float32.")]
KLayoutName = Annotated[str, typer.Option("--k-layout", help="two_copies, channel_major or row_major.")]
MeanValue = Annotated[
    bool, typer.Option("--mean-value/--no-mean-value", help="Blend with the mean of V (the paper's step 3).")
]
Append = Annotated[bool, typer.Option("--append/--no-append", help="Count writing the new token into the cache.")]
Calibration = Annotated[
    Path | None, typer.Option("--calibration", help="Predict by this file of 'sparq-perf calibrate'.")
]
Implementations = Annotated[
    str | None,
    typer.Option("--implementations", help="DENSE,SPARQ of the calibration; needed where it has several of a kind."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def build_shape(
    model: str | None,
    n_heads: int | None,
    n_kv_heads: int | None,
    head_dim: int | None,
    *,
    batch: int,
    seq_len: int,
    dtype: str | None,
) -> AttentionShape:
    """The shape that a model or explicit heads describe; explicit numbers win over the model's."""
    if model is None and (n_heads is None or head_dim is None):
        raise ConfigError("no heads given: name a --model, or give --n-heads and --head-dim")
    if model is not None:
        from sparq_profiles import load_model

        profile = load_model(model)
        if n_kv_heads is None and n_heads is None:
            n_kv_heads = profile.n_kv_heads
        n_heads = profile.n_heads if n_heads is None else n_heads
        head_dim = profile.head_dim if head_dim is None else head_dim
        dtype = dtype or profile.dtype
    assert n_heads is not None
    assert head_dim is not None
    kv_heads = n_heads if n_kv_heads is None else n_kv_heads
    return AttentionShape(batch, seq_len, n_heads, kv_heads, head_dim, dtype or "float16")  # type: ignore[arg-type]


def build_config(
    rank: int, top_k: int, local_window: int, mean_value: bool, group_score: str, k_layout: str
) -> SparqConfig:
    """SparQ settings as typed; ConfigError where they cannot be."""
    return SparqConfig(rank, top_k, local_window, mean_value, group_score, k_layout)  # type: ignore[arg-type]


def check_source(hardware: str | None, calibration: Path | None, implementations: str | None) -> None:
    """Either a profile or a calibration to predict from; ConfigError otherwise."""
    if (hardware is None) == (calibration is None):
        raise ConfigError("nothing to predict from, or too much: give --hardware or --calibration, one of the two")
    if calibration is None and implementations is not None:
        raise ConfigError("--implementations names models of a calibration: give --calibration too")


def parse_implementations(text: str | None) -> tuple[str, str] | None:
    """``dense-torch,sparq-triton`` as a pair; None where nothing is given."""
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if len(names) != 2 or not all(names):
        raise ConfigError(f"--implementations is {text!r}: give DENSE,SPARQ, as in dense-torch,sparq-triton")
    return names


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))
