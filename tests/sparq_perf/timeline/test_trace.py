"""The trace file from record lines: hand-computed events, and what is refused or said to be absent."""

import json
import math
from collections import Counter as Tally
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.records.reading import Absence, Reading
from sparq_perf.records.schema import Instrument, Slice
from sparq_perf.records.store import RecordError
from sparq_perf.timeline import TimelineError, build_trace, contents, has_timeline, write_trace
from sparq_perf.timeline.spans import Counter, Span

SPARQ = "sparq-triton llama-3-8b B=64 S=4096 r=32 k=128 cold"
DENSE = "dense-triton llama-3-8b B=64 S=4096 cold"
CALLS = "profiled calls and predicted steps"
NVML = "NVML, sampled in energy loops only"


class Trace:
    """A trace's events by where they are shown."""

    def __init__(self, trace: dict[str, Any]) -> None:
        self.events = trace["traceEvents"]
        self.other = trace["otherData"]
        self.processes = {e["pid"]: e["args"]["name"] for e in self.events if e["name"] == "process_name"}
        self.threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in self.events if e["name"] == "thread_name"}

    def spans(self, process: str, thread: str) -> list[tuple[str, float, float]]:
        """Name, beginning and duration in microseconds."""
        return [(e["name"], e["ts"], e["dur"]) for e in self._on(process, thread)]

    def args(self, process: str, thread: str, name: str) -> dict[str, Any]:
        return next(e["args"] for e in self._on(process, thread) if e["name"] == name)

    def samples(self, name: str, unit: str) -> list[tuple[float, float]]:
        return [(e["ts"], e["args"][unit]) for e in self.events if e["ph"] == "C" and e["name"] == name]

    def tracks(self, process: str) -> list[str]:
        return [name for (pid, _), name in self.threads.items() if self.processes[pid] == process]

    def _on(self, process: str, thread: str) -> list[dict[str, Any]]:
        return [
            e
            for e in self.events
            if e["ph"] == "X" and (self.processes[e["pid"]], self.threads[e["pid"], e["tid"]]) == (process, thread)
        ]


def test_the_kernels_of_a_call_lie_where_they_ran(gpu_run) -> None:
    trace = Trace(build_trace(gpu_run.small()))
    # 20.2 and 20.7 s after the run's first record, which is time 0.
    assert trace.spans(CALLS, "calls, one of each configuration") == [(DENSE, 20.2e6, 395), (SPARQ, 20.7e6, 31.25)]
    assert trace.spans(CALLS, "kernels, copies and fills") == [
        ("attend", 20.2e6, 395),
        ("score", 20.7e6, 10.125),
        ("select", 20700010.125, 4.125),
        ("attend", 20700020.5, 10.75),
    ]
    # It ran beside the first two.
    assert trace.spans(CALLS, "kernels, copies and fills, lane 2") == [("Memcpy DtoD", 20700008.0, 4)]
    assert trace.args(CALLS, "kernels, copies and fills", "score") == {
        "step": "score",
        "configuration": SPARQ,
        "launches_per_call": 1,
        "mean_us_per_call": 10.125,
    }
    assert trace.args(CALLS, "kernels, copies and fills, lane 2", "Memcpy DtoD")["step"] == "none named"


def test_a_call_carries_its_configuration_and_what_other_passes_found(gpu_run) -> None:
    args = Trace(build_trace(gpu_run.small())).args(CALLS, "calls, one of each configuration", SPARQ)
    assert args == {
        "timed_median_us": 32.5,
        "profiled_total_us": 29.0,  # 10.125 + 4 + 4.125 + 10.75
        "profiled_span_us": 31.25,
        "profiled_means_of_calls": 5,
        "energy_per_step_j": 0.5,
        "pieces_shown": 4,
        "implementation": "sparq-triton",
        "model": "llama-3-8b",
        "batch": 64,
        "seq_len": 4096,
        "n_heads": 32,
        "n_kv_heads": 8,
        "head_dim": 128,
        "dtype": "float16",
        "rank": 32,
        "top_k": 128,
        "local_window": 32,
        "mean_value": True,
        "group_score": "logits",
        "k_layout": "two_copies",
        "cache_state": "cold",
    }


