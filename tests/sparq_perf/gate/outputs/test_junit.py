"""JUnit XML, as another program reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import junitparser
import pytest

from sparq_perf.gate.outputs import junit, junit_of_error

Make = Callable[..., Any]


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], junitparser.TestSuite]:
    def _read(text: str) -> junitparser.TestSuite:
        path = tmp_path / "gate.xml"
        path.write_text(text, encoding="utf-8")
        (suite,) = junitparser.JUnitXml.fromfile(str(path))
        return suite

    return _read


def results(case: junitparser.TestCase) -> list[tuple[str, str | None]]:
    return [(type(result).__name__, result.type) for result in case.result]


def test_each_verdict(read: Callable[[str], Any], make_outcome: Make) -> None:
    suite = read(junit(make_outcome("REGRESSED", "INVALID", "AMBIGUOUS", "IMPROVED", "SAME")))
    assert (suite.name, suite.tests, suite.failures, suite.errors, suite.skipped) == ("sparq-perf gate", 5, 1, 2, 0)
    found = {case.name.split()[1]: results(case) for case in suite}
    assert found == {
        "REGRESSED": [("Failure", "REGRESSED")],
        "INVALID": [("Error", "INVALID")],
        "AMBIGUOUS": [("Error", "AMBIGUOUS")],
        "IMPROVED": [],
        "SAME": [],
    }
    cases = {case.name.split()[1]: case for case in suite}
    assert {case.classname for case in suite} == {"sparq-perf gate.time"}
    assert "+10.0 % [+9.7 %, +10.3 %], 1.00 ms to 1.10 ms" in cases["REGRESSED"].result[0].message
    assert cases["INVALID"].result[0].text == "too few samples: 2 valid pairs of processes, at least 6 are needed"
    assert cases["REGRESSED"].system_out.startswith("REGRESSED: base 1.00 ms, candidate 1.10 ms")
    properties = {one.name: one.value for one in suite.properties()}
    assert properties["base"].startswith("main (8 runs")


def test_what_is_allowed_is_skipped(read: Callable[[str], Any], make_outcome: Make) -> None:
    suite = read(junit(make_outcome("AMBIGUOUS", "INVALID", green=("SAME", "AMBIGUOUS"))))
    assert (suite.errors, suite.skipped) == (1, 1)
    assert [results(case) for case in suite] == [[("Error", "INVALID")], [("Skipped", None)]]


def test_nothing_judged_is_an_error(read: Callable[[str], Any], make_outcome: Make) -> None:
    suite = read(junit(make_outcome()))
    assert (suite.tests, suite.errors) == (1, 1)


def test_a_gate_that_gave_no_verdict(read: Callable[[str], Any], hostile: str) -> None:
    suite = read(junit_of_error(f"base.jsonl: cannot be read {hostile}"))
    (case,) = suite
    assert (suite.tests, suite.errors) == (1, 1)
    assert hostile.partition("\x1b")[0] in case.result[0].message


def test_hostile_texts(read: Callable[[str], Any], make_outcome: Make, hostile: str) -> None:
    suite = read(junit(make_outcome("REGRESSED", text=hostile, remarks=(hostile,))))
    (case,) = suite
    # As written, but for what XML has no way to say.
    assert case.name == f"0 REGRESSED{hostile}".replace("\x00", "\ufffd").replace("\x1b", "\ufffd").replace(
        "\ud800", "\ufffd"
    )
    assert results(case) == [("Failure", "REGRESSED")]


def test_it_is_what_the_format_asks_for(make_outcome: Make) -> None:
    """The rules that readers of JUnit XML share: known elements and attributes, counts that are right."""
    outcome = make_outcome("REGRESSED", "INVALID", "AMBIGUOUS", "IMPROVED", "SAME", remarks=("a remark",))
    root = ElementTree.fromstring(junit(outcome).encode())
    allowed = {
        "testsuites": (set(), {"testsuite"}),
        "testsuite": ({"name", "tests", "failures", "errors", "skipped"}, {"properties", "testcase", "system-out"}),
        "properties": (set(), {"property"}),
        "property": ({"name", "value"}, set()),
        "testcase": ({"classname", "name"}, {"failure", "error", "skipped", "system-out"}),
        "failure": ({"message", "type"}, set()),
        "error": ({"message", "type"}, set()),
        "skipped": ({"message"}, set()),
        "system-out": (set(), set()),
    }
    for element in root.iter():
        attributes, children = allowed[element.tag]
        assert set(element.attrib) == attributes
        assert {child.tag for child in element} <= children
    (suite,) = root
    assert int(suite.attrib["tests"]) == len(suite.findall("testcase"))
    first, *_, last = (child.tag for child in suite)
    assert (first, last) == ("properties", "system-out")
