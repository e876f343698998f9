"""What a run writes, in which order, and what is left when something goes wrong."""

import json
import signal
from collections.abc import Callable
from typing import Any

import numba
import pytest
import torch

from sparq_perf.measure.resume import suite_digest
from sparq_perf.measure.run import RunOptions, run_suite
from sparq_perf.records.schema import Instrument
from sparq_perf.records.store import RecordError, RecordWriter, read_lines
from sparq_profiles import ConfigError, SparqPerfError

N_PLANNED = 12


def kinds(bench: Any) -> list[str]:
    return [line.record for line in read_lines(bench.path)]  # type: ignore[attr-defined]


def test_a_complete_run(bench: Any) -> None:
    assert bench.run(command=("sparq-perf", "run")) == "complete"
    group = [kind for kind in ("measurement", "energy", "step_profile", "dram", "counted") for _ in range(6)]
    assert kinds(bench) == ["run", "ceilings", *["calibration"] * 4, *group, *group, "ceilings", "end"]
    (run,), (end,) = bench.lines_of("run"), bench.lines_of("end")
    assert (run.suite, run.n_planned, run.resumed) == ("tiny", N_PLANNED, False)
    assert run.command == ("sparq-perf", "run")
    assert (end.outcome, end.n_measured, end.n_missing) == ("complete", N_PLANNED, 0)
    assert [line.phase for line in bench.lines_of("ceilings")] == ["start", "end"]
    assert {line.run_id for line in read_lines(bench.path)} == {run.run_id}
    assert bench.progress.done == pytest.approx(bench.progress.total)


def test_a_measurement_carries_its_evidence(bench: Any) -> None:
    bench.run()
    measurements = bench.lines_of("measurement")
    assert len({m.key for m in measurements}) == N_PLANNED
    for m in measurements:
        assert (m.status, m.reasons, m.stop_reason) == ("ok", (), "noise")
        assert m.timer == "perf_counter"
        assert m.samples_s == bench.samples
        assert m.median_s == 1.01e-3
        assert m.median_ci_s == (1.00e-3, 1.02e-3)
        assert m.relative_noise == pytest.approx(0.01e-3 / 1.01e-3)
        assert m.read_bandwidth_bytes_per_s == 10e9
        assert (m.max_error, m.error_tolerance) == (1e-7, 1e-4)
        assert m.prediction.evidence == "calibrated"


def test_what_no_instrument_here_sees_is_null_with_its_reason(bench: Any) -> None:
    bench.run()
    energies, drams, counts = (bench.lines_of(kind) for kind in ("energy", "dram", "counted"))
    assert len(energies) == len(drams) == len(counts) == N_PLANNED
    for energy in energies:
        fields = (energy.counter_j, energy.integral_j, energy.power_w, energy.sm_clock_hz, energy.idle_power_w)
        assert {(field.value, str(field.absence)) for field in fields} == {(None, "driver missing: no driver")}
        assert (energy.n_calls, energy.energy_j, energy.telemetry) == (0, None, None)
    for line in drams:
        assert line.dram.source is None
        assert line.dram.total_bytes.value is None
        assert all(rung.absence is not None for rung in line.dram.rungs)
    assert {line.absence.kind for line in counts} == {"not_supported"}
    (run,) = bench.lines_of("run")
    assert all(reading["value"] is None for reading in run.environment.gpu_state.model_dump().values())
    assert {each.name: each.made for each in run.passes} == {
        **dict.fromkeys(("correctness", "timing", "profile"), True),
        **dict.fromkeys(("nvml", "counters", "counted"), False),
    }


def test_without_predictions_neither_ceilings_nor_calibration_are_looked_for(bench: Any) -> None:
    bench.bandwidth = 1e9  # a tenth of the ceiling: there is none to hold it against
    assert bench.run(predict=False) == "complete"
    assert not [asked for asked in bench.asked if asked[0] in ("ceilings", "calibrate")]
    assert not {"ceilings", "calibration"} & set(kinds(bench))
    for m in bench.lines_of("measurement"):
        assert (m.status, m.prediction, m.read_bandwidth_bytes_per_s) == ("ok", None, 1e9)
    assert all(step.predicted_s is None for profile in bench.lines_of("step_profile") for step in profile.steps)
    assert bench.progress.done == pytest.approx(bench.progress.total)


