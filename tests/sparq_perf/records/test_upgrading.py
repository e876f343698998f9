"""What earlier versions wrote, read by this one."""

import json
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.records.schema import SCHEMA_VERSION
from sparq_perf.records.store import RecordError, parse_line, read_lines

COMMITTED = sorted((Path(__file__).parents[3] / "reports" / "measured").glob("*/records.jsonl"))


def as_version(version: int, line: Any) -> bytes:
    """The line as that version would have written it."""
    fields = json.loads(line.model_dump_json())
    fields["schema_version"] = version
    if fields["record"] == "measurement":
        fields |= {"energy_j": None, "energy_reason": "driver missing"}
        for name in ("n_throttled", "slowdowns", "n_buffers", *(("timer",) if version == 1 else ())):
            del fields[name]
    if fields["record"] == "run":
        del fields["passes"]
        for name in ("gpu_state", *(("gpu",) if version == 1 else ())):
            del fields["environment"][name]
    if fields["record"] == "step_profile":
        for name in ("span_s", "kernels", "began", "call"):
            del fields[name]
        fields["steps"] = [{name: step[name] for name in ("name", "time_s")} for step in fields["steps"]]
    return json.dumps(fields).encode()


def without_what_is_new(line: Any) -> Any:
    """What a reader of an older file sees of such a line."""
    if line.record == "run":
        return line.model_copy(
            update={"passes": (), "environment": line.environment.model_copy(update={"gpu_state": None})}
        )
    if line.record == "step_profile":
        steps = tuple(step.model_copy(update={"launches": None, "predicted_s": None}) for step in line.steps)
        return line.model_copy(update={"span_s": None, "kernels": (), "began": None, "call": (), "steps": steps})
    return line


@pytest.mark.parametrize("version", [1, 2])
def test_every_kind_reads_as_if_written_now(every_kind: list[Any], version: int) -> None:
    known = [line for line in every_kind if line.record not in ("energy", "dram", "counted", "imported")]
    for line in known:
        assert parse_line(as_version(version, line), "here") == without_what_is_new(line)
    timers = [line.timer for line in known if line.record == "measurement"]
    assert timers == ["perf_counter", "perf_counter", None]  # the failed one was not timed


def test_energy_that_no_version_measured_is_no_version_2(lines: Any) -> None:
    fields = json.loads(as_version(2, lines.measurement()))
    fields |= {"energy_j": 1.0, "energy_reason": None}
    with pytest.raises(RecordError, match="energy_reason"):
        parse_line(json.dumps(fields).encode(), "here")


def test_the_current_version_must_say_what_timed_it(lines: Any) -> None:
    fields = json.loads(lines.measurement().model_dump_json())
    del fields["timer"]
    assert fields["schema_version"] == SCHEMA_VERSION
    with pytest.raises(RecordError, match="carries its samples, timer"):
        parse_line(json.dumps(fields).encode(), "here")


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_committed_runs_can_be_read(path: Path) -> None:
    assert read_lines(path)
