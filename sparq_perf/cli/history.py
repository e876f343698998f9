"""`sparq-perf history`: results over time, and where they changed."""

from pathlib import Path
from typing import Annotated

import typer

from sparq_perf.cli import options
from sparq_perf.cli.options import print_json


def history(
    folder: Annotated[Path, typer.Argument(help="The history's folder; --add makes it where there is none.")],
    add: Annotated[
        list[Path] | None,
        typer.Option(
            "--add", help="A records.jsonl (or .gz), or the folder that holds one, to add; may be given again."
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Draw it as an HTML page.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="time, energy, dram_bytes or prediction_error; may be given again."),
    ] = None,
    key: Annotated[str, typer.Option("--key", help="Only configurations like this, such as 'llama-*/cold/*'.")] = "*",
    config: Annotated[
        Path | None,
        typer.Option("--config", help="A .toml with [tool.sparq-perf.gate]; the nearest pyproject.toml by default."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Keep results over time, and tell where a level changed, by how much and how sure that is.

    Each record file is one point of every configuration that it holds. Series are kept apart by device, threads,
    driver and versions. A change is a warning: `gate run` tells what a revision changed.

    Exit codes: 0 also where something changed; 2 bad input.

    Example: sparq-perf history results --add reports/latest --html history.html
    """
    from sparq_perf.gate.configuring import load_settings
    from sparq_perf.gate.errors import GateError
    from sparq_perf.gate.history.page import write_history_page
    from sparq_perf.gate.history.store import History
    from sparq_perf.gate.history.view import history_json, history_lines, view_history
    from sparq_perf.gate.metrics import parse_metrics

    metrics, settings = parse_metrics(metric or ()), load_settings(config)
    if not add and not folder.exists():
        raise GateError(f"{folder}: no such folder: add records to it with --add, or name a history")
    store = History(folder)
    added = [(path, store.add(path)) for path in add or ()]
    views = view_history(store.tracks(metrics, key), settings)
    if html is not None:
        write_history_page(views, store.segments(), html)
    if as_json:
        print_json(history_json(views))
        return
    for path, copy in added:
        typer.echo(f"added       {path} as {copy}" if copy else f"added       {path}: the history has it already")
    for line in history_lines(views):
        typer.echo(line)
    if html is not None:
        typer.echo(f"page        {html}")
