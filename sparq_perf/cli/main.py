"""`sparq-perf`: the commands, and the one place that turns errors into exit codes."""

import os
import sys
import traceback
from typing import Annotated, Any

import typer

from sparq_perf import __version__
from sparq_perf.cli import (
    calibrate,
    doctor,
    fidelity,
    gate,
    history,
    importing,
    predict,
    profiles,
    report,
    run,
    size,
    sweep,
    trace,
    traffic,
    validate,
)
from sparq_profiles import SparqPerfError

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # the shells' code for Ctrl-C: what was asked for is not all there

# click's UsageError: of the click package, or of typer's own copy of it, which recent versions carry instead.
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="sparq-perf",
    help="What SparQ Attention buys on your hardware: predicted, measured, and why the two differ.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("run")(run.run)
app.command("predict")(predict.predict)
app.command("sweep")(sweep.sweep)
app.command("size")(size.size)
app.command("traffic")(traffic.traffic)
app.command("import")(importing.import_)
app.command("calibrate")(calibrate.calibrate)
app.command("validate")(validate.validate)
app.command("fidelity")(fidelity.fidelity)
app.command("report")(report.report)
app.command("trace")(trace.trace)
app.add_typer(gate.app, name="gate")
app.command("history")(history.history)
app.command("doctor")(doctor.doctor)
app.command("hardware")(profiles.hardware)
app.command("models")(profiles.models)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"sparq-perf {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What SparQ Attention buys on your hardware: predicted, measured, and why the two differ."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Entry point: run a command; a domain error is one line on stderr and exit code 2, a traceback only for a bug."""
    try:
        code = app(standalone_mode=False)
    except SparqPerfError as error:
        code = _fail(str(error))
    except _UsageError as error:
        code = _fail(_describe_usage(error))
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # The reader went away, as `| head` does; typer and rich exit with 1 then, which would say: a regression.
        # Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = None
    except Exception as error:
        # Python's own exit code is 1 then, which would say the same.
        traceback.print_exc()
        code = _fail(f"an error of sparq-perf itself, please report it: {type(error).__name__}: {error}")
    sys.exit(code if isinstance(code, int) else _without_code())


def _without_code() -> int:
    """A command that ends without saying how is fine, but the gate: it has given no verdict, which is no pass."""
    return EXIT_BAD_INPUT if sys.argv[1:2] == ["gate"] else 0


def _describe_usage(error: Any) -> str:
    """What was wrong with the command line, with the value typed where typer's message leaves it out."""
    message: str = error.format_message()
    faults = getattr(error.__cause__, "errors", None)
    typed = repr(faults()[0]["input"]) if callable(faults) else ""
    return message if not typed or typed in message else f"{message} (given: {typed})"


def _fail(message: str) -> int:
    typer.echo(f"sparq-perf: {' '.join(message.split())}", err=True)
    return EXIT_BAD_INPUT


if __name__ == "__main__":
    main()
