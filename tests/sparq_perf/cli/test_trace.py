"""`sparq-perf trace`: from a record file to one for Perfetto."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.records.schema import Instrument, Line, ProfiledStep, Slice
from sparq_perf.records.store import RecordWriter

NO_NVML = Instrument(name="nvml", available=False, reason="driver missing")


@pytest.fixture
def folder_of(tmp_path: Path, lines: Any) -> Callable[..., Path]:
    """folder_of(*lines): of a run on a CPU that made these records."""

    def _folder_of(*made: Line) -> Path:
        run = lines.run(environment=lines.environment(instruments=(NO_NVML,)), passes=())
        with RecordWriter(tmp_path / "run" / "records.jsonl") as writer:
            for line in (run, *made, lines.end()):
                writer.append(line)
        return tmp_path / "run"

    return _folder_of


@pytest.fixture
def profiled(folder_of: Callable[..., Path], lines: Any) -> Path:
    """With one profiled call, 3 s after the run began; 2 µs of it in ``score``."""
    began = lines.stamp["time"] + timedelta(seconds=3)
    steps = (ProfiledStep(name="score", time_s=2e-6, predicted_s=None),)
    call = (Slice(name="score", step="score", start_s=1e-6, duration_s=2e-6, is_range=True),)
    return folder_of(lines.step_profile(began=began, steps=steps, kernels=(), call=call, time=began))


def spans(path: Path) -> list[tuple[str, float, float]]:
    events = json.loads(path.read_text("utf-8"))["traceEvents"]
    return [(event["name"], event["ts"], event["dur"]) for event in events if event["ph"] == "X"]


def test_a_folder_gets_its_trace_beside_the_records(call: Callable[..., Any], profiled: Path) -> None:
    outcome = call("trace", profiled)
    assert outcome.code == 0, outcome
    first, held, *absent = outcome.out.splitlines()
    assert first == f"trace   {profiled / 'trace.json'}: open it at https://ui.perfetto.dev"
    assert held == "holds   1 profiled call, 0 energy loops sampled by NVML"
    assert "absent  nvml: driver missing" in absent
    assert ("score", 3000001.0, 2.0) in spans(profiled / "trace.json")


def test_json_for_machines(call: Callable[..., Any], profiled: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.json"
    outcome = call("trace", profiled / "records.jsonl", "--out", target, "--json")
    assert outcome.code == 0, outcome
    told = json.loads(outcome.out)
    assert (told["trace"], told["profiled_calls"], told["energy_loops"]) == (str(target), 1, 0)
    assert {"what": ["nvml"], "reason": "driver missing", "times": 1} in told["absent"]
    assert target.exists()
    assert not (profiled / "trace.json").exists()


def test_calls_only_begins_at_0(call: Callable[..., Any], profiled: Path) -> None:
    assert call("trace", profiled, "--calls-only").code == 0
    assert [span for span in spans(profiled / "trace.json") if span[0] == "score"] == [("score", 1.0, 2.0)]


def test_a_run_without_anything_to_show_is_refused(
    refused: Callable[..., str], folder_of: Callable[..., Path], lines: Any
) -> None:
    folder = folder_of(lines.measurement())
    message = refused("trace", folder)
    assert "the records hold nothing for a timeline" in message
    assert "profiled calls: the records hold no profile of a call" in message
    assert "nvml: driver missing" in message
    assert not (folder / "trace.json").exists()


def test_what_is_no_record_file_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "records.jsonl" in refused("trace", tmp_path)
    other = tmp_path / "other.jsonl"
    other.write_text("{}\n")
    assert "is not a sparq-perf record" in refused("trace", other)


def test_a_place_that_cannot_be_written_is_named(refused: Callable[..., str], profiled: Path) -> None:
    target = profiled / "no folder" / "trace.json"
    assert f"{target}: cannot be written" in refused("trace", profiled, "--out", target)


def test_help_loads_nothing_heavy(python: Callable[..., Any]) -> None:
    code = (
        "import sys; import sparq_perf.cli.trace; "
        "print(sorted({'torch', 'numpy', 'pandas', 'plotly', 'pydantic'} & set(sys.modules)))"
    )
    done = python("-c", code)
    assert done.stdout.strip() == "[]", done
