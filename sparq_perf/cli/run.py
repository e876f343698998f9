"""`sparq-perf run`: measure a suite on this machine, predict it, and report."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparq_perf.cli import options
from sparq_perf.cli.options import print_json
from sparq_profiles import ConfigError

if TYPE_CHECKING:
    from sparq_perf.records.schema import Line, PassName

EXIT_FAILED_CHECK = 1
EXIT_NOTHING_VALID = 2
EXIT_INTERRUPTED = 130

# What measures a device where no suite is named.
DEFAULT_SUITES = {"cpu": "standard", "cuda": "gpu"}


def run(
    suite: Annotated[
        str | None,
        typer.Option(
            "--suite",
            help="smoke, standard, paper, long, gpu, gpu-grid, gpu-smoke, or the path of a .toml; "
            "standard on a CPU and gpu on a GPU by default.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for records.jsonl, summary.md and report.html.")] = Path(
        "reports/latest"
    ),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the records in --out: measure only what is missing.")
    ] = False,
    implementation: Annotated[
        list[str] | None, typer.Option("--implementation", help="Measure only this one; may be given again.")
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="cpu, cuda, or auto: the GPU where there is one and the suite allows it.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", help="Threads; all usable cores by default.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of caches and queries.")] = 0,
    timeout_s: Annotated[
        float | None, typer.Option("--timeout-s", help="Longest time for one shape's rounds; 8 on a CPU, 3 on a GPU.")
    ] = None,
    predict: Annotated[
        bool,
        typer.Option(
            "--predict/--no-predict",
            help="Find ceilings and calibrate, which predictions need and most of a short run takes.",
        ),
    ] = True,
    nvml: Annotated[
        bool, typer.Option("--nvml/--no-nvml", help="Measure energy, power and clocks where the suite asks for it.")
    ] = True,
    profile: Annotated[
        bool, typer.Option("--profile/--no-profile", help="Make the torch.profiler pass for time per step.")
    ] = True,
    counters: Annotated[
        bool, typer.Option("--counters/--no-counters", help="Count DRAM bytes where the suite asks for it.")
    ] = True,
    counted: Annotated[
        bool, typer.Option("--counted/--no-counted", help="Count what small Triton configurations access.")
    ] = True,
    subtract_idle: Annotated[
        bool, typer.Option("--subtract-idle", help="Take the GPU's idle power, measured first, off its energy.")
    ] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html, which needs plotly.")] = True,
    as_json: options.Json = False,
) -> int:
    """Measure dense and SparQ attention on this machine beside their predictions.

    Each result is on disk before the next begins: after Ctrl-C or a kill, --resume measures only what is missing.
    Exit codes: 0 all measured; 1 an implementation was wrong; 2 bad input, or nothing valid; 130 interrupted.
    """
    # torch's profiler announces every start and stop on stderr otherwise; read when torch is first imported.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    from sparq_profiles import load_suite

    loaded = load_suite(suite) if suite is not None else None
    if timeout_s is not None and not timeout_s > 0:  # nor NaN, which no elapsed time would reach
        raise ConfigError(f"--timeout-s is {timeout_s:g}: it must be above 0")

    from sparq_perf.cli.progress import ProgressBar
    from sparq_perf.measure.machine import choose_device
    from sparq_perf.measure.run import RunOptions, run_suite
    from sparq_perf.publishing import publish
    from sparq_perf.records.store import read_lines

    chosen_device = choose_device(device, loaded.device if loaded else "any")
    loaded = loaded or load_suite(DEFAULT_SUITES[chosen_device])
    made_or_not: dict[PassName, bool] = {
        "nvml": nvml,
        "profile": profile,
        "counters": counters,
        "counted": counted,
    }
    chosen = RunOptions(
        suite=loaded,
        out=out,
        device=chosen_device,
        implementations=tuple(implementation or ()),
        resume=resume,
        seed=seed,
        n_threads=threads,
        timeout_s=timeout_s,
        predict=predict,
        skipped=frozenset(name for name, made in made_or_not.items() if not made),
        subtract_idle=subtract_idle,
        command=("sparq-perf", *sys.argv[1:]),
    )
    with ProgressBar(f"suite {loaded.name}") as progress:
        path, outcome = run_suite(chosen, progress)
    lines = read_lines(path)
    published = publish(lines, loaded, out, with_report=report)
    if as_json:
        print_json({"records": str(path), "outcome": outcome, **published.as_json()})
    else:
        typer.echo(f"records     {path}")
        for line in published.lines:
            typer.echo(line)
    return _exit_code(lines, outcome)


def _exit_code(lines: list["Line"], outcome: str) -> int:
    from sparq_perf.records.store import latest_measurements

    measurements = latest_measurements(lines).values()
    if outcome == "interrupted":
        return EXIT_INTERRUPTED
    if any(reason.startswith("wrong:") for m in measurements for reason in m.reasons):
        return EXIT_FAILED_CHECK
    return 0 if any(m.status == "ok" for m in measurements) else EXIT_NOTHING_VALID
