"""An outcome as lines for a terminal."""

from sparq_perf.gate.outcome import Outcome
from sparq_perf.gate.outputs.rows import counted, headline, how, rows, side


def text_lines(outcome: Outcome) -> tuple[str, ...]:
    """What was compared, every verdict but SAME, what else a reader should know, and the conclusion last."""
    shown = [row for row in rows(outcome) if row.verdict != "SAME"]
    lines = (
        f"base        {side(outcome.base)}",
        f"candidate   {side(outcome.candidate)}",
        f"judged by   {how(outcome)}",
        *(f"{row.verdict:<11} {row.sentence}" for row in shown),
        *(f"note        {remark}" for remark in outcome.remarks),
        f"verdicts    {counted(outcome) or 'none'}",
        headline(outcome),
    )
    return tuple(map(printable, lines))


def printable(line: str) -> str:
    """One line without anything that a terminal would obey."""
    return "".join(character if character.isprintable() else "\ufffd" for character in line)
