"""`sparq-perf size`: what a model needs on candidate hardware, dense beside SparQ."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparq_perf.cli import options
from sparq_perf.cli.options import print_json
from sparq_profiles import ConfigError

if TYPE_CHECKING:
    from sparq_profiles import HardwareProfile, ModelProfile
    from sparq_roofline.deployment.calibrated import CalibratedAttention
    from sparq_roofline.deployment.measured_settings import MeasuredSettings
    from sparq_roofline.deployment.rows import Row
    from sparq_roofline.deployment.sizing import Sizing


def size(
    model: Annotated[str, typer.Option("--model", help="A model's name, .toml, or Hugging Face config.json.")],
    context: Annotated[int, typer.Option("--context", help="Tokens of each prompt.")],
    output: Annotated[int, typer.Option("--output", help="Tokens generated after it.")],
    hardware: Annotated[
        list[str] | None,
        typer.Option(
            "--hardware", help="A profile's name or .toml; repeat it. The calibrated, or all shipped GPUs by default."
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", help="Sequences decoded together; as many as fit by default.")
    ] = None,
    tpot_ms: Annotated[
        float | None, typer.Option("--tpot-ms", help="Longest expected time per output token, milliseconds.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="float16, bfloat16, float8, int4, q8_0 or float32; the model's own.")
    ] = None,
    kv: Annotated[
        str | None, typer.Option("--kv", help="KV cache: float16, bfloat16, float8 or float32; the model's own.")
    ] = None,
    max_gpus: Annotated[int, typer.Option("--max-gpus", help="GPUs of one machine that the model may span.")] = 8,
    transfer_ratio: Annotated[
        float | None,
        typer.Option("--transfer-ratio", help="SparQ moves at most 1/this of dense, by the paper's count; 8."),
    ] = None,
    rank: Annotated[int | None, typer.Option("--rank", help="Fix r; by default the largest in the budget.")] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Fix k; 128 by default.")] = None,
    fidelity: Annotated[
        Path | None,
        typer.Option("--fidelity", help="Take the settings from this record file of the model's measured fidelity."),
    ] = None,
    tolerance: Annotated[
        str | None, typer.Option("--tolerance", help="Loss that is allowed there: kl=0.05, agreement=0.95, …")
    ] = None,
    price: Annotated[
        list[str] | None, typer.Option("--price", help="NAME=USD_PER_H of one GPU, over the profile's; repeat it.")
    ] = None,
    power_share: Annotated[
        float, typer.Option("--power-share", help="Expected mean power while decoding, of the power limit.")
    ] = 0.7,
    reserve: Annotated[float, typer.Option("--reserve", help="Share of each GPU's memory kept free.")] = 0.1,
    calibration: Annotated[
        list[Path] | None,
        typer.Option("--calibration", help="Take a device's attention from this calibration; repeat it."),
    ] = None,
    implementations: options.Implementations = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with the trade-offs and a panel.")] = None,
    as_json: options.Json = False,
) -> None:
    """Size a deployment: GPUs, largest batch, time per token, cost and energy, dense against SparQ.

    Every speedup of attention stands beside the speedup of the whole step. What is unknown stays unknown, with its
    reason.

    Example: sparq-perf size --model llama-3-8b --hardware h100-sxm-80gb --hardware l40s-48gb --context 8000
    --output 192 --tpot-ms 20 --html sizing.html
    """
    from sparq_profiles import load_model
    from sparq_roofline.deployment.assumptions import POWER_SHARE
    from sparq_roofline.deployment.calibrated import outside
    from sparq_roofline.deployment.candidates import Demand
    from sparq_roofline.deployment.question import Question
    from sparq_roofline.deployment.recipe import TRANSFER_BUDGET
    from sparq_roofline.deployment.sizing import size as size_deployment

    if not POWER_SHARE[0] <= power_share <= POWER_SHARE[2]:
        raise ConfigError(f"--power-share is {power_share:g}: it must be from {POWER_SHARE[0]:g} to {POWER_SHARE[2]:g}")
    attention = _calibrated(calibration or [], implementations)
    profile = load_model(model)
    fixed = {"--transfer-ratio": transfer_ratio, "--rank": rank, "--top-k": top_k}
    question = Question(
        model=profile,
        hardware=_candidates(hardware or [], attention),
        demand=Demand(
            context=context,
            output=output,
            batch=batch,
            tpot_s=None if tpot_ms is None else tpot_ms / 1e3,
            most_gpus=max_gpus,
            reserve_fraction=reserve,
        ),
        weights=weights,
        kv=kv,
        budget=TRANSFER_BUDGET if transfer_ratio is None else transfer_ratio,
        rank=rank,
        top_k=top_k,
        settings=_measured(fidelity, tolerance, fixed, profile, context),
        prices_usd_per_h=_prices(price or []),
        power_share=(POWER_SHARE[0], power_share, POWER_SHARE[2]),
    )
    if attention is not None:
        evidence = dict.fromkeys(attention.calibrations, "calibrated")
        question = replace(question, attention=attention, evidence=evidence)  # type: ignore[arg-type]
    sizing = size_deployment(question)
    if attention is not None:
        sizing = replace(sizing, warnings=(*sizing.warnings, *outside(attention, question, sizing.rows)))
    if html is not None:
        from sparq_perf.sizing_report.render import write_sizing

        try:
            write_sizing(question, sizing, html)
        except OSError as error:
            raise ConfigError(f"--html {html}: cannot be written: {error.strerror or error}") from None
    if as_json:
        print_json(as_document(sizing))
    else:
        from sparq_perf.cli.size_table import print_sizing

        print_sizing(sizing, html)


def as_document(sizing: "Sizing") -> dict[str, Any]:
    """A sizing as plain data: everything that is printed, and more."""
    demand = {**asdict(sizing.demand), "tokens": sizing.demand.tokens, "seq_len": sizing.demand.seq_len}
    return {**asdict(sizing), "demand": demand, "rows": [_row(row) for row in sizing.rows]}


def _row(row: "Row") -> dict[str, Any]:
    held = row.memory
    memory = None if held is None else {**asdict(held), "total_bytes": held.total_bytes, "fits": held.fits}
    return {**asdict(row), "memory": memory, "reasons": dict(row.reasons)}


def _measured(
    fidelity: Path | None, tolerance: str | None, fixed: Mapping[str, object], model: "ModelProfile", context: int
) -> "MeasuredSettings | None":
    if fidelity is None and tolerance is None:
        return None
    if fidelity is None:
        raise ConfigError(f"--tolerance is {tolerance}: it is held against measured fidelity: give --fidelity as well")
    if tolerance is None:
        raise ConfigError(f"--fidelity is {fidelity}: say what loss is allowed: give --tolerance, such as kl=0.05")
    given = [option for option, value in fixed.items() if value is not None]
    if given:
        raise ConfigError(f"{given[0]} and --fidelity both choose the setting: give one of the two")
    from sparq_perf.fidelity.tolerance import parse_tolerance
    from sparq_perf.fidelity.tolerated import measured_settings

    return measured_settings(fidelity, parse_tolerance(tolerance), model, max(context, 1))


def _calibrated(paths: list[Path], implementations: str | None) -> "CalibratedAttention | None":
    if not paths:
        options.check_source("profiles", None, implementations)
        return None
    from sparq_perf.measured_points import own_traffic
    from sparq_roofline.calibration import load_calibration
    from sparq_roofline.deployment.calibrated import CalibratedAttention

    loaded = [load_calibration(path) for path in paths]
    return CalibratedAttention.of(loaded, options.parse_implementations(implementations), own_traffic())


def _candidates(names: list[str], attention: "CalibratedAttention | None") -> "list[HardwareProfile]":
    from sparq_profiles import load_hardware
    from sparq_profiles.load import all_hardware

    if not names and attention is not None:
        return [calibration.hardware for calibration in attention.calibrations.values()]
    if names:
        return [load_hardware(name) for name in names]
    return [profile for profile in all_hardware() if profile.kind == "gpu"]


def _prices(given: list[str]) -> dict[str, float]:
    prices: dict[str, float] = {}
    for text in given:
        name, equals, number = text.partition("=")
        try:
            price = float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ConfigError(f"--price is {text!r}: give NAME=USD_PER_H, as in l4-24gb=0.80")
        if name in prices:
            raise ConfigError(f"--price {name}: given twice")
        prices[name] = price
    return prices
