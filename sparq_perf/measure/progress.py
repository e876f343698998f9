"""What a run tells while it goes on."""

from collections.abc import Callable
from typing import Protocol

Tell = Callable[[str], None]


class Progress(Protocol):
    """Told by a run; drawn by the command line."""

    def start(self, total_s: float) -> None:
        """The run will take about this long."""

    def stage(self, text: str) -> None:
        """What is being done now."""

    def advance(self, seconds: float) -> None:
        """So much of the total is done."""

    def note(self, text: str) -> None:
        """Something the user should know."""


class Silent:
    """Tells nobody."""

    def start(self, total_s: float) -> None:
        """See Progress."""

    def stage(self, text: str) -> None:
        """See Progress."""

    def advance(self, seconds: float) -> None:
        """See Progress."""

    def note(self, text: str) -> None:
        """See Progress."""
