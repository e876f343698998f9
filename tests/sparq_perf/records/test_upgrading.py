"""What version 1 wrote, read by this version."""

import json
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.records.schema import SCHEMA_VERSION
from sparq_perf.records.store import RecordError, parse_line, read_lines

COMMITTED = sorted((Path(__file__).parents[3] / "reports" / "measured").glob("*/records.jsonl"))


def version_1(line: Any) -> bytes:
    """The line as version 1 would have written it."""
    fields = json.loads(line.model_dump_json())
    fields["schema_version"] = 1
    if fields["record"] == "measurement":
        del fields["timer"]
    if fields["record"] == "run":
        del fields["environment"]["gpu"]
    return json.dumps(fields).encode()


def test_every_kind_reads_as_if_written_now(every_kind: list[Any]) -> None:
    for line in every_kind:
        assert parse_line(version_1(line), "here") == line
    timers = [line.timer for line in every_kind if line.record == "measurement"]
    assert timers == ["perf_counter", "perf_counter", None]  # the failed one was not timed


def test_the_current_version_must_say_what_timed_it(lines: Any) -> None:
    fields = json.loads(lines.measurement().model_dump_json())
    del fields["timer"]
    assert fields["schema_version"] == SCHEMA_VERSION
    with pytest.raises(RecordError, match="carries its samples, timer"):
        parse_line(json.dumps(fields).encode(), "here")


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_committed_runs_can_be_read(path: Path) -> None:
    assert read_lines(path)
