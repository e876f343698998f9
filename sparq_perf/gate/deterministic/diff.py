"""What differs between the accepted facts and those found now."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sparq_perf.gate.deterministic.baseline import Baseline
from sparq_perf.gate.deterministic.compiled import CODE, not_compiled
from sparq_perf.gate.deterministic.facts import SECTIONS, Facts, Row, Section, Value

Kind = Literal["changed", "added", "removed"]

# Formulas with logarithms of factorials end in other last digits with another C library.
RELATIVE_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Change:
    """One fact that is not as it was accepted.

    Attributes:
        name: what it is a fact of.
        fact: which of its numbers; None where all of them came or went.
        before, after: None where there was or is none; so they may be for a fact that has no number.
    """

    section: Section
    name: str
    kind: Kind
    fact: str | None = None
    before: Value = None
    after: Value = None

    @property
    def relative(self) -> float | None:
        """By how much, as a fraction of what it was; None where that is no number, or nothing."""
        if isinstance(self.before, (int, float)) and isinstance(self.after, (int, float)) and self.before:
            return self.after / self.before - 1
        return None

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "section": self.section,
            "name": self.name,
            "kind": self.kind,
            "fact": self.fact,
            "before": self.before,
            "after": self.after,
            "relative": self.relative,
        }


def differences(accepted: Baseline, found: Facts) -> list[Change]:
    """Every change, in the sections found; a digest of a kernel that was compiled anew is no fact by itself."""
    return [change for section in SECTIONS if section in found for change in _section(section, accepted, found)]


def _section(section: Section, accepted: Baseline, found: Facts) -> Iterator[Change]:
    before, after = accepted.rows(section), found[section]
    for name in before:
        if name not in after:
            yield Change(section, name, "removed")
    for name, row in after.items():
        if section == "compiled" and not_compiled(row):
            continue  # nobody knows: that is told apart, and never accepted
        if name not in before:
            yield Change(section, name, "added")
        else:
            yield from _row(section, name, before[name], row)


def _row(section: Section, name: str, before: Row, after: Row) -> Iterator[Change]:
    for fact in dict.fromkeys((*before, *after)):
        if section == "compiled" and fact == CODE:
            continue
        was, now = before.get(fact), after.get(fact)
        if (fact in before) != (fact in after) or not _equal(was, now):
            yield Change(section, name, "changed", fact, was, now)


def _equal(before: Value, after: Value) -> bool:
    if isinstance(before, bool) or isinstance(after, bool):
        return before is after
    if isinstance(before, (int, float)) and isinstance(after, (int, float)):
        if isinstance(before, int) and isinstance(after, int):
            return before == after
        return math.isclose(before, after, rel_tol=RELATIVE_ROUNDING)
    return before == after
