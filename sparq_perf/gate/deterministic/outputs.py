"""The deterministic gate's decision for CI systems: JUnit, Markdown, annotations."""

from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree

from sparq_perf.gate.deterministic.deciding import Decision
from sparq_perf.gate.deterministic.diff import Change
from sparq_perf.gate.deterministic.facts import Section
from sparq_perf.gate.deterministic.wording import HEADINGS, by, shown, told
from sparq_perf.gate.outputs.annotations import command
from sparq_perf.markdown import escape

TITLE = "sparq-perf gate: facts"
MOST_ROWS = 100
HEADER = "| Of | Fact | Before | After | By |\n|---|---|---:|---:|---:|"


def junit(decision: Decision) -> str:
    """A test case for each section that was looked at, and one for what must not be accepted."""
    suite = ElementTree.Element("testsuite", name=TITLE)
    lines = list(told(decision, everything=True))
    for section in decision.sections:
        changed = [] if decision.accepted else [one for one in decision.changes if one.section == section]
        _case(suite, section, len(changed), [_line(change) for change in changed])
    bad = [*decision.faults, *decision.outdated]
    _case(suite, "faults", len(bad), bad)
    ElementTree.SubElement(suite, "system-out").text = lines[-1]
    suite.set("tests", str(len(decision.sections) + 1))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def markdown(decision: Decision) -> str:
    """The conclusion and a table of the changes."""
    *_, verdict = told(decision)
    parts = [f"## sparq-perf gate: {escape(verdict)}"]
    for section, group in groupby(decision.changes, lambda change: change.section):
        changes = list(group)
        rows = [
            f"| {escape(change.name)} | {escape(change.fact or change.kind)} | {escape(shown(change.before))} "
            f"| {escape(shown(change.after))} | {escape(by(change))} |"
            for change in changes[:MOST_ROWS]
        ]
        head = f"### {section}: {escape(HEADINGS[section])}\n\n{HEADER}"
        more = [f"\nand {len(changes) - MOST_ROWS} more"] if len(changes) > MOST_ROWS else []
        parts.append("\n".join([head, *rows, *more]))
    bad = [*decision.faults, *decision.outdated]
    if bad:
        parts.append("\n".join(f"- {escape(line)}" for line in bad[:MOST_ROWS]))
    return "\n\n".join(parts) + "\n"


def annotations(decision: Decision) -> list[str]:
    """One error for each section with unaccepted changes, and one for what must not be accepted."""
    if decision.passes:
        return []
    lines = []
    for section, group in groupby(decision.changes, lambda change: change.section):
        changes = list(group)
        more = f", and {len(changes) - 1} more" if len(changes) > 1 else ""
        lines.append(command("error", f"{TITLE}: {section}", f"{_line(changes[0])}{more}"))
    bad = [*decision.faults, *decision.outdated]
    if bad:
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        lines.append(command("error", TITLE, f"{bad[0]}{more}"))
    return lines


def _line(change: Change) -> str:
    if change.fact is None:
        return f"{change.name}: {'new' if change.kind == 'added' else 'gone'}"
    return f"{change.name}: {change.fact} {shown(change.before)} → {shown(change.after)} {by(change)}".rstrip()


def _case(suite: ElementTree.Element, name: Section | str, n_bad: int, lines: Sequence[str]) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=TITLE, name=name)
    if n_bad:
        failure = ElementTree.SubElement(
            case, "failure", message=f"{n_bad} not as accepted: {lines[0]}", type="CHANGED"
        )
        failure.text = "\n".join(lines[:MOST_ROWS])
