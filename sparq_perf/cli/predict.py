"""`sparq-perf predict`: one configuration on one device, from the formulas."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparq_perf.cli import options
from sparq_perf.cli.options import build_config, build_shape, print_json
from sparq_profiles import AttentionShape, SparqConfig

if TYPE_CHECKING:
    from sparq_roofline.prediction import Prediction


def predict(
    seq_len: Annotated[int, typer.Option("--seq-len", help="Tokens in the KV cache, the new one included (S).")],
    rank: Annotated[int, typer.Option("--rank", help="Query components for the approximate scores (r).")],
    top_k: Annotated[int, typer.Option("--top-k", help="Positions attended exactly (k).")],
    hardware: options.HardwareOrCalibration = None,
    calibration: options.Calibration = None,
    implementations: options.Implementations = None,
    batch: Annotated[int, typer.Option("--batch", help="Sequences decoded together (B).")] = 1,
    model: options.Model = None,
    n_heads: options.NHeads = None,
    n_kv_heads: options.NKvHeads = None,
    head_dim: options.HeadDim = None,
    dtype: options.DTypeName = None,
    local_window: Annotated[int, typer.Option("--local-window", help="Recent positions always selected.")] = 0,
    mean_value: options.MeanValue = True,
    group_score: Annotated[str, typer.Option("--group-score", help="logits or softmax, for grouped heads.")] = "logits",
    k_layout: options.KLayoutName = "two_copies",
    append: options.Append = True,
    as_json: options.Json = False,
) -> None:
    """Predict dense and SparQ attention for one decode step in one layer.

    Bytes, FLOPs, a lower, expected and upper time, what binds, and the paper's element counts. From a hardware profile,
    or, with a calibration, an implementation's own time with a 90 % interval, without the append.

    Example: sparq-perf predict --hardware h100-sxm-80gb --model llama-3-8b --batch 16 --seq-len 32768 --rank 32
    --top-k 128
    """
    shape = build_shape(model, n_heads, n_kv_heads, head_dim, batch=batch, seq_len=seq_len, dtype=dtype)
    config = build_config(rank, top_k, local_window, mean_value, group_score, k_layout)
    options.check_source(hardware, calibration, implementations)
    if calibration is not None:
        prediction = _calibrated(calibration, implementations, shape, config)
    else:
        from sparq_profiles import load_hardware
        from sparq_roofline import predict as predict_attention

        prediction = predict_attention(load_hardware(str(hardware)), shape, config, include_append=append)
    if as_json:
        print_json(as_document(prediction))
    else:
        _print(prediction)


def _calibrated(
    calibration: Path, implementations: str | None, shape: AttentionShape, config: SparqConfig
) -> "Prediction":
    from sparq_perf.measured_points import own_traffic
    from sparq_roofline.calibration import load_calibration
    from sparq_roofline.calibration.pair import choose_pair, predict_pair

    loaded = load_calibration(calibration)
    pair = choose_pair(loaded, options.parse_implementations(implementations))
    return predict_pair(loaded, pair, shape, config, own_traffic=own_traffic())


def as_document(prediction: "Prediction") -> dict[str, Any]:
    """A prediction as plain data, with what binds the configuration asked for."""
    return {**asdict(prediction), "bound": prediction.bound}


def _print(prediction: "Prediction") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    shape, sparq, dense = prediction.shape, prediction.sparq, prediction.dense
    assert sparq is not None
    assert prediction.speedup is not None
    assert prediction.paper is not None
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title=f"{prediction.hardware}: B={shape.batch} S={shape.seq_len:,} heads {shape.n_heads}/{shape.n_kv_heads} "
        f"d={shape.head_dim} {shape.dtype}",
        title_justify="left",
    )
    for column in ("", "read MB", "write MB", "MFLOP", "low µs", "µs", "high µs", "bound"):
        table.add_column(column, justify="left" if column in ("", "bound") else "right", no_wrap=True)
    for name, side in (("dense", dense), ("SparQ", sparq)):
        times = side.time_s
        table.add_row(
            name,
            *(f"{number / 1e6:,.1f}" for number in (side.read_bytes, side.write_bytes, side.flops)),
            *(f"{seconds * 1e6:,.1f}" for seconds in (times.lower, times.expected, times.upper)),
            side.bound,
        )
        for step in side.steps:
            table.add_row(
                f" {step.name}",
                *(f"{number / 1e6:,.1f}" for number in (step.read_bytes, step.write_bytes, step.flops)),
                "",
                f"{step.time_s * 1e6:,.1f}",
                "",
                step.bound,
                style="dim",
            )
    console = Console()
    console.print(table)
    speedup, paper = prediction.speedup, prediction.paper
    console.print(
        f"speedup of attention {speedup.expected:.2f}× expected, {speedup.lower:.2f}× to {speedup.upper:.2f}× "
        f"(from {dense.evidence} numbers); paper: {paper.sparq_elements_per_head:,} of "
        f"{paper.dense_elements_per_head:,} elements, ratio {paper.transfer_ratio:.3f}",
        highlight=False,
    )
    outside = sorted({*dense.extrapolated, *sparq.extrapolated})
    if outside:
        console.print(f"outside what the calibration saw, so that intervals are wider: {', '.join(outside)}")