def test_a_run_without_predictions_is_resumed_with_them_for_what_is_left(bench: Any) -> None:
    bench.before_group = lambda seq_len: (_ for _ in ()).throw(KeyboardInterrupt) if seq_len == 1024 else None
    assert bench.run(predict=False) == "interrupted"
    bench.before_group = lambda seq_len: None
    assert bench.run(resume=True) == "complete"
    predicted = {m.shape.seq_len: m.prediction is not None for m in bench.lines_of("measurement")}
    assert predicted == {512: False, 1024: True}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("nvml", "energy"), ("profile", "step_profile"), ("counters", "dram"), ("counted", "counted")],
)
def test_a_pass_that_is_skipped_leaves_nothing_and_can_be_made_later(bench: Any, name: str, kind: str) -> None:
    bench.run(skipped=frozenset({name}))
    assert bench.lines_of(kind) == []
    assert len(bench.lines_of("measurement")) == N_PLANNED
    (run,) = bench.lines_of("run")
    assert {each.name: each.reason for each in run.passes}[name] == "skipped, as asked on the command line"
    bench.run(resume=True)
    assert len(bench.lines_of(kind)) == len(bench.lines_of("measurement")) == N_PLANNED


def test_correctness_comes_before_time(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr("sparq_perf.measure.checking.largest_error", lambda *_: order.append("check") or 0.0)
    bench.before_group = lambda seq_len: order.append("time")
    bench.run()
    # One check an implementation and setting: both lengths have the same heads.
    assert order == ["check"] * 6 + ["time"] * 2


def test_what_an_implementation_refuses_has_failed_and_the_rest_is_measured(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(place: Any, config: Any, implementation: str, *_: Any) -> float:
        if implementation == "dense-sdpa":
            raise ConfigError("dense-sdpa: torch has no such kernel here")
        return 1e-7

    monkeypatch.setattr("sparq_perf.measure.checking.largest_error", check)
    assert bench.run() == "complete"
    measurements = bench.lines_of("measurement")
    assert len({m.key for m in measurements}) == len(measurements) == N_PLANNED
    refused = [m for m in measurements if m.status == "failed"]
    assert {(m.implementation, m.reasons) for m in refused} == {
        ("dense-sdpa", ("dense-sdpa: torch has no such kernel here",))
    }
    assert len(refused) == 2
    assert "dense-sdpa" not in {line.implementation for line in bench.lines_of("calibration")}


def test_each_measurement_is_on_disk_before_the_next_group(bench: Any) -> None:
    seen: list[int] = []
    bench.before_group = lambda seq_len: seen.append(bench.path.read_text().count('"record":"measurement"'))
    bench.run()
    assert seen == [0, 6]


def test_resuming_a_complete_run_measures_nothing(bench: Any) -> None:
    bench.run()
    before = bench.path.read_bytes()
    bench.asked.clear()
    assert bench.run(resume=True) == "complete"
    assert bench.asked == []
    assert bench.path.read_bytes().startswith(before)
    assert kinds(bench)[-2:] == ["run", "end"]
    assert bench.lines_of("run")[-1].resumed is True
    assert "nothing is missing" in bench.progress.notes[-1]


def test_resume_measures_only_what_is_missing(bench: Any) -> None:
    bench.run()
    kept = []
    for line in bench.path.read_text().splitlines(keepends=True):
        fields = json.loads(line)
        lost = fields["record"] == "end" or fields.get("phase") == "end"
        if fields["record"] in ("measurement", "step_profile"):
            lost = fields["shape"]["seq_len"] == 1024 and fields["implementation"] == "sparq-cpu"
        if not lost:
            kept.append(line)
    bench.path.write_text("".join(kept))
    before = bench.path.read_bytes()
    bench.asked.clear()
    assert bench.run(resume=True) == "complete"
    # Ceilings at the end only, no calibration: the file has them.
    assert bench.asked == [
        ("time", 1024, "sparq-cpu", "sparq-cpu"),
        ("profile", 1024, "sparq-cpu"),
        ("profile", 1024, "sparq-cpu"),
        ("ceilings",),
    ]
    assert bench.path.read_bytes().startswith(before)
    keys = bench.measured_keys()
    assert len(set(keys)) == len(keys) == N_PLANNED
    assert [line.phase for line in bench.lines_of("ceilings")] == ["start", "end"]
    assert len(bench.lines_of("calibration")) == 4
    assert bench.lines_of("end")[-1].n_missing == 0
    assert bench.lines_of("measurement")[-1].prediction.evidence == "calibrated"


@pytest.mark.parametrize("n_kept", [0, 1, 2, 4, 6, 9, 14, 20, 33, 40, 65])
@pytest.mark.parametrize("torn", [b"", b'{"schema_version":1,"run_id":"7'])
def test_resume_after_a_kill_anywhere(bench: Any, n_kept: int, torn: bytes) -> None:
    bench.run()
    whole = bench.path.read_bytes().splitlines(keepends=True)
    assert len(whole) == 68
    bench.path.write_bytes(b"".join(whole[:n_kept]) + torn)
    assert bench.run(resume=True) == "complete"
    assert bench.path.read_bytes().startswith(b"".join(whole[:n_kept]) + b'{"schema_version"')
    keys = bench.measured_keys()
    assert len(set(keys)) == len(keys) == N_PLANNED
    for kind in ("energy", "step_profile", "dram", "counted"):
        assert sorted(line.key for line in bench.lines_of(kind)) == sorted(keys)
    assert {line.implementation for line in bench.lines_of("calibration")} == {c.rpartition("/")[2] for c in keys}
    assert bool(torn) == any("cut off" in note for note in bench.progress.notes)


def test_failed_measurements_are_not_tried_again(bench: Any) -> None:
    bench.available = 1000
    bench.run()
    bench.available = 8e9
    bench.asked.clear()
    assert bench.run(resume=True) == "complete"
    assert bench.asked == []


def test_resume_without_a_file_begins_one(bench: Any) -> None:
    assert bench.run(resume=True) == "complete"
    assert bench.lines_of("run")[0].resumed is False


def test_resume_is_refused_for_another_suite(bench: Any, suite_of: Callable[..., Any]) -> None:
    bench.run()
    before = bench.path.read_bytes()
    with pytest.raises(RecordError, match="holds suite 'tiny', not this 'other': name another --out"):
        bench.run(suite_of(name="other"), resume=True)
    with pytest.raises(RecordError, match="holds suite 'tiny'"):  # of the same name, but asks for something else
        bench.run(suite_of(grid={"seq_len": [512]}), resume=True)
    assert bench.path.read_bytes() == before


def test_resume_is_refused_on_another_machine(bench: Any, lines: Any) -> None:
    bench.run()
    before = bench.path.read_bytes()
    bench.environment = lines.environment(device="Other CPU")
    with pytest.raises(RecordError, match="measured on Test CPU with 2 threads, this is Other CPU with 2"):
        bench.run(resume=True)
    bench.environment = lines.environment(n_threads=1)
    with pytest.raises(RecordError, match="this is Test CPU with 1: name another --out"):
        bench.run(resume=True)
    assert bench.path.read_bytes() == before


def test_resume_leaves_a_foreign_file_alone(bench: Any) -> None:
    bench.out.mkdir()
    bench.path.write_bytes(b"dear diary")
    with pytest.raises(RecordError, match="not a sparq-perf record"):
        bench.run(resume=True)
    assert bench.path.read_bytes() == b"dear diary"


def test_earlier_records_are_kept_aside(bench: Any) -> None:
    bench.run()
    first = bench.path.read_bytes()
    bench.run()
    bench.run()
    kept = sorted(path for path in bench.out.iterdir() if path != bench.path)
    assert len(kept) == 2
    assert first in [path.read_bytes() for path in kept]
    assert all(path.name.startswith("records-") and path.suffix == ".jsonl" for path in kept)
    assert any(f"earlier records kept as {kept[0].name}" in note for note in bench.progress.notes)
    assert len(bench.measured_keys()) == N_PLANNED


@pytest.mark.parametrize("resume", [False, True])
def test_the_records_of_a_run_that_goes_on_are_left_alone(bench: Any, resume: bool) -> None:
    bench.run()
    before = bench.path.read_bytes() + b'{"schema'  # the other run is in the middle of a line
    bench.path.write_bytes(before)
    with RecordWriter(bench.path), pytest.raises(RecordError, match="another run is writing"):
        bench.run(resume=resume)
    assert bench.path.read_bytes() == before
    assert [path.name for path in bench.out.iterdir()] == ["records.jsonl"]


def test_too_little_memory_fails_each_configuration_and_the_run_goes_on(bench: Any) -> None:
    def shrink(seq_len: int) -> None:
        bench.available = 1_000_000

    bench.before_group = shrink  # once the first group is timed
    assert bench.run() == "complete"
    by_length = {512: [], 1024: []}
    for m in bench.lines_of("measurement"):
        by_length[m.shape.seq_len].append(m)
    assert {m.status for m in by_length[512]} == {"ok"}
    assert {m.status for m in by_length[1024]} == {"failed"}
    # 3 copies of 1024 · 2 heads · 32 · 4 bytes, and the 8192 rows that the cache is filled from.
    needed = (3 * 1024 * 2 * 32 * 4 + 8192 * 32 * 2 * 4) / 1e9
    assert {m.reasons for m in by_length[1024]} == {
        (f"out of memory: the KV cache needs {needed:.1f} GB and 0.0 GB are free",)
    }
    assert bench.lines_of("end")[0].n_missing == 0


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (MemoryError(), "no detail"),
        (MemoryError("Unable to allocate 9 GiB"), "Unable to allocate 9 GiB"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried\nto"), "DefaultCPUAllocator: can't"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "CUDA out of memory. Tried"),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might"), "CUDA error: out of memory"),
    ],
)
def test_an_allocation_that_fails_is_a_record(bench: Any, error: Exception, detail: str) -> None:
    def fail(seq_len: int) -> None:
        if seq_len == 512:
            raise error

    bench.before_build = fail
    assert bench.run() == "complete"
    measurements = bench.lines_of("measurement")
    assert len(measurements) == N_PLANNED
    for m in measurements:
        assert m.status == ("failed" if m.shape.seq_len == 512 else "ok")
        if m.status == "failed":
            assert m.reasons[0].startswith(f"out of memory: {detail}")
            assert "\n" not in m.reasons[0]
            assert m.samples_s == ()
    assert {line.shape.seq_len for line in bench.lines_of("step_profile")} == {1024}


def test_memory_that_ends_while_profiling_leaves_the_measurements(bench: Any) -> None:
    def fail(implementation: str) -> None:
        raise MemoryError

    bench.before_profile = fail
    assert bench.run() == "complete"
    assert [m.status for m in bench.lines_of("measurement")] == ["ok"] * N_PLANNED
    assert bench.lines_of("step_profile") == []


def test_another_error_is_not_taken_for_memory(bench: Any) -> None:
    def fail(seq_len: int) -> None:
        if seq_len == 1024:
            raise RuntimeError("a defect")

    bench.before_build = fail
    with pytest.raises(RuntimeError, match="a defect"):
        bench.run()
    (end,) = bench.lines_of("end")
    assert (end.outcome, end.n_measured, end.n_missing) == ("failed", 6, 6)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"samples": (1e-3, 5e-3) * 5}, "noisy: the median is known to ±67%, ±10% is allowed"),
        ({"error": 2e-3}, "wrong: differs from the float64 reference by 0.002, 0.0001 is allowed"),
        ({"error": float("nan")}, "wrong: differs from the float64 reference by nan, 0.0001 is allowed"),
        ({"error": float("inf")}, "wrong: differs from the float64 reference by inf, 0.0001 is allowed"),
        ({"samples": (1e-3,) * 5}, "too few samples: 5, at least 6 are needed for a 95 % interval"),
        (
            {"seen": {"n_starved": 2}},
            "starved: in 2 of 9 samples the device caught up with the host, whose time may be part of them",
        ),
        (
            {"seen": {"slowdowns": {"hardware thermal slowdown": 0.11}}},
            "throttled: hardware thermal slowdown held the clock down in 11% of the rounds",
        ),
        (
            {"seen": {"slowdowns": {"software power cap": 0.51}}},
            "throttled: software power cap held the clock down in 51% of the rounds",
        ),
        ({"bandwidth": 7e9}, "machine drifted: read bandwidth was -30% off the ceiling found at the start"),
        ({"bandwidth": 13e9}, "machine drifted: read bandwidth was +30% off the ceiling found at the start"),
    ],
)
def test_what_cannot_be_trusted_is_invalid(bench: Any, found: dict[str, Any], reason: str) -> None:
    for name, value in found.items():
        setattr(bench, name, value)
    assert bench.run() == "complete"
    for m in bench.lines_of("measurement"):
        assert m.status == "invalid"
        assert len(m.reasons) == 1
        assert m.reasons[0].startswith(reason)
        assert m.samples_s == bench.samples
    assert len(bench.lines_of("measurement")) == N_PLANNED


