"""`sparq-perf fidelity`: what SparQ does to a real language model's answers."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparq_perf.cli import options
from sparq_perf.cli.options import print_json
from sparq_perf.cli.sweep import parse_values
from sparq_profiles import ConfigError, SparqConfig

if TYPE_CHECKING:
    from sparq_perf.fidelity.tasks import Task
    from sparq_perf.records.schema import Fidelity

MEANS = {"on": (True,), "off": (False,), "both": (True, False)}


def fidelity(
    model: Annotated[str, typer.Option("--model", help="A model's folder, or its name on the hub.")],
    gguf_file: Annotated[str | None, typer.Option("--gguf-file", help="Name of a GGUF file in that folder.")] = None,
    rank: Annotated[str, typer.Option("--rank", help="Values: 8,16,32 or doubling 8..64.")] = "16",
    top_k: Annotated[str, typer.Option("--top-k", help="Values, as for --rank.")] = "128",
    setting: Annotated[
        list[str] | None, typer.Option("--setting", help="rank:top_k instead of the grid; may be given again.")
    ] = None,
    local_window: Annotated[
        str, typer.Option("--local-window", help="Most recent positions among the top-k; 'quarter' is top_k / 4.")
    ] = "quarter",
    mean_value: Annotated[str, typer.Option("--mean-value", help="on, off or both.")] = "on",
    group_score: Annotated[str, typer.Option("--group-score", help="logits, softmax or logits,softmax.")] = "logits",
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task", help="wikitext, repetition, squad, triviaqa or cnn_dailymail; may be given again. All by default."
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data", help="TASK=FILE in the data set's published format, or TASK=hub; the project's own by default."
        ),
    ] = None,
    context: Annotated[int, typer.Option("--context", min=1, help="Tokens prefilled, at most.")] = 512,
    new_tokens: Annotated[int, typer.Option("--new-tokens", min=1, help="Decode steps of each example.")] = 32,
    examples: Annotated[int, typer.Option("--examples", min=1, help="Examples of each task, at most.")] = 4,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Examples decoded together.")] = 4,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the choice of examples.")] = 0,
    dtype: Annotated[str, typer.Option("--dtype", help="float32, bfloat16 or float16.")] = "float32",
    device: Annotated[str, typer.Option("--device", help="Where the model runs: cpu or cuda.")] = "cpu",
    implementation: Annotated[
        str, typer.Option("--implementation", help="A sparse implementation, or auto: the first that fits.")
    ] = "auto",
    speed: Annotated[bool, typer.Option("--speed/--no-speed", help="Also time decode steps of the model.")] = True,
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", help="LAYER:HEAD: also record that head's attention in the first task's first example."),
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads; torch's choice by default.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Record file; what it holds already is not run again.")] = Path(
        "reports/latest/fidelity.jsonl"
    ),
    table: Annotated[
        Path | None, typer.Option("--markdown", help="Write everything the record file holds as tables to this file.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Run tasks on a language model, dense and with every setting of a grid.

    Prefill is dense; decode steps run SparQ. Each line is on disk before the next begins: call it again to go on.

    Example: sparq-perf fidelity --model OWNER/NAME --rank 16,32 --top-k 128 --task wikitext --data wikitext=wiki.txt
    """
    configs = _configs(setting, rank, top_k, local_window, mean_value, group_score)
    tasks = _tasks(task, data, out.parent / "data")

    from sparq_perf.fidelity.attention_map import Head

    heads = [Head.parse(text) for text in maps or ()]

    from sparq_perf.cli.progress import ProgressBar
    from sparq_perf.fidelity.loading import load_model

    loaded = load_model(model, gguf_file, dtype=dtype, device=device)
    if threads is not None:
        import numba
        import torch

        torch.set_num_threads(threads)
        numba.set_num_threads(min(threads, numba.get_num_threads()))

    from sparq_perf.fidelity.mapping import check_heads, run_maps
    from sparq_perf.fidelity.run import Plan, run_fidelity

    check_heads(loaded, heads)
    plan = Plan(
        tasks, configs, context, new_tokens, examples, batch, seed, out, implementation=implementation, with_speed=speed
    )
    with ProgressBar(f"fidelity of {loaded.name}") as progress:
        lines = run_fidelity(loaded, plan, progress)
        mapped = run_maps(loaded, plan, heads, progress) if heads else []
    if table is not None:
        _write_tables(out, table)
    if as_json:
        print_json([line.model_dump(mode="json", exclude={"layers"}) for line in lines])
        return
    for text in _table(lines):
        typer.echo(text)
    if mapped:
        typer.echo(f"maps        {len(mapped)} of {', '.join(maps or ())}: draw them with sparq-perf report {out}")
    typer.echo(f"records     {out}")


def _write_tables(records: Path, path: Path) -> None:
    from sparq_perf.fidelity.table import markdown
    from sparq_perf.records.schema import Fidelity
    from sparq_perf.records.store import read_lines

    text = markdown(line for line in read_lines(records) if isinstance(line, Fidelity))
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--markdown {path}: cannot be written: {error.strerror}") from None


def _configs(
    settings: list[str] | None, rank: str, top_k: str, window: str, mean_value: str, group_score: str
) -> tuple[SparqConfig, ...]:
    if mean_value not in MEANS:
        raise ConfigError(f"--mean-value is {mean_value!r}: choose on, off or both")
    pairs = (
        [_pair(text) for text in settings]
        if settings
        else list(product(parse_values("--rank", rank), parse_values("--top-k", top_k)))
    )
    groups = group_score.split(",")
    return tuple(
        SparqConfig(r, k, _window(window, k), mean, group)  # type: ignore[arg-type]
        for (r, k), mean, group in product(pairs, MEANS[mean_value], groups)
    )


def _pair(text: str) -> tuple[int, int]:
    parts = text.split(":")
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise ConfigError(f"--setting is {text!r}: give rank:top_k, such as 16:128")
    return int(parts[0]), int(parts[1])


def _window(text: str, top_k: int) -> int:
    if text == "quarter":
        return top_k // 4
    if not text.isdigit():
        raise ConfigError(f"--local-window is {text!r}: give a whole number or 'quarter'")
    return int(text)


def _tasks(
    names: list[str] | None, data: list[str] | None, folder: Path
) -> tuple[tuple["Task", tuple[Path, ...]], ...]:
    from sparq_perf.fidelity.hub import fetch
    from sparq_perf.fidelity.tasks import TASKS, find_task

    files: dict[str, list[Path]] = {}
    for text in data or ():
        name, _, path = text.partition("=")
        find_task(name)
        if path != "hub" and not Path(path).is_file():
            raise ConfigError(f"--data is {text!r}: {path or 'nothing'} is no file: give TASK=FILE or TASK=hub")
        files.setdefault(name, []).append(fetch(name, folder) if path == "hub" else Path(path))
    chosen = [find_task(name) for name in (names or TASKS)]
    return tuple((task, tuple(files.get(task.name, task.files))) for task in chosen)


def _table(lines: list["Fidelity"]) -> list[str]:
    from sparq_perf.fidelity.run import described

    rows = []
    for line in lines:
        scores = "  ".join(f"{name} {value:.4g}" for name, value in line.scores.items())
        ratio = "" if line.transfer_ratio is None else f"{line.transfer_ratio:.3f}"
        rows.append(f"{line.task:14} {described(line.config):34} {ratio:6} {scores}")
    return rows
