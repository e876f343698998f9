"""Illegal records cannot be built, and every legal one survives its way through JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sparq_perf.records.export import schema_text
from sparq_perf.records.reading import Absence, Reading
from sparq_perf.records.schema import (
    ANY_LINE,
    SCHEMA_VERSION,
    Instrument,
    Measurement,
    PlannedPass,
    json_schema,
)

SCHEMA_FILE = Path(__file__).parents[3] / "docs" / "records.schema.json"
KINDS = (
    *("run", "ceilings", "calibration", "measurement"),
    *("energy", "step_profile", "dram", "counted", "imported", "fidelity", "attention_map", "end"),
)


def test_every_kind_survives_json(every_kind: list[Any]) -> None:
    assert {line.record for line in every_kind} == set(KINDS)
    for line in every_kind:
        back = ANY_LINE.validate_python(json.loads(line.model_dump_json()))
        assert back == line
        assert type(back) is type(line)


def test_round_trip_keeps_prediction_and_hardware(lines: Any) -> None:
    measurement = lines.measurement(predicted=(1e-3, 2e-3, 3.5e-3))
    back = ANY_LINE.validate_json(measurement.model_dump_json())
    assert back.prediction.time_s.upper == 3.5e-3
    assert back.prediction.steps[0].name == "attend"
    assert back.shape.n_kv_heads == 2
    hardware = ANY_LINE.validate_json(lines.ceilings().model_dump_json()).hardware
    assert hardware.memory_bandwidth_bytes_per_s.value == 10e9
    assert [point.footprint_bytes for point in hardware.bandwidth_by_footprint] == [2**20, 2**30]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [((3.0,), 3.0), ((5.0, 1.0, 2.0), 2.0), ((4.0, 1.0, 2.0, 8.0), 3.0)],
)
def test_median(lines: Any, samples: tuple[float, ...], expected: float) -> None:
    assert lines.measurement(samples).median_s == expected


def test_median_is_written_but_not_believed(lines: Any) -> None:
    fields = json.loads(lines.measurement((1.0, 2.0, 4.0)).model_dump_json())
    assert fields["median_s"] == 2.0
    fields["median_s"] = 0.001
    assert ANY_LINE.validate_python(fields).median_s == 2.0


def test_a_failed_measurement_has_no_median(lines: Any) -> None:
    failed = lines.measurement(status="failed", reasons=("out of memory",))
    assert failed.median_s is None
    assert json.loads(failed.model_dump_json())["median_s"] is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"samples_s": ()}, "carries its samples"),
        ({"median_ci_s": None}, "carries its samples"),
        ({"relative_noise": None}, "carries its samples"),
        ({"stop_reason": None}, "carries its samples"),
        ({"timer": None}, "carries its samples"),
        ({"timer": "sundial"}, "'perf_counter', 'cuda_graph', 'cuda_events' or 'third_party'"),
        ({"status": "invalid"}, "reasons must be given"),
        ({"reasons": ("noisy",)}, "reasons must be given"),
        ({"status": "invalid", "reasons": ("",)}, "at least 1 character"),
        ({"status": "fine"}, "'ok', 'invalid' or 'failed'"),
        ({"energy_j": 1.0}, "Extra inputs"),
        ({"slowdowns": {"heat": 1.5}}, "less than or equal to 1"),
        ({"n_throttled": -1}, "greater than or equal to 0"),
        ({"samples_s": (1e-3, 0.0)}, "greater than 0"),
        ({"samples_s": (1e-3, float("nan"))}, "finite"),
        ({"samples_s": (1e-3, float("inf"))}, "finite"),
        ({"max_error": float("nan")}, "finite"),
        ({"relative_noise": -0.1}, "greater than or equal to 0"),
        ({"stop_reason": "bored"}, "'noise', 'timeout', 'interrupted' or 'imported'"),
        ({"cache_state": "tepid"}, "'cold' or 'warm'"),
        ({"key": ""}, "at least 1 character"),
        ({"colour": "red"}, "Extra inputs"),
        ({"schema_version": 1}, f"Input should be {SCHEMA_VERSION}"),
    ],
)
def test_illegal_measurements(lines: Any, change: dict[str, Any], complaint: str) -> None:
    legal = lines.measurement()
    fields = {name: getattr(legal, name) for name in Measurement.model_fields}
    assert Measurement(**fields) == legal
    with pytest.raises(ValidationError, match=complaint):
        Measurement(**{**fields, **change})


@pytest.mark.parametrize(
    "times",
    [
        {"samples_s": (1e-3,)},
        {"median_ci_s": (1e-3, 2e-3)},
        {"relative_noise": 0.1},
        {"stop_reason": "timeout"},
        {"timer": "cuda_graph"},
    ],
)
def test_a_failed_measurement_carries_no_times(lines: Any, times: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="carries no times"):
        lines.measurement(status="failed", reasons=("out of memory",), **times)


def test_a_failed_measurement_says_why(lines: Any) -> None:
    with pytest.raises(ValidationError, match="reasons must be given"):
        lines.measurement(status="failed")


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("shape", "colour"), "red", "Unexpected keyword"),
        (("shape", "n_heads"), 3, "multiple of n_kv_heads"),
        (("config", "rank"), 0, "rank is 0"),
        (("prediction", "time_s", "expected"), float("nan"), "finite"),
        (("prediction", "bound"), "luck", "'memory', 'compute' or 'latency'"),
    ],
)
def test_nested_fields_are_validated_on_reading(
    lines: Any, config: Any, path: tuple[str, ...], value: Any, complaint: str
) -> None:
    fields = json.loads(lines.measurement(config=config, predicted=(1.0, 2.0, 3.0)).model_dump_json())
    inner = fields
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(ValidationError, match=complaint):
        ANY_LINE.validate_python(fields)


def test_a_gpu_is_described_exactly_where_it_was_measured(lines: Any) -> None:
    gpu = {
        "uuid": None, "driver": None, "compute_capability": "9.0", "n_multiprocessors": 132, "memory_bytes": 8e10,
        "l2_bytes": None, "cuda": "13.0", "host": "a CPU",
    }  # fmt: skip
    assert lines.environment(device_kind="gpu", gpu=gpu).gpu.n_multiprocessors == 132
    with pytest.raises(ValidationError, match="exactly when device_kind is gpu"):
        lines.environment(gpu=gpu)
    with pytest.raises(ValidationError, match="exactly when device_kind is gpu"):
        lines.environment(device_kind="gpu")


def test_an_instrument_is_available_or_says_why_not() -> None:
    with pytest.raises(ValidationError, match="exactly when available is false"):
        Instrument(name="nvml", available=False)
    with pytest.raises(ValidationError, match="exactly when available is false"):
        Instrument(name="nvml", available=True, reason="broken")


def test_records_do_not_change(lines: Any) -> None:
    measurement = lines.measurement()
    with pytest.raises(ValidationError, match="frozen"):
        measurement.status = "invalid"


def test_an_unknown_kind_of_line_is_refused(lines: Any) -> None:
    fields = json.loads(lines.end().model_dump_json())
    fields["record"] = "epilogue"
    with pytest.raises(ValidationError, match="epilogue"):
        ANY_LINE.validate_python(fields)


def resolve(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    return schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"config": None}, "transfer_ratio must be given exactly where config is"),
        ({"transfer_ratio": None}, "transfer_ratio must be given exactly where config is"),
        ({"config": None, "transfer_ratio": None}, "dense attention has no layers that differ"),
    ],
)
def test_fidelity_of_dense(lines: Any, fields: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        lines.fidelity(**fields)


def test_json_schema_describes_every_kind_of_line(every_kind: list[Any]) -> None:
    schema = json_schema()
    kinds = {resolve(schema, part)["properties"]["record"]["const"]: resolve(schema, part) for part in schema["oneOf"]}
    assert tuple(sorted(kinds)) == tuple(sorted(KINDS))
    assert f"schema version {SCHEMA_VERSION}" in schema["title"]
    for line in every_kind:
        fields, kind = json.loads(line.model_dump_json()), kinds[line.record]
        # Every key that is written is described, none other is allowed, and what is required is written.
        assert set(fields) <= set(kind["properties"])
        assert set(kind.get("required", ())) <= set(fields)
        assert kind["additionalProperties"] is False
        assert kind["properties"]["schema_version"]["const"] == SCHEMA_VERSION


def test_json_schema_shows_the_derived_median() -> None:
    measurement = json_schema()["$defs"]["Measurement"]["properties"]
    assert measurement["median_s"]["readOnly"] is True
    assert {"type": "null"} in measurement["median_s"]["anyOf"]


def test_the_committed_schema_is_this_one() -> None:
    mend = "write it anew: python -m sparq_perf.records.export > docs/records.schema.json"
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == json.loads(schema_text()), mend


class TestEnergy:
    def test_the_counter_comes_first(self, lines: Any) -> None:
        absent = Reading(absence=Absence(kind="no_change", detail="it stood still"))
        assert lines.energy().energy_j == 0.6
        assert lines.energy(counter_j=absent).energy_j == 0.59
        assert lines.energy(absence=absent.absence).energy_j is None

    def test_without_calls_there_is_none(self, lines: Any) -> None:
        with pytest.raises(ValidationError, match="a loop of at least one call"):
            lines.energy(n_calls=0)

    @pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
    def test_it_is_never_zero(self, lines: Any, value: float) -> None:
        with pytest.raises(ValidationError):
            lines.energy(counter_j={"value": value, "absence": None})


def test_a_reading_is_a_value_or_its_absence() -> None:
    absence = Absence(kind="mig", detail="a slice")
    for illegal in ({}, {"value": 1.0, "absence": absence}):
        with pytest.raises(ValidationError, match="and not both"):
            Reading[float](**illegal)
    with pytest.raises(ValidationError, match="kind"):
        Absence(kind="bad luck", detail="x")  # type: ignore[arg-type]
    assert str(absence) == "mig: a slice"


@pytest.mark.parametrize("change", [{"steps": ()}, {"architecture": None}, {"absence": {"kind": "mig", "detail": "x"}}])
def test_counted_steps_or_their_absence(lines: Any, change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="and not both"):
        lines.counted(**change)


def test_a_pass_that_is_not_made_says_why() -> None:
    for illegal in ({"made": False}, {"made": True, "reason": "none"}):
        with pytest.raises(ValidationError, match="exactly when made is false"):
            PlannedPass(name="nvml", **illegal)
