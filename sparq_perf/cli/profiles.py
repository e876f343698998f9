"""`sparq-perf hardware` and `sparq-perf models`: list and show profiles."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparq_perf.cli import options
from sparq_perf.cli.options import print_json

if TYPE_CHECKING:
    from pydantic import BaseModel


def hardware(
    name: Annotated[str | None, typer.Argument(help="A profile's name or .toml; all are listed without one.")] = None,
    as_json: options.Json = False,
) -> None:
    """List the hardware profiles, or show one with the source of each number."""
    from sparq_profiles.load import all_hardware, load_hardware

    if name is not None:
        _show(load_hardware(name), as_json)
        return
    profiles = list(all_hardware())
    if as_json:
        print_json([profile.model_dump(mode="json") for profile in profiles])
        return
    rows = [
        (
            p.name,
            p.title,
            f"{p.memory_bandwidth_bytes_per_s.value / 1e9:,.0f}",
            f"{p.memory_bytes.value / 1e9:,.0f}",
            f"{p.peak_for('bfloat16').value / 1e12:,.0f}",
            f"{p.power_limit_w.value:,.0f}" if p.power_limit_w else "not stated",
        )
        for p in profiles
    ]
    _table(("name", "device", "GB/s", "GB", "bf16 TFLOP/s", "W"), rows)


def models(
    name: Annotated[
        str | None, typer.Argument(help="A model's name, .toml or Hugging Face config.json; all without one.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List the model profiles, or show one."""
    from sparq_profiles.load import all_models, load_model

    if name is not None:
        _show(load_model(name), as_json)
        return
    profiles = list(all_models())
    if as_json:
        print_json([profile.model_dump(mode="json") for profile in profiles])
        return
    rows = [
        (
            p.name,
            str(p.n_layers),
            f"{p.n_heads}/{p.n_kv_heads}",
            str(p.head_dim),
            f"{p.max_seq_len:,}",
            p.dtype,
        )
        for p in profiles
    ]
    _table(("name", "layers", "heads/KV", "head_dim", "max tokens", "dtype"), rows)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(header):
        table.add_column(column, justify="left" if index == 0 or column == "device" else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _show(profile: "BaseModel", as_json: bool) -> None:
    fields = profile.model_dump(mode="json")
    if as_json:
        print_json(fields)
        return
    for name, value in fields.items():
        for label, text in _lines(name, value):
            typer.echo(f"{label:<34} {text}")


def _lines(name: str, value: Any) -> list[tuple[str, str]]:
    """A field as label and text: quantities with their evidence, nested fields with dotted names."""
    if isinstance(value, dict) and "source" in value:
        numbers = " / ".join(f"{value[key]:g}" for key in ("value", "lower", "expected", "upper") if key in value)
        note = f"; {value['note']}" if value.get("note") else ""
        return [(name, f"{numbers}   {value['kind']}: {value['source']}{note}")]
    if isinstance(value, dict):
        return [line for key, inner in value.items() for line in _lines(f"{name}.{key}", inner)]
    if isinstance(value, list):
        return [(name, ", ".join(str(item) for item in value) or "none")]
    return [(name, "not stated" if value is None else str(value))]
