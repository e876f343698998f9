"""An outcome as JUnit XML, which CI systems read: one test case for each configuration and metric."""

import re
from xml.etree import ElementTree

from sparq_perf.gate.outcome import Outcome
from sparq_perf.gate.outputs.rows import NOTHING, Row, how, rows, side

SUITE = "sparq-perf gate"
# Whatever XML 1.0 cannot hold, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# A skipped test is green everywhere, so only what the user waved through is skipped.
_ELEMENTS = {"REGRESSED": "failure", "INVALID": "error", "AMBIGUOUS": "error"}


def junit(outcome: Outcome) -> str:
    """The XML document.

    A REGRESSED test has failed; one that could not be judged is an error, or skipped where the settings allow it. A
    comparison in which nothing was judged has a test of its own, in error.
    """
    suite = ElementTree.Element("testsuite", name=SUITE)
    properties = ElementTree.SubElement(suite, "properties")
    about = {"base": side(outcome.base), "candidate": side(outcome.candidate), "judged by": how(outcome)}
    for name, value in about.items():
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    for row in rows(outcome):
        _add_case(suite, row)
    if not outcome.judgements:
        _add_error(suite, "nothing was judged")
    if outcome.remarks:
        ElementTree.SubElement(suite, "system-out").text = _clean("\n".join(outcome.remarks))
    return _document(suite)


def junit_of_error(message: str) -> str:
    """A document in which the gate itself is in error: it gave no verdict, and the CI system should show that."""
    suite = ElementTree.Element("testsuite", name=SUITE)
    _add_error(suite, message)
    return _document(suite)


def _add_case(suite: ElementTree.Element, row: Row) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=f"{SUITE}.{row.metric}", name=_clean(row.key))
    element = "skipped" if row.passes else _ELEMENTS[row.verdict]
    if row.verdict in _ELEMENTS:
        found = ElementTree.SubElement(case, element, message=_clean(f"{row.verdict}: {row.sentence}"))
        if element != "skipped":
            found.set("type", row.verdict)
            found.text = _clean("\n".join(row.reasons))
    if row.effect != NOTHING:
        told = f"base {row.base}, candidate {row.candidate}, effect {row.effect} {row.interval}, floor {row.floor}"
        ElementTree.SubElement(case, "system-out").text = _clean(f"{row.verdict}: {told}, {row.processes}")


def _add_error(suite: ElementTree.Element, message: str) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=SUITE, name="verdict")
    ElementTree.SubElement(case, "error", message=_clean(message), type="INVALID")


def _document(suite: ElementTree.Element) -> str:
    cases = suite.findall("testcase")
    counts = {
        "tests": len(cases),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
        "skipped": len(suite.findall("testcase/skipped")),
    }
    for name, n in counts.items():
        suite.set(name, str(n))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