def test_predicted_steps_lie_end_to_end_from_the_call(gpu_run) -> None:
    trace = Trace(build_trace(gpu_run.small()))
    assert trace.spans(CALLS, "predicted steps") == [
        (f"predicted {DENSE}", 20.2e6, 400),
        ("attend", 20.2e6, 400),
        (f"predicted {SPARQ}", 20.7e6, 26),
        ("score", 20.7e6, 9),
        ("select", 20700009.0, 5),
        ("gather", 20700014.0, 12),
    ]
    assert trace.args(CALLS, "predicted steps", "gather") == {
        "predicted_us": 12.0,
        "profiled_us": 10.75,
        "profiled_over_predicted": 0.8958,
        "launches": 1,
        "bound": "memory",
        "evidence": "calibrated",
        "configuration": SPARQ,
    }
    whole = trace.args(CALLS, "predicted steps", f"predicted {SPARQ}")
    assert (whole["lower_us"], whole["expected_us"], whole["upper_us"]) == (13, 26, 52)
    assert whole["timed_over_expected"] == 1.25  # 32.5 / 26


def test_a_step_that_the_profile_did_not_see_says_so(gpu_run, config) -> None:
    made = [
        gpu_run.measurement(1, config, 4096, 20, [("score", 9, "memory"), ("append", 1, "memory")]),
        gpu_run.profile(2, 1.5, config, 4096, [("score", "score", 0, 9)]),
    ]
    args = Trace(build_trace(made)).args(CALLS, "predicted steps", "append")
    assert args["profiled_us"] == "absent: the profile saw no step of this name"
    assert "profiled_over_predicted" not in args


def test_without_a_measurement_the_profile_says_what_was_expected(gpu_run, config) -> None:
    pieces = [("score", "score", 0, 9), ("select", "select", 9, 3), ("attend", "gather", 12, 8)]
    made = [gpu_run.profile(2, 1.5, config, 4096, pieces, {"score": 8.0, "gather": 7.0})]
    spans = Trace(build_trace(made)).spans(CALLS, "predicted steps")
    assert [(name, dur) for name, _, dur in spans] == [(f"predicted {SPARQ}", 15), ("score", 8), ("gather", 7)]


def test_a_call_without_any_prediction_is_said(gpu_run, config) -> None:
    made = [gpu_run.profile(2, 1.5, config, 4096, [("score", "score", 0, 9)])]
    trace = Trace(build_trace(made))
    assert "predicted steps" not in trace.tracks(CALLS)
    assert f"prediction of {SPARQ}" in [what for each in trace.other["absent"] for what in each["what"]]


def test_nvml_samples_become_counters_in_readable_units(gpu_run) -> None:
    trace = Trace(build_trace(gpu_run.small()))
    # The fourth sample was refused. Averaged power is not drawn beside instant power.
    power = [(17.5e6, 310), (17.55e6, 412.5), (17.6e6, 455), (17.7e6, 448)]
    assert trace.samples("power, instant", "W") == power
    assert [value for _, value in trace.samples("SM clock", "MHz")] == [1980, 1980, 1755, 1740, 1740]
    assert [value for _, value in trace.samples("memory clock", "MHz")] == [2619] * 5
    assert [value for _, value in trace.samples("temperature", "°C")] == [41, 42, 43, 43, 44]
    assert [value for _, value in trace.samples("GPU utilisation", "%")] == [0, 50, 100, 100, 100]
    drawn = {event["name"] for event in trace.events if event["ph"] == "C"}
    assert drawn == {"power, instant", "SM clock", "memory clock", "temperature", "GPU utilisation"}


def test_averaged_power_is_named_so(gpu_run, config) -> None:
    made = [gpu_run.energy(3, config, 4096, gpu_run.telemetry(1, (0.0, 0.05), power_average_w=(250.0, 260.0)))]
    trace = Trace(build_trace(made))
    assert trace.samples("power, averaged by the GPU", "W") == [(0, 250), (0.05e6, 260)]
    assert trace.samples("power, instant", "W") == []
    absent = {what: each["reason"] for each in trace.other["absent"] for what in each["what"]}
    assert absent["power, instant"] == "not supported: this test's GPU does not tell"
    assert absent["SM clock"] == "not supported: this test's GPU does not tell"