@pytest.mark.parametrize(
    "found",
    [
        {"bandwidth": 8e9},
        {"bandwidth": 12e9},
        {"error": 1e-4},
        {"stop_reason": "timeout"},
        {"seen": {"slowdowns": {"software power cap": 0.5}}},  # a small board touches its limit now and then
    ],
)
def test_what_is_within_the_limits_is_ok(bench: Any, found: dict[str, Any]) -> None:
    for name, value in found.items():
        setattr(bench, name, value)
    bench.run()
    assert {m.status for m in bench.lines_of("measurement")} == {"ok"}


def test_several_reasons_are_all_given(bench: Any) -> None:
    bench.error, bench.bandwidth, bench.samples = 1.0, 1e9, (1e-3, 2e-3)
    bench.run()
    reasons = bench.lines_of("measurement")[0].reasons
    assert [reason.partition(":")[0] for reason in reasons] == ["wrong", "too few samples", "noisy", "machine drifted"]


def test_warm_measurements_cannot_drift(bench: Any, suite_of: Callable[..., Any]) -> None:
    bench.bandwidth = 1e9
    bench.run(suite_of(grid={"cache_state": ["warm"]}))
    measurements = bench.lines_of("measurement")
    assert {m.status for m in measurements} == {"ok"}
    assert {m.read_bandwidth_bytes_per_s for m in measurements} == {None}


