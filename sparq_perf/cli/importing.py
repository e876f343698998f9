"""`sparq-perf import`: measurements that others made, to records."""

from pathlib import Path
from typing import Annotated

import typer

from sparq_perf.cli import options
from sparq_perf.cli.options import print_json
from sparq_profiles import ConfigError

CACHE_STATES = ("cold", "warm")


def import_(
    table: Annotated[Path, typer.Argument(help="CSV file, one measured configuration a line; see docs/records.md.")],
    hardware: options.Hardware,
    out: Annotated[Path, typer.Option("--out", help="The record file to write; one that exists is refused.")] = Path(
        "records.jsonl"
    ),
    cache_state: Annotated[
        str, typer.Option("--cache-state", help="What the calls found, which the file does not say: cold or warm.")
    ] = "cold",
    as_json: options.Json = False,
) -> None:
    """Turn a CSV file of measured times into records, for calibrate, validate and report.

    Columns: device, implementation, batch, seq_len, n_heads, n_kv_heads, head_dim, dtype, rank, top_k, k_layout,
    time_s, time_stderr_s. rank, top_k and k_layout are empty for dense attention; times are seconds of one call.

    Example: sparq-perf import sweep.csv --hardware a100-sxm-40gb --out records.jsonl
    """
    from sparq_perf.importing import import_csv
    from sparq_perf.records.schema import Imported
    from sparq_perf.records.store import RecordError, RecordWriter
    from sparq_profiles.load import load_hardware

    if cache_state not in CACHE_STATES:
        raise ConfigError(f"--cache-state is {cache_state!r}: choose {' or '.join(CACHE_STATES)}")
    profile = load_hardware(hardware)
    lines = import_csv(table, profile, cache_state)  # type: ignore[arg-type]
    first = lines[0]
    assert isinstance(first, Imported)
    if out.exists() and out.stat().st_size:
        raise RecordError(f"{out}: holds something already: name another --out")
    with RecordWriter(out) as writer:
        for line in lines:
            writer.append(line)
    if profile.device_names and first.device not in profile.device_names:
        told = f"the file's device is {first.device!r}, and {profile.name} is {profile.title}: is it the same?"
        typer.echo(f"sparq-perf: {told}", err=True)
    if as_json:
        print_json({"records": str(out), "device": first.device, "n_measurements": first.n_measurements})
    else:
        typer.echo(f"records     {out}: {first.n_measurements} measurements of {first.device}")
