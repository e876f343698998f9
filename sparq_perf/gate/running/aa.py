"""What the gate said of comparisons in which nothing changed: a table of the runs, and the rate of false alarms."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparq_perf.gate.checking import Spreads
from sparq_perf.gate.errors import GateError
from sparq_perf.gate.false_alarms import FalseAlarms, aa_spreads, false_alarms
from sparq_perf.gate.metrics import METRICS
from sparq_perf.gate.outcome import Outcome
from sparq_perf.gate.verdicts import VERDICTS
from sparq_perf.markdown import escape, table
from sparq_perf.report.wording import count, moment

SPREADS_NAME = "spreads.json"
TABLE_NAME = "aa.md"


@dataclass(frozen=True, slots=True)
class AaResult:
    """Comparisons of a revision with itself."""

    outcomes: tuple[Outcome, ...]
    rates: FalseAlarms

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> "AaResult":
        """The result of some comparisons, one at least.

        Raises:
            GateError: nothing was judged in any of them.
        """
        if not any(outcome.judgements for outcome in outcomes):
            raise GateError("A/A: nothing was judged: the suite has nothing that this machine can measure")
        return cls(tuple(outcomes), false_alarms(outcomes))

    @property
    def judged(self) -> bool:
        """Whether anything could be judged at all: a gate that gives no verdict gives no false alarm either."""
        return any(one.verdict != "INVALID" for outcome in self.outcomes for one in outcome.judgements)

    @property
    def lines(self) -> tuple[str, ...]:
        """For people: a line a run, then the rates."""
        runs = [
            f"run {index:<3} {'ALARM' if outcome.exit_code == 1 else 'quiet'}  "
            + ", ".join(f"{n} {verdict}" for verdict, n in outcome.counts.items() if n)
            for index, outcome in enumerate(self.outcomes, start=1)
        ]
        return (*runs, *self.rates.lines)

    def as_markdown(self) -> str:
        """The same as a page: what was compared with itself, where and when, a row a run, then the rates."""
        head = ["Run", "Processes", "Minutes", "False alarm", *VERDICTS, "Largest effect"]
        rows = [
            [
                str(index),
                str(outcome.base.n_runs + outcome.candidate.n_runs),
                _minutes(outcome),
                "yes" if outcome.exit_code == 1 else "no",
                *(str(outcome.counts[verdict]) for verdict in VERDICTS),
                _largest_effect(outcome),
            ]
            for index, outcome in enumerate(self.outcomes, start=1)
        ]
        shown = table(head, rows, [column for column in range(len(head)) if head[column] != "False alarm"])
        rates = "\n".join(f"- {' '.join(line.split())}" for line in self.rates.lines)
        return f"# A/A: the gate where nothing changed\n\n{self._subject}\n\n{shown}\n\n{rates}\n"

    @property
    def _subject(self) -> str:
        first, last = self.outcomes[0].base, self.outcomes[-1].candidate
        when = f", {moment(first.began)} to {moment(last.ended)}" if first.began and last.ended else ""
        tests = count(len(self.outcomes[0].judgements), "configuration and metric", "configurations and metrics")
        device = escape(first.device or "a device that was not recorded")
        commits = f" (commit {escape(', '.join(first.commits))})" if first.commits else ""
        return (
            f"One revision{commits} against itself on {device}{when}: {count(len(self.outcomes), 'comparison')} of "
            f"{tests} each. Whatever REGRESSED here is a false alarm."
        )

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        runs = [{"exit_code": one.exit_code, "verdicts": dict(one.counts)} for one in self.outcomes]
        return {"runs": runs, **self.rates.as_json()}


def _minutes(outcome: Outcome) -> str:
    """From the first process to the last."""
    sides = (outcome.base, outcome.candidate)
    began, ended = [side.began for side in sides if side.began], [side.ended for side in sides if side.ended]
    return f"{(max(ended) - min(began)).total_seconds() / 60:.1f}" if began and ended else "not recorded"


def _largest_effect(outcome: Outcome) -> str:
    effects = [one.evidence.effect for one in outcome.judgements if one.evidence is not None]
    return f"{max(effects, key=abs):+.1%}" if effects else "none"


def spreads_json(outcomes: Sequence[Outcome]) -> str:
    """How much each configuration and metric varied where nothing changed, for `read_spreads`."""
    rows = [{"key": key, "metric": metric, "spread": spread} for (key, metric), spread in aa_spreads(outcomes).items()]
    return json.dumps(rows, indent=1, allow_nan=False) + "\n"


def read_spreads(path: Path) -> Spreads:
    """What `spreads_json` wrote.

    Raises:
        GateError: no such file, or another program's.
    """
    mend = f"give the {SPREADS_NAME} that 'sparq-perf gate aa' wrote"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        spreads = {(row["key"], row["metric"]): row["spread"] for row in rows}
    except FileNotFoundError:
        raise GateError(f"{path}: no such file: {mend}") from None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise GateError(f"{path}: cannot be read as A/A spreads ({type(error).__name__}: {error}): {mend}") from None
    for (key, metric), spread in spreads.items():
        number = isinstance(spread, (int, float)) and not isinstance(spread, bool)
        if not isinstance(key, str) or metric not in METRICS or not number or not 0 <= spread < float("inf"):
            raise GateError(f"{path}: {key!r}, {metric!r} has the spread {spread!r}: {mend}")
    if not spreads:
        raise GateError(f"{path}: holds no spreads: {mend}")
    return spreads
