"""What earlier versions wrote, read by this one."""

import json
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.records.schema import SCHEMA_VERSION, CalibrationLine
from sparq_perf.records.store import RecordError, parse_line, read_lines
from sparq_profiles import AttentionShape, SparqConfig
from sparq_roofline.calibration import predict_calibrated
from sparq_roofline.steps import StepTraffic, Traffic

COMMITTED = sorted((Path(__file__).parents[3] / "reports" / "measured").glob("*/records.jsonl*"))


OLD_MODEL = {
    "launch_s": 1e-3,
    "stream_slowdown": 1.5,
    "gather_slowdown": 2.0,
    "element_s": 1e-6,
    "compute_share": 0.5,
    "piece_s": 1e-4,
    "relative_residual": 0.1,
    "n_points": 9,
}


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
    later = ("energy", "dram", "counted", "imported", "calibration", "fidelity")
    known = [line for line in every_kind if line.record not in later]
    for line in known:
        assert parse_line(as_version(version, line), "here") == without_what_is_new(line)
    timers = [line.timer for line in known if line.record == "measurement"]
    assert timers == ["perf_counter", "perf_counter", None]  # the failed one was not timed


def test_energy_that_no_version_measured_is_no_version_2(lines: Any) -> None:
    fields = json.loads(as_version(2, lines.measurement()))
    fields |= {"energy_j": 1.0, "energy_reason": None}
    with pytest.raises(RecordError, match="energy_reason"):
        parse_line(json.dumps(fields).encode(), "here")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_time_model_of_old_predicts_as_it_did(lines: Any, version: int) -> None:
    fields = json.loads(lines.calibration().model_dump_json())
    fields |= {"schema_version": version, "model": OLD_MODEL}
    line = parse_line(json.dumps(fields).encode(), "here")
    assert isinstance(line, CalibrationLine)
    traffic = Traffic(
        (
            StepTraffic("score", 8_000_000, flops=20_000, elements=1_000, pieces=4),
            StepTraffic("gather", 900_000, 100_000, access="gather", launches=2),
        )
    )
    hardware = lines.hardware(1e9)
    peak = hardware.peak_for("float32").value
    shape, config = AttentionShape(1, 1000, 4, 4, 64, "float32"), SparqConfig(16, 64)
    time = predict_calibrated(traffic, shape, config, hardware, line.model)
    # 12 ms of streaming, 2 of gathering, 1 of scores, launches of 3 ms and pieces of 0.4 ms, and arithmetic.
    assert time.time_s.expected == pytest.approx(18.4e-3 + 0.5 * 20_000 / peak)
    # The old interval was twice the residual to either side; logarithms make the lower side a little narrower.
    assert time.time_s.upper == pytest.approx(1.2 * time.time_s.expected)
    assert time.time_s.lower == pytest.approx(time.time_s.expected / 1.2)
    assert time.extrapolated == ()


def test_the_current_version_must_say_what_timed_it(lines: Any) -> None:
    fields = json.loads(lines.measurement().model_dump_json())
    del fields["timer"]
    assert fields["schema_version"] == SCHEMA_VERSION
    with pytest.raises(RecordError, match="carries its samples, timer"):
        parse_line(json.dumps(fields).encode(), "here")


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_committed_runs_can_be_read(path: Path) -> None:
    assert read_lines(path)
