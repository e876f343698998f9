"""What every gate command writes for CI systems, also where there is no verdict."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparq_perf.cli.options import print_json
from sparq_profiles import SparqPerfError

if TYPE_CHECKING:
    from sparq_perf.gate.outcome import Outcome

Markdown = Annotated[Path | None, typer.Option("--markdown", help="Write a Markdown page here, for a job's summary.")]
Junit = Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page here: effect, interval and verdict of each.")]
Annotations = Annotated[bool, typer.Option("--annotations", help="Print GitHub's commands that annotate a change.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="A TOML file with [tool.sparq-perf.gate]; the nearest pyproject.toml by default."),
]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a verdict goes besides the terminal."""

    markdown: Path | None = None
    junit: Path | None = None
    html: Path | None = None
    annotations: bool = False

    @contextmanager
    def or_error(self) -> Iterator[None]:
        """An error inside leaves a JUnit test in error and a page that says so: no CI system takes it for a pass."""
        try:
            yield
        except SparqPerfError as error:
            self._write_error(" ".join(str(error).split()))
            raise
        except Exception as error:  # a bug, whose page must not be that of an earlier run either
            self._write_error(f"{type(error).__name__}: {' '.join(str(error).split())}")
            raise

    def publish(self, outcome: "Outcome", *, as_json: bool) -> None:
        """Print an outcome, and write it where that was asked for."""
        from sparq_perf.gate import outputs

        if self.markdown is not None:
            outputs.write_text(self.markdown, outputs.markdown(outcome))
        if self.junit is not None:
            outputs.write_text(self.junit, outputs.junit(outcome))
        if self.html is not None:
            from sparq_perf.gate.outputs.page import write_page

            write_page(outcome, self.html)
        if as_json:
            print_json(outcome.model_dump(mode="json"))
        else:
            for line in outputs.text_lines(outcome):
                typer.echo(line)
        if self.annotations:
            for line in outputs.annotations(outcome):
                typer.echo(line, err=as_json)  # GitHub reads both streams

    def _write_error(self, message: str) -> None:
        from sparq_perf.gate import outputs
        from sparq_perf.gate.outputs.annotations import command
        from sparq_perf.markdown import escape

        if self.markdown is not None:
            outputs.write_text(self.markdown, f"## sparq-perf gate: no verdict\n\n{escape(message)}\n")
        if self.junit is not None:
            outputs.write_text(self.junit, outputs.junit_of_error(message))
        if self.annotations:
            typer.echo(command("error", "sparq-perf gate: no verdict", message), err=True)
