"""The file of accepted facts: what goes in comes out, one fact a line, and nothing else is taken for one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sparq_perf.gate.deterministic.baseline import Baseline, read_baseline
from sparq_perf.gate.errors import GateError

FACTS = Baseline(
    {
        "analytic": {"dense · α": {"read_bytes": 1024, "share": 0.5, "accessed_bytes": None}},
        "compiled": {"attend [x] sm_90": {"code": "ab", "registers": 64}},
    },
    triton="3.9.0",
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "facts.json"
    FACTS.write(path)
    assert read_baseline(path) == FACTS
    lines = path.read_text().splitlines()
    assert '"dense · α": {"read_bytes": 1024, "share": 0.5, "accessed_bytes": null}' in lines
    assert [path.name for path in path.parent.iterdir()] == ["facts.json"]


def test_sections_are_renewed_one_by_one() -> None:
    renewed = FACTS.with_facts({"analytic": {"dense": {"read_bytes": 1}}}, None)
    assert renewed.facts == {"analytic": {"dense": {"read_bytes": 1}}, "compiled": FACTS.facts["compiled"]}
    assert renewed.triton == "3.9.0"
    assert renewed.rows("counted") == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a baseline: Expecting value"),
        ('{"schema_version": 1, "analytic": {', "is not a baseline: Expecting"),
        ("[]", "is not a baseline of version 1 (schema_version is None)"),
        ("{}", "is not a baseline of version 1 (schema_version is None)"),
        ('{"schema_version": 2}', "is not a baseline of version 1 (schema_version is 2)"),
        ('{"schema_version": 1, "speed": {}}', "'speed' is no section of a baseline"),
        ('{"schema_version": 1, "triton": 3}', "triton is 3: it must be a version or null"),
        ('{"schema_version": 1, "counted": {}}', "counted holds no facts"),
        ('{"schema_version": 1, "counted": []}', "counted holds no facts"),
        ('{"schema_version": 1, "counted": {"a": {}}}', "counted: 'a' is {}"),
        ('{"schema_version": 1, "counted": {"a": {"b": []}}}', "counted: 'a': b is []: it must be a number"),
        ('{"schema_version": 1, "counted": {"a": {"b": NaN}}}', "NaN is not a number"),
        ('{"schema_version": 1, "counted": {"a": {"b": 1e999}}}', "b is inf: it must be a number"),
        ('{"schema_version": 1, "counted": {"a": {"b": 1}, "a": {"b": 2}}}', "'a' stands there twice"),
        ("[" * 100_000, "is not a baseline"),
    ],
)
def test_what_is_no_baseline_is_refused(
    tmp_path: Path, one_line: Callable[[BaseException], str], text: str, complaint: str
) -> None:
    path = tmp_path / "facts.json"
    path.write_text(text)
    with pytest.raises(GateError) as refused:
        read_baseline(path)
    message = one_line(refused.value)
    assert message.startswith(str(path))
    assert complaint in message
    assert "sparq-perf gate --accept" in message


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"facts\.json: no such file: nothing was accepted yet"):
        read_baseline(tmp_path / "facts.json")
    (tmp_path / "facts.json").write_bytes(b"\xff\xfe")
    with pytest.raises(GateError, match=r"facts\.json: cannot be read"):
        read_baseline(tmp_path / "facts.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(GateError, match="cannot be written"):
        FACTS.write(tmp_path / "file" / "facts.json")
