"""`sparq-perf gate`: whether a change made SparQ worse; facts on every commit, measurements where a clock is needed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparq_perf.cli import gate_aa, gate_check, gate_run, options
from sparq_perf.cli.gate_outputs import Annotations, Config, Junit, Markdown, Outputs
from sparq_perf.cli.options import print_json
from sparq_profiles import ConfigError

if TYPE_CHECKING:
    from sparq_perf.gate.deterministic.deciding import Decision

EXIT_CHANGED = 1

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def gate(
    context: typer.Context,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", help="File of the accepted facts; reports/baselines/deterministic.json by default."),
    ] = None,
    section: Annotated[
        list[str] | None,
        typer.Option(
            "--section", help="Look only at analytic, counted, launches, compiled or code; may be given again."
        ),
    ] = None,
    compile_which: Annotated[
        str | None,
        typer.Option("--compile", help="changed (default): kernels whose code is not the accepted one; all; never."),
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Show what changed, and write it to the baseline.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Show every change.")] = False,
    config: Config = None,
    markdown: Markdown = None,
    junit: Junit = None,
    annotations: Annotations = False,
    as_json: options.Json = False,
) -> int:
    """Tell whether a change made SparQ slower, hungrier or less predictable.

    Without a subcommand, the deterministic gate: facts that need no clock and no GPU (bytes and FLOPs by the formulas,
    accesses counted in Triton's interpreter, launches, registers and shared memory of every kernel, digests of the code
    that none of these reach) against those accepted before. Takes some seconds, and some more for each kernel that
    changed. Any change must be mended, or accepted on purpose with --accept.

    The subcommands measure: run takes two revisions in turn on this machine, check judges records that are there, aa
    measures how often the gate itself is wrong.

    Exit codes: 0 as accepted; 1 something changed; 2 it could not be told, or bad input.

    Example: sparq-perf gate --section analytic --section counted
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return 0
    with Outputs(markdown, junit, annotations=annotations).or_error():
        from sparq_perf.gate.deterministic.deciding import decide
        from sparq_perf.gate.deterministic.settings import load_request

        decision = decide(load_request(config, baseline, section, compile_which, accept))
        _publish(decision, markdown, junit)
    if as_json:
        print_json(decision.as_json())
    else:
        from sparq_perf.gate.deterministic.wording import told

        for line in told(decision, everything=everything):
            typer.echo(line)
    if annotations:
        from sparq_perf.gate.deterministic import outputs

        for line in outputs.annotations(decision):
            typer.echo(line, err=as_json)
    return 0 if decision.passes else EXIT_CHANGED


def _refuse_options(context: typer.Context) -> None:
    """Options before a subcommand's name would be taken and forgotten."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            name, command = parameter.opts[0], context.invoked_subcommand
            raise ConfigError(f"{name} stands before {command!r}: options of a subcommand follow its name")


def _publish(decision: "Decision", markdown: Path | None, junit: Path | None) -> None:
    from sparq_perf.gate.deterministic import outputs
    from sparq_perf.gate.outputs.writing import write_text

    if markdown is not None:
        write_text(markdown, outputs.markdown(decision))
    if junit is not None:
        write_text(junit, outputs.junit(decision))


app.command("run")(gate_run.run)
app.command("check")(gate_check.check)
app.command("aa")(gate_aa.aa)