def test_an_energy_loop_is_labelled(gpu_run) -> None:
    trace = Trace(build_trace(gpu_run.small()))
    assert trace.spans(NVML, "energy loops") == [(f"energy {SPARQ}", 17.5e6, 0.2e6)]
    args = trace.args(NVML, "energy loops", f"energy {SPARQ}")
    assert (args["n_calls"], args["energy_per_step_j"], args["seq_len"]) == (100, 0.5, 4096)


def test_throttling_lasts_from_the_sample_before_it_was_named(gpu_run, config) -> None:
    heat, cap = "hardware thermal slowdown", "software power cap"
    telemetry = gpu_run.telemetry(
        1, (0.0, 0.1, 0.2, 0.3, 0.4), [(heat,), (), (cap,), (cap, heat), (cap,)], power_instant_w=(1.0,) * 5
    )
    trace = Trace(build_trace([gpu_run.energy(3, config, 4096, telemetry)]))
    # The first sample knows of its moment only.
    assert trace.spans(NVML, f"throttled: {heat}") == [(heat, 0, 0), (heat, 0.2e6, 0.1e6)]
    assert trace.spans(NVML, f"throttled: {cap}") == [(cap, 0.1e6, 0.3e6)]


def test_the_time_up_to_each_record_leads_to_the_calls(gpu_run) -> None:
    trace = Trace(build_trace(gpu_run.small()))
    run = "run of gpu on NVIDIA H100 80GB HBM3"
    lead = "until the call shown begins (press ], then F)"
    assert trace.spans(run, "time up to each record") == [
        ("calibration", 0, 10e6),
        ("timing llama-3-8b B=64 S=4096 cold", 10e6, 4.5e6),
        (f"energy {DENSE}", 14.5e6, 2.5e6),
        (f"energy {SPARQ}", 17e6, 3e6),
        (f"profile {DENSE}", 20e6, 0.5e6),
        (lead, 20e6, 0.2e6),
        (f"profile {SPARQ}", 20.5e6, 0.5e6),
        (lead, 20.5e6, 0.2e6),
    ]
    timing = trace.args(run, "time up to each record", "timing llama-3-8b B=64 S=4096 cold")
    assert timing["implementation"] == "dense-triton, sparq-triton"
    assert "rank" not in timing
    assert trace.args(run, "time up to each record", "calibration") == {"implementation": "sparq-triton"}
    starts = {event["id"]: event["ts"] for event in trace.events if event["ph"] == "s"}
    ends = {event["id"]: event["ts"] for event in trace.events if event["ph"] == "f"}
    assert starts == {1: 20e6, 2: 20.5e6}
    assert ends == {1: 20.2e6, 2: 20.7e6}


def test_nothing_is_drawn_between_two_runs_or_where_the_clock_was_set_back(gpu_run, config) -> None:
    resumed = {"run_id": "run-2"}
    made = [
        gpu_run.run(),
        gpu_run.energy(100, config, 4096, None),
        gpu_run.run(500, resumed=True, **resumed),
        gpu_run.calibration(400, "sparq-triton").model_copy(update=resumed),
        gpu_run.profile(402, 401, config, 4096, [("score", "score", 0, 9)], **resumed),
    ]
    spans = Trace(build_trace(made)).spans("run of gpu on NVIDIA H100 80GB HBM3", "time up to each record")
    assert spans == [
        (f"energy {SPARQ}", 0, 100e6),
        (f"profile {SPARQ}", 400e6, 2e6),
        ("until the call shown begins (press ], then F)", 400e6, 1e6),
    ]


def test_operations_of_a_cpu_nest_on_one_track(gpu_run, config) -> None:
    call = (
        Slice(name="score", step="score", start_s=1e-6, duration_s=20e-6, is_range=True),
        Slice(name="aten::matmul", step="score", start_s=2e-6, duration_s=10e-6),
        Slice(name="aten::mm", step="score", start_s=3e-6, duration_s=8e-6),
        Slice(name="aten::topk", step=None, start_s=30e-6, duration_s=5e-6),
    )
    nvml = Instrument(name="nvml", available=False, reason="driver missing: libnvidia-ml.so.1 was not found")
    made = [
        gpu_run.run(environment=gpu_run.environment("cpu", (nvml,)), passes=()),
        gpu_run.profile(3, 2, config, 4096, [], call=call),
    ]
    trace = Trace(build_trace(made))
    assert trace.tracks(CALLS) == ["calls, one of each configuration", "operations"]
    assert trace.spans(CALLS, "calls, one of each configuration") == [(SPARQ, 2e6, 35)]
    assert trace.spans(CALLS, "operations") == [
        ("score", 2000001.0, 20),
        ("aten::matmul", 2000002.0, 10),
        ("aten::mm", 2000003.0, 8),
        ("aten::topk", 2000030.0, 5),
    ]
    assert trace.args(CALLS, "operations", "score")["is"] == "a named step"
    assert not [event for event in trace.events if event["ph"] == "C"]
    assert {"what": ["nvml"], "reason": "driver missing: libnvidia-ml.so.1 was not found", "times": 1} in (
        trace.other["absent"]
    )


