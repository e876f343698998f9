"""`sparq-perf gate check`: a verdict on records that are there already."""

from pathlib import Path
from typing import Annotated

import typer

from sparq_perf.cli import gate_outputs, options
from sparq_perf.cli.gate_measuring import build_settings
from sparq_perf.cli.gate_outputs import Outputs


def check(
    base: Annotated[Path, typer.Argument(help="Records to compare with: a .jsonl, or the folder of a records.jsonl.")],
    candidate: Annotated[Path, typer.Argument(help="Records to judge.")],
    spreads: Annotated[
        Path | None, typer.Option("--spreads", help="spreads.json of a 'gate aa' on this machine, for the floors.")
    ] = None,
    config: gate_outputs.Config = None,
    markdown: gate_outputs.Markdown = None,
    junit: gate_outputs.Junit = None,
    html: gate_outputs.Html = None,
    annotations: gate_outputs.Annotations = False,
    as_json: options.Json = False,
) -> int:
    """Judge records of two revisions, made by 'sparq-perf run' or 'sparq-perf gate run'.

    Runs that were made in turn are judged pair by pair, as 'gate run' does: give the files that hold all runs of a
    revision. Others are stored records, of which only large differences can be told.

    Exit codes: 0 nothing got worse; 1 REGRESSED; 2 something is AMBIGUOUS or INVALID, or bad input.

    Example: sparq-perf gate check reports/gate/base.jsonl reports/gate/candidate.jsonl
    """
    outputs = Outputs(markdown, junit, html, annotations)
    with outputs.or_error():
        from sparq_perf.gate.checking import check as judge_records
        from sparq_perf.gate.running.aa import read_spreads

        known = read_spreads(spreads) if spreads is not None else None
        outcome = judge_records(base, candidate, build_settings(config, None), spreads=known)
        outputs.publish(outcome, as_json=as_json)
    return outcome.exit_code
