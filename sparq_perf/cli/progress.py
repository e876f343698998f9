"""A run's progress as a bar with the time left, on stderr."""

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

STAGE_WIDTH = 44


class ProgressBar:
    """Draws a `sparq_perf.measure.progress.Progress`; on a pipe it prints one line a stage instead."""

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True)
        self._title = title
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[stage]}", markup=False),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=None, stage="")
        self._done = self._total = 0.0

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def start(self, total_s: float) -> None:
        """The run will take about this long."""
        self._total = total_s
        self._bar.update(self._task, total=total_s)
        self.note(f"{self._title}: about {max(1, round(total_s / 60))} min")

    def stage(self, text: str) -> None:
        """What is being done now."""
        self._bar.update(self._task, stage=text[:STAGE_WIDTH])
        if not self._console.is_terminal:
            share = self._done / self._total if self._total else 0.0
            self._console.print(f"{share:4.0%}  {text}", markup=False, highlight=False)

    def advance(self, seconds: float) -> None:
        """So much of the total is done."""
        self._done += seconds
        self._bar.advance(self._task, seconds)

    def note(self, text: str) -> None:
        """Something the user should know."""
        self._console.print(text, markup=False, highlight=False)