def test_absences_are_told_once_each_and_over_the_whole_run(gpu_run, dense, config) -> None:
    not_asked = Absence(kind="not_asked", detail="few grids are marked as watched")
    made = gpu_run.small()
    made[4:5] = [gpu_run.energy(16, dense, n, None, counter_j=Reading(absence=not_asked)) for n in (1, 2, 3)]
    trace = Trace(build_trace(made))
    assert trace.other["absent"] == [
        {
            "what": ["dram_counters", "counters pass"],
            "reason": "no permission: counters are for root",
            "times": 1,
        },
        {
            "what": ["NVML counters of some configurations"],
            "reason": "not asked: few grids are marked as watched",
            "times": 3,
        },
    ]
    spans = trace.spans("run of gpu on NVIDIA H100 80GB HBM3", "absent")
    assert spans == [
        ("absent: dram_counters, counters pass: no permission: counters are for root", 0, 21e6),
        ("absent: NVML counters of some configurations (3 times): not asked: few grids are marked as watched", 0, 21e6),
    ]


def test_calls_only_moves_calls_together(gpu_run) -> None:
    trace = Trace(build_trace(gpu_run.small(), calls_only=True))
    # Dense was expected to take 400 µs, and took 395: SparQ begins a tenth of the longer one behind it.
    assert trace.spans(CALLS, "calls, one of each configuration") == [(DENSE, 0, 395), (SPARQ, 440, 31.25)]
    assert trace.spans(CALLS, "predicted steps")[2:] == [
        (f"predicted {SPARQ}", 440, 26),
        ("score", 440, 9),
        ("select", 449, 5),
        ("gather", 454, 12),
    ]
    assert set(trace.processes.values()) == {CALLS}
    assert {event["ph"] for event in trace.events} == {"M", "X"}  # no arrow that comes from nowhere
    assert "moved together" in trace.other["clock"]
    assert trace.other["absent"]


def test_time_0_is_the_first_event_and_is_dated(gpu_run) -> None:
    trace = Trace(build_trace(gpu_run.small()))
    assert min(event["ts"] for event in trace.events if "ts" in event) == 0
    assert trace.other["clock"] == "0 is 2026-03-14T09:26:53+00:00"
    assert build_trace(gpu_run.small())["displayTimeUnit"] == "ns"


def test_a_moment_without_a_zone_is_utc(gpu_run, config) -> None:
    with_zone = gpu_run.profile(2, 1.5, config, 4096, [("score", "score", 0, 9)])
    without = with_zone.model_copy(
        update={"began": with_zone.began.replace(tzinfo=None), "time": with_zone.time.replace(tzinfo=None)}
    )
    made = [gpu_run.run(), without]
    assert Trace(build_trace(made)).spans(CALLS, "kernels, copies and fills") == [("score", 1.5e6, 9)]


def test_events_are_sound(gpu_run, hostile_run) -> None:
    for made in (gpu_run.small(), gpu_run.realistic(), hostile_run.realistic()):
        trace = build_trace(made)
        json.dumps(trace, allow_nan=False)
        places = set()
        for event in trace["traceEvents"]:
            assert event["ph"] in "MXCsf"
            assert isinstance(event["name"], str)
            assert event["name"]
            for number in ("ts", "dur"):
                if number in event:
                    assert math.isfinite(event[number])
                    assert event[number] >= 0
                    # Whole nanoseconds.
                    assert event[number] * 1000 == pytest.approx(round(event[number] * 1000), abs=1e-3)
            if event["name"] == "thread_name":
                places.add((event["pid"], event["tid"]))
        assert {(e["pid"], e["tid"]) for e in trace["traceEvents"] if e["ph"] in "Xsf"} == places
        ids = Tally((e["ph"], e["id"]) for e in trace["traceEvents"] if e["ph"] in "sf")
        assert set(ids.values()) == {1}
        assert {i for ph, i in ids if ph == "s"} == {i for ph, i in ids if ph == "f"}


