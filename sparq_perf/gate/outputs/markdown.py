"""An outcome as Markdown, for a job's summary or a comment."""

from collections.abc import Sequence

from sparq_perf.gate.outcome import Outcome
from sparq_perf.gate.outputs.rows import MEANINGS, Row, counted, headline, how, rows, side
from sparq_perf.markdown import escape, table

# A job's summary may have 1 MiB, a comment 65,536 characters.
MOST_ROWS = 100
MOST_REMARKS = 20
HEADER = ("Verdict", "Configuration", "Metric", "Base", "Candidate", "Effect", "Interval", "Floor", "Why")


def markdown(outcome: Outcome) -> str:
    """The conclusion, every verdict but SAME in a table, the rest below a fold, and what else a reader should know."""
    shown = rows(outcome)
    plain = [row for row in shown if row.verdict == "SAME"]
    parts = [
        f"## sparq-perf gate: {escape(headline(outcome))}",
        f"Base {escape(side(outcome.base))}, candidate {escape(side(outcome.candidate))}; {escape(how(outcome))}. "
        f"{escape(counted(outcome))}.",
    ]
    others = [row for row in shown if row.verdict != "SAME"]
    if others:
        parts += [_table(others), _meanings(others)]
    if plain:
        parts.append(f"<details><summary>{len(plain)} SAME</summary>\n\n{_table(plain)}\n\n</details>")
    if outcome.remarks:
        remarks = [f"- {escape(remark)}" for remark in outcome.remarks[:MOST_REMARKS]]
        more = len(outcome.remarks) - MOST_REMARKS
        parts.append("\n".join([*remarks, *([f"- and {more} more"] if more > 0 else [])]))
    return "\n\n".join(parts) + "\n"


def _table(shown: Sequence[Row]) -> str:
    cells = []
    for row in shown[:MOST_ROWS]:
        numbers = (row.base, row.candidate, row.effect, row.interval, row.floor)
        cells.append([escape(cell) for cell in (row.verdict, row.key, row.metric, *numbers, "; ".join(row.reasons))])
    more = len(shown) - MOST_ROWS
    return table(HEADER, cells, range(3, 8)) + (
        f"\n\nand {more} more, which the JSON and the page have" if more > 0 else ""
    )


def _meanings(shown: Sequence[Row]) -> str:
    verdicts = dict.fromkeys(row.verdict for row in shown)
    return "\n".join(f"- {verdict}: {escape(MEANINGS[verdict])}" for verdict in verdicts)
