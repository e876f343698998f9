"""`sparq-perf gate aa`: how often the gate alarms where nothing changed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparq_perf.cli import gate_measuring as measuring_options
from sparq_perf.cli import gate_outputs, options
from sparq_perf.cli.gate_measuring import build_measuring, build_settings, tell
from sparq_perf.cli.options import print_json

if TYPE_CHECKING:
    from sparq_perf.gate.running.aa import AaResult

EXIT_FALSE_ALARM = 1
EXIT_NOTHING_JUDGED = 2


def aa(
    runs: Annotated[int, typer.Option("--runs", help="Comparisons of the revision with itself.")] = 20,
    revision: Annotated[str, typer.Option("--revision", help="Of both arms; . is the working tree.")] = ".",
    suite: measuring_options.Suite = None,
    pairs: measuring_options.Pairs = None,
    out: measuring_options.Out = Path("reports/gate-aa"),
    resume: measuring_options.Resume = False,
    implementation: measuring_options.Implementation = None,
    device: measuring_options.Device = None,
    threads: measuring_options.Threads = None,
    seed: measuring_options.Seed = None,
    timeout_s: measuring_options.TimeoutS = None,
    process_timeout_s: measuring_options.ProcessTimeoutS = None,
    predict: measuring_options.Predict = None,
    keep_trees: measuring_options.KeepTrees = False,
    repo: measuring_options.Repo = Path(),
    config: gate_outputs.Config = None,
    markdown: gate_outputs.Markdown = None,
    as_json: options.Json = False,
) -> int:
    """Compare a revision with itself, many times over: whatever is found then is a false alarm.

    Prints how often the gate alarmed, with the bound of the rate that so many runs can give, and how often it was not
    green. Leaves in --out, after every run, a table (aa.md), and spreads.json: how much each configuration varies on
    this machine, which 'gate run --spreads' takes for its floors. After a kill, --resume goes on; with more --runs it
    adds to those that are there.

    Exit codes: 0 no false alarm; 1 one at least; 2 nothing could be judged, a process failed, or bad input; 130
    interrupted.

    Example: sparq-perf gate aa --suite smoke --runs 20 --timeout-s 1.5 --markdown aa.md
    """
    from sparq_perf.gate.running.gating import Request, run_aa

    request = Request(
        base=revision,
        candidate=revision,
        out=out,
        repository=repo,
        resume=resume,
        keep_trees=keep_trees,
        settings=build_settings(config, pairs),
        measuring=build_measuring(
            config,
            implementation,
            suite=suite,
            device=device,
            threads=threads,
            seed=seed,
            timeout_s=timeout_s,
            process_timeout_s=process_timeout_s,
            predict=predict,
        ),
    )
    result = run_aa(request, runs, tell)
    if markdown is not None:
        from sparq_perf.gate.outputs import write_text

        write_text(markdown, result.as_markdown())
    if as_json:
        print_json(result.as_json())
    else:
        for line in result.lines:
            typer.echo(line)
    return _exit_code(result)


def _exit_code(result: "AaResult") -> int:
    if result.rates.alarms.n:
        return EXIT_FALSE_ALARM
    return 0 if result.judged else EXIT_NOTHING_JUDGED
