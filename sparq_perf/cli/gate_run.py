"""`sparq-perf gate run`: two revisions, measured in turn on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from sparq_perf.cli import gate_measuring as measuring_options
from sparq_perf.cli import gate_outputs, options
from sparq_perf.cli.gate_measuring import build_measuring, build_settings, tell
from sparq_perf.cli.gate_outputs import Outputs


def run(
    base: Annotated[str, typer.Option("--base", help="Revision to compare with: a commit, branch or tag.")],
    candidate: Annotated[
        str, typer.Option("--candidate", help="Revision to judge; . is the working tree as it stands.")
    ] = ".",
    suite: measuring_options.Suite = None,
    pairs: measuring_options.Pairs = None,
    out: measuring_options.Out = Path("reports/gate"),
    resume: measuring_options.Resume = False,
    implementation: measuring_options.Implementation = None,
    device: measuring_options.Device = None,
    threads: measuring_options.Threads = None,
    seed: measuring_options.Seed = None,
    timeout_s: measuring_options.TimeoutS = None,
    process_timeout_s: measuring_options.ProcessTimeoutS = None,
    predict: measuring_options.Predict = None,
    install: measuring_options.Install = None,
    spreads: Annotated[
        Path | None, typer.Option("--spreads", help="spreads.json of a 'gate aa' on this machine, for the floors.")
    ] = None,
    keep_trees: measuring_options.KeepTrees = False,
    repo: measuring_options.Repo = Path(),
    config: gate_outputs.Config = None,
    markdown: gate_outputs.Markdown = None,
    junit: gate_outputs.Junit = None,
    html: gate_outputs.Html = None,
    annotations: gate_outputs.Annotations = False,
    as_json: options.Json = False,
) -> int:
    """Measure two revisions in turn on this machine, and say of each configuration whether it got worse.

    Each revision is checked out into --out and run as it is, in pairs of fresh processes: base, candidate, candidate,
    base, ... What looks worse, or cannot be told, is measured again by fresh pairs before it is called REGRESSED. Each
    process is on disk before the next begins; after a kill, --resume goes on. Nothing else should run meanwhile.

    Exit codes: 0 nothing got worse; 1 REGRESSED; 2 something is AMBIGUOUS or INVALID, a process failed, or bad input;
    130 interrupted.

    Example: sparq-perf gate run --base main --candidate . --suite smoke
    """
    outputs = Outputs(markdown, junit, html, annotations)
    with outputs.or_error():
        from sparq_perf.gate.running.aa import read_spreads
        from sparq_perf.gate.running.gating import Request, run_gate

        request = Request(
            base=base,
            candidate=candidate,
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
                install=install,
            ),
            spreads=read_spreads(spreads) if spreads is not None else {},
        )
        outcome = run_gate(request, tell)
        outputs.publish(outcome, as_json=as_json)
    return outcome.exit_code
