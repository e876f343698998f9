"""`sparq-perf sweep`: a grid of configurations at once."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparq_perf.cli import options
from sparq_perf.cli.options import build_shape, print_json
from sparq_profiles import ConfigError

if TYPE_CHECKING:
    import pandas as pd

LARGEST_GRID = 20_000_000
LARGEST_VALUE = 2**40  # products of four such numbers stay within a float
ROWS_SHOWN = 40
HEADER = ("batch", "seq_len", "rank", "top_k", "dense ms", "SparQ ms", "speedup", "range", "bound")
SIZES = ("batch", "seq_len", "rank", "top_k")
TIMES = ("dense_time_s", "sparq_time_s")


def sweep(
    seq_len: Annotated[str, typer.Option("--seq-len", help="Values: 4096,16384 or doubling 4096..131072.")],
    hardware: options.HardwareOrCalibration = None,
    calibration: options.Calibration = None,
    implementations: options.Implementations = None,
    rank: Annotated[str, typer.Option("--rank", help="Values, as for --seq-len.")] = "16,32,64",
    top_k: Annotated[str, typer.Option("--top-k", help="Values, as for --seq-len.")] = "128",
    batch: Annotated[str, typer.Option("--batch", help="Values, as for --seq-len.")] = "1",
    model: options.Model = None,
    n_heads: options.NHeads = None,
    n_kv_heads: options.NKvHeads = None,
    head_dim: options.HeadDim = None,
    dtype: options.DTypeName = None,
    mean_value: options.MeanValue = True,
    group_score: Annotated[str, typer.Option("--group-score", help="logits or softmax, for grouped heads.")] = "logits",
    k_layout: options.KLayoutName = "two_copies",
    append: options.Append = True,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write every row and column to this CSV file.")] = None,
    as_json: options.Json = False,
) -> None:
    """Predict every combination of batch, length, rank and top-k on one device, or by its calibration.

    A calibration whose implementations are this package's own is taken by 'predict' and 'size' only.

    Example: sparq-perf sweep --hardware a100-sxm-80gb --model llama-2-7b --batch 1,8,64 --seq-len 1024..131072
    """
    import numpy as np

    from sparq_roofline import sweep as sweep_grid

    options.check_source(hardware, calibration, implementations)
    by = _models(calibration, implementations)
    lists = [
        parse_values("--batch", batch),
        parse_values("--seq-len", seq_len),
        parse_values("--rank", rank),
        parse_values("--top-k", top_k),
    ]
    n_rows = int(np.prod([len(values) for values in lists], dtype=float))
    if n_rows > LARGEST_GRID:
        raise ConfigError(f"the grid has {n_rows:,} configurations: at most {LARGEST_GRID:,} fit: use fewer values")
    shape = build_shape(model, n_heads, n_kv_heads, head_dim, batch=1, seq_len=1, dtype=dtype)
    grid = np.array(list(product(*lists)), dtype=np.int64).T
    frame = sweep_grid(
        hardware=hardware,
        batch=grid[0],
        seq_len=grid[1],
        rank=grid[2],
        top_k=grid[3],
        n_heads=shape.n_heads,
        n_kv_heads=shape.n_kv_heads,
        head_dim=shape.head_dim,
        dtype=shape.dtype,
        k_layout=k_layout,
        mean_value=mean_value,
        group_score=group_score,
        include_append=append,
        **by,
    )
    if csv is not None:
        try:
            frame.to_csv(csv, index=False)
        except OSError as error:
            raise ConfigError(f"--csv {csv}: cannot be written: {error.strerror or error}") from None
    if as_json:
        print_json(frame.to_dict(orient="records"))
    else:
        _print(frame, csv)


def _models(calibration: Path | None, implementations: str | None) -> dict[str, Any]:
    if calibration is None:
        return {}
    from sparq_roofline.calibration import load_calibration
    from sparq_roofline.calibration.pair import choose_pair

    loaded = load_calibration(calibration)
    return {
        "calibration": loaded,
        "implementations": choose_pair(loaded, options.parse_implementations(implementations)),
    }


def parse_values(option: str, text: str) -> list[int]:
    """Whole numbers from ``4096,16384``; ``1024..8192`` doubles from the first to the last."""
    values: list[int] = []
    for part in text.split(","):
        first, dots, last = part.strip().partition("..")
        try:
            low, high = int(first), int(last) if dots else int(first)
        except ValueError:
            raise ConfigError(f"{option} is {text!r}: give whole numbers, as in 4096,16384 or 4096..131072") from None
        if low < 1 or high < low:
            raise ConfigError(f"{option} is {text!r}: numbers must be at least 1, and ranges ascend")
        if high > LARGEST_VALUE:
            raise ConfigError(f"{option} is {text!r}: numbers must be at most {LARGEST_VALUE:,}")
        while low < high:
            values.append(low)
            low *= 2
        values.append(min(low, high))
    return list(dict.fromkeys(values))


def _print(frame: "pd.DataFrame", csv: Path | None) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in HEADER:
        table.add_column(column, justify="left" if column == "bound" else "right", no_wrap=True)
    for row in frame.head(ROWS_SHOWN).itertuples(index=False):
        table.add_row(
            *(f"{int(getattr(row, name)):,}" for name in SIZES),
            *(f"{getattr(row, name) * 1e3:,.4f}" for name in TIMES),
            f"{row.speedup:.2f}×",
            f"{row.speedup_lower:.2f}–{row.speedup_upper:.2f}",
            str(row.sparq_bound),
        )
    console = Console()
    console.print(table)
    if "extrapolated" in frame and frame.extrapolated.any():
        n_outside = int(frame.extrapolated.sum())
        told = f"{n_outside:,} of {len(frame):,} rows lie outside what the calibration saw; their ranges are wider"
        console.print(told, highlight=False)
    if len(frame) > ROWS_SHOWN:
        where = f"all are in {csv}" if csv else "give --csv FILE or --json for all"
        console.print(f"{ROWS_SHOWN} of {len(frame):,} rows: {where}", highlight=False)
