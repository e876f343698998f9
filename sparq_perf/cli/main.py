"""`sparq-perf`: the commands, and the one place that turns errors into exit codes."""

import os
import sys
from typing import Annotated

import click
import typer

from sparq_perf import __version__
from sparq_perf.cli import predict, profiles, report, run, sweep
from sparq_profiles import SparqPerfError

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # the shells' code for Ctrl-C: what was asked for is not all there

app = typer.Typer(
    name="sparq-perf",
    help="What SparQ Attention buys on your hardware: predicted, measured, and why the two differ.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("run")(run.run)
app.command("predict")(predict.predict)
app.command("sweep")(sweep.sweep)
app.command("report")(report.report)
app.command("hardware")(profiles.hardware)
app.command("models")(profiles.models)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"sparq-perf {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What SparQ Attention buys on your hardware: predicted, measured, and why the two differ."""


def main() -> None:
    """Entry point: run a command; a domain error is one line on stderr and exit code 2, never a traceback."""
    try:
        code = app(standalone_mode=False)
    except SparqPerfError as error:
        code = _fail(str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        typer.echo(error.format_message())
        code = 0
    except click.ClickException as error:
        code = _fail(error.format_message())
    except (KeyboardInterrupt, click.Abort):
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader went away, as `| head` does. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> int:
    typer.echo(f"sparq-perf: {' '.join(message.split())}", err=True)
    return EXIT_BAD_INPUT


if __name__ == "__main__":
    main()
