"""The deterministic gate's decision in lines of text: what changed, from what to what, by how much."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from sparq_perf.gate.deterministic.deciding import COMPILED_TABLE, Decision
from sparq_perf.gate.deterministic.diff import Change
from sparq_perf.gate.deterministic.facts import Section, Value

MOST_SHOWN = 12  # things with changes, of one section; faults; outdated rows
HEADINGS: dict[Section, str] = {
    "analytic": "bytes and FLOPs by the formulas",
    "counted": "bytes, sectors and launches, counted",
    "launches": "launches of a decode step",
    "compiled": "registers, spills and shared memory",
    "code": "code whose cost only a clock can tell: 'sparq-perf gate run' measures it",
}


def told(decision: Decision, *, everything: bool = False) -> Iterator[str]:
    """The decision, line by line; at most `MOST_SHOWN` things a section unless ``everything`` is asked for."""
    most = None if everything else MOST_SHOWN
    for section, changes in groupby(decision.changes, lambda change: change.section):
        yield from _section(section, list(changes), most)
    yield from _cut([f"FAULT    {fault}" for fault in decision.faults], most)
    yield from _cut([f"OUTDATED {COMPILED_TABLE}: {line}: run 'make compiled'" for line in decision.outdated], most)
    if decision.recompiled:
        yield (
            f"{len(decision.recompiled)} kernels were compiled again: their code changed, what they need did not "
            "('sparq-perf gate --accept' saves the next run that work)"
        )
    yield _verdict(decision)


def _cut(lines: Sequence[str], most: int | None) -> Iterator[str]:
    yield from lines[:most]
    if most is not None and len(lines) > most:
        yield f"         … and {len(lines) - most} more: --all shows them"


def _section(section: Section, changes: Sequence[Change], most: int | None) -> Iterator[str]:
    groups = [(name, list(its)) for name, its in groupby(changes, lambda change: change.name)]
    yield f"{section}: {HEADINGS[section]}"
    for name, its in groups[:most]:
        if its[0].fact is None:
            yield f"  {'+' if its[0].kind == 'added' else '-'} {name}: {'new' if its[0].kind == 'added' else 'gone'}"
            continue
        yield f"  ~ {name}"
        width = max(len(change.fact or "") for change in its)
        for change in its:
            much = f"  ({by(change)})" if by(change) else ""
            yield f"      {change.fact or '':<{width}}  {shown(change.before)} → {shown(change.after)}{much}"
    if most is not None and len(groups) > most:
        yield f"  … and {len(groups) - most} more: --all shows them"


def _verdict(decision: Decision) -> str:
    n_changes, n_facts = len(decision.changes), decision.n_facts
    compared = f"of {n_facts:,} facts"
    if decision.accepted:
        return f"ACCEPTED {n_changes} changes {compared}: {decision.baseline} is written: commit it"
    if decision.passes:
        return f"SAME     none {compared} changed"
    if decision.changes:
        mend = "mend the code, or accept them on purpose: sparq-perf gate --accept"
        return f"CHANGED  {n_changes} {compared} are not as accepted: {mend}"
    return f"FAILED   none {compared} changed, but see above"


def shown(value: Value) -> str:
    """A fact's value."""
    if value is None:
        return "none"
    if isinstance(value, (bool, str)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def by(change: Change) -> str:
    """By how much it changed; nothing where that is no number."""
    relative = change.relative
    if relative is None:
        return ""
    return f"{relative:+.1%}" if abs(relative) < 10 else f"{1 + relative:,.0f}×"