def check_interrupted(bench: Any, n_measured: int) -> None:
    """An interrupted run has its lines and an end, and its resumption completes it."""
    last = read_lines(bench.path)[-1]
    assert (last.outcome, last.n_measured, last.n_missing) == ("interrupted", n_measured, N_PLANNED - n_measured)  # type: ignore[attr-defined]
    assert len(bench.measured_keys()) == n_measured
    before = bench.path.read_bytes()
    bench.before_group = bench.before_profile = bench.before_build = lambda _: None
    assert bench.run(resume=True) == "complete"
    assert bench.path.read_bytes().startswith(before)
    keys = bench.measured_keys()
    assert len(set(keys)) == len(keys) == N_PLANNED
    assert sorted(line.key for line in bench.lines_of("step_profile")) == sorted(keys)


def interrupt_at(length: int, action: Callable[[], None]) -> Callable[[int], None]:
    def _interrupt(seq_len: int) -> None:
        if seq_len == length:
            action()

    return _interrupt


def ctrl_c() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("length", "n_measured"), [(512, 0), (1024, 6)])
def test_ctrl_c_while_timing(bench: Any, length: int, n_measured: int) -> None:
    bench.before_group = interrupt_at(length, ctrl_c)
    assert bench.run() == "interrupted"
    check_interrupted(bench, n_measured)