@pytest.mark.parametrize("calls_only", [False, True])
def test_records_without_anything_to_show_are_refused_with_the_reasons(gpu_run, one_line, calls_only: bool) -> None:
    made = [line for line in gpu_run.small() if line.record not in ("step_profile", "energy")]
    assert not has_timeline(made)
    with pytest.raises(TimelineError, match="the records hold nothing for a timeline") as refused:
        build_trace(made, calls_only=calls_only)
    assert "profiled calls: the records hold no profile of a call" in one_line(refused.value)
    assert "dram_counters, counters pass: no permission" in str(refused.value)


def test_either_instrument_is_enough(gpu_run) -> None:
    made = gpu_run.small()
    profiled = [line for line in made if line.record != "energy"]
    sampled = [line for line in made if line.record != "step_profile"]
    assert has_timeline(profiled)
    assert has_timeline(sampled)
    assert Trace(build_trace(profiled)).samples("power, instant", "W") == []
    assert CALLS not in Trace(build_trace(sampled)).processes.values()
    assert str(contents(sampled).absent[0]) == "profiled calls: the records hold no profile of a call"
    with pytest.raises(TimelineError, match="nothing for a timeline"):
        build_trace(sampled, calls_only=True)


def test_profiles_of_old_records_have_no_kernels(gpu_run, config) -> None:
    new = gpu_run.profile(2, 1.5, config, 4096, [("score", "score", 0, 9)])
    old = new.model_copy(update={"began": None, "call": ()})
    assert not has_timeline([old])
    with pytest.raises(TimelineError, match="records before version 3 keep no kernels"):
        build_trace([old])


def test_a_time_that_is_no_number_is_refused(gpu_run, config) -> None:
    profile = gpu_run.profile(2, 1.5, config, 4096, [("score", "score", 0, 9)])
    endless = profile.call[0].model_copy(update={"duration_s": math.inf})
    with pytest.raises(TimelineError, match="a time in the records is inf"):
        build_trace([profile.model_copy(update={"call": (endless,)})])


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: Span("", 0, 1), "has no name"),
        (lambda: Span("one", 5, -1), "ends before it begins"),
        (lambda: Span("one", 0, 1, {"energy_j": math.inf}), "one: energy_j is inf"),
        (lambda: Counter("power", "W", ((0, 1.0), (1, math.nan))), "power: a sample is not a finite number"),
    ],
)
def test_what_is_drawn_is_checked(build: Callable[[], object], complaint: str) -> None:
    with pytest.raises(TimelineError, match=complaint):
        build()


def test_the_file_is_the_trace(gpu_run, hostile_run, tmp_path: Path) -> None:
    for made in (gpu_run.small(), hostile_run.small()):
        path = write_trace(made, tmp_path / "trace.json")
        assert json.loads(path.read_text("utf-8")) == build_trace(made)
    assert [each.name for each in tmp_path.iterdir()] == ["trace.json"]
    assert "°C" in path.read_text("utf-8")


def test_a_file_that_cannot_be_written_leaves_the_old_one(gpu_run, tmp_path: Path, monkeypatch, one_line) -> None:
    path = write_trace(gpu_run.small(), tmp_path / "trace.json")
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RecordError, match="cannot be written: No space left on device") as refused:
        write_trace(gpu_run.realistic(), path)
    assert str(path) in one_line(refused.value)
    assert path.read_bytes() == before


def test_long_runs_keep_their_nanoseconds(gpu_run, config) -> None:
    day = timedelta(days=30).total_seconds()
    made = [gpu_run.run(), gpu_run.profile(day + 1, day, config, 4096, [("score", "score", 0.001, 0.002)])]
    [(_, ts, dur)] = Trace(build_trace(made)).spans(CALLS, "kernels, copies and fills")
    assert (round(ts * 1000), round(dur * 1000)) == (int(day) * 10**9 + 1, 2)
