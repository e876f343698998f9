"""An outcome as workflow commands, which GitHub shows beside the run."""

from collections.abc import Iterator

from sparq_perf.gate.outcome import Outcome
from sparq_perf.gate.outputs.rows import Row, headline, rows

# GitHub shows ten annotations of a level and step, and drops the rest without a word.
MOST_OF_A_LEVEL = 10


def annotations(outcome: Outcome, file: str | None = None) -> tuple[str, ...]:
    """One line for each test that fails the gate (error), was waved through (warning) or got better (notice).

    ``file`` is where GitHub shows them, such as the workflow's or a kernel's; on the run alone where None.
    """
    levels: dict[str, list[Row]] = {"error": [], "warning": [], "notice": []}
    for row in rows(outcome):
        if not row.passes:
            levels["error"].append(row)
        elif row.verdict != "SAME":
            levels["notice" if row.verdict == "IMPROVED" else "warning"].append(row)
    lines = [line for level, chosen in levels.items() for line in _lines(level, chosen, file)]
    if outcome.exit_code and not levels["error"]:
        lines.append(command("error", "sparq-perf gate", headline(outcome), file))
    return tuple(lines)


def _lines(level: str, chosen: list[Row], file: str | None) -> Iterator[str]:
    n = len(chosen) if len(chosen) <= MOST_OF_A_LEVEL else MOST_OF_A_LEVEL - 1
    for row in chosen[:n]:
        yield command(level, f"sparq-perf gate: {row.verdict}", row.sentence, file)
    if len(chosen) > n:
        yield command(level, "sparq-perf gate", f"and {len(chosen) - n} more", file)


def command(level: str, title: str, message: str, file: str | None = None) -> str:
    """One workflow command; nothing in its texts can end it or start another."""
    properties = {"file": file, "title": title}
    given = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value is not None)
    return f"::{level} {given}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