def test_ctrl_c_while_profiling(bench: Any) -> None:
    bench.before_profile = lambda implementation: ctrl_c() if implementation == "sparq-torch" else None
    assert bench.run() == "interrupted"
    assert len(bench.lines_of("step_profile")) == 3
    check_interrupted(bench, 6)


def test_ctrl_c_during_the_ceilings(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(bench, "find_ceilings", lambda *_, **__: ctrl_c())
        assert bench.run() == "interrupted"
    assert kinds(bench) == ["run", "end"]
    check_interrupted(bench, 0)


def test_sigterm_ends_a_run_as_ctrl_c_does(bench: Any, terminate: Callable[[], None]) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    bench.before_group = interrupt_at(1024, terminate)
    assert bench.run() == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is handler
    check_interrupted(bench, 6)


@pytest.mark.parametrize("n_threads", [0, -1, numba.config.NUMBA_NUM_THREADS + 1])
def test_impossible_thread_counts(bench: Any, n_threads: int) -> None:
    with pytest.raises(SparqPerfError, match=f"--threads is {n_threads}: this machine allows 1 to"):
        bench.run(n_threads=n_threads)
    assert not bench.out.exists()


def test_bad_options_write_nothing(bench: Any) -> None:
    with pytest.raises(ConfigError, match="unknown implementation 'sparq-gpu'"):
        bench.run(implementations=("sparq-gpu",))
    assert not bench.out.exists()


def test_only_some_implementations(bench: Any) -> None:
    bench.run(implementations=("dense-cpu", "sparq-cpu"))
    assert {m.implementation for m in bench.lines_of("measurement")} == {"dense-cpu", "sparq-cpu"}
    assert ("calibrate", "dense-cpu", "sparq-cpu") in bench.asked
    # The others are added to the same file later, and calibrated then.
    bench.asked.clear()
    bench.run(resume=True)
    assert bench.asked[0] == ("calibrate", "dense-sdpa", "sparq-torch")
    assert len(bench.measured_keys()) == N_PLANNED


@pytest.mark.parametrize(("asked", "expected"), [(None, 8.0), (0.5, 0.5)])
def test_the_timeout_is_the_machines_unless_asked_for(bench: Any, asked: float | None, expected: float) -> None:
    bench.run(timeout_s=asked)
    assert [(rule.timeout_s, rule.minimum_samples, rule.minimum_time_s) for rule in bench.rules] == [
        (expected, 9, 0.05)
    ] * 2


def test_memory_is_given_back_after_every_group(bench: Any) -> None:
    seen: list[int] = []
    bench.before_group = lambda seq_len: seen.append(bench.releases)
    bench.run()
    assert seen == [0, 1]
    assert bench.releases == 2


def test_a_profiler_that_sees_nothing_is_noted(bench: Any) -> None:
    bench.profiler_sees = False
    assert bench.run() == "complete"
    assert bench.lines_of("step_profile") == []
    assert "torch.profiler saw nothing of dense-cpu: no time per step" in bench.progress.notes


def test_a_gpu_that_is_not_used_is_noted(bench: Any, lines: Any) -> None:
    nvml = Instrument(name="nvml", available=True)
    bench.environment = lines.environment(instruments=(nvml,))
    bench.run()
    assert bench.progress.notes[0].startswith("a GPU is here: this run measures the CPU")


def test_a_digest_does_not_see_what_is_expected(suite_of: Callable[..., Any]) -> None:
    expectation = {
        "device": "H100", "quantity": "speedup", "target": 2.0, "source": "a test",
        "model": "tiny", "seq_len": 512, "rank": 8, "top_k": 64,
    }  # fmt: skip
    assert suite_digest(suite_of(expectations=[expectation])) == suite_digest(suite_of())


def test_a_digest_tells_suites_apart(suite_of: Callable[..., Any]) -> None:
    assert suite_digest(suite_of()) == suite_digest(suite_of())
    assert suite_digest(suite_of()) != suite_digest(suite_of(grid={"seq_len": [512]}))
    assert len(suite_digest(suite_of())) == 64


def test_out_that_cannot_be_written(bench: Any, suite_of: Callable[..., Any]) -> None:
    bench.out.write_text("a file")
    with pytest.raises(RecordError, match="cannot be written"):
        run_suite(RunOptions(suite_of(), bench.out, device="cpu", n_threads=1), bench.progress)


@pytest.mark.parametrize(
    ("flushes", "attempts"),
    [
        ([10e9], 1),
        ([19e9, 10.5e9], 2),  # another program held the machine while the ceilings were found, then went
        ([5e9, 5e9, 5e9, 5e9], 3),  # twice more at most: a machine that never settles is measured as it is
    ],
)
def test_ceilings_and_calibration_are_found_again_when_disturbed(
    bench: Any, flushes: list[float], attempts: int
) -> None:
    bench.calibration_flushes = list(flushes)
    assert bench.run() == "complete"
    assert [name for name, *_ in bench.asked].count("calibrate") == attempts
    assert len([line for line in bench.lines_of("ceilings") if line.phase == "start"]) == attempts
    notes = [note for note in bench.progress.notes if "changed speed during calibration" in note]
    assert len(notes) == attempts - 1
