"""A whole run on a simulated GPU, from the command line to the report."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sparq_perf.cli.main import main
from sparq_perf.measure import cuda_machine, energy_pass
from sparq_perf.measure.machine import CalibrationGrid
from sparq_perf.measure.nvml import energy
from sparq_perf.measure.observing import Loop
from sparq_perf.measure.passes import NOT_WATCHED
from sparq_perf.records.reading import Reading
from sparq_perf.records.store import read_lines

SUITE = """
name = "tiny-gpu"
title = "Tiny, on a GPU"
device = "gpu"
dtype = "float16"

[[grids]]
model = "tiny"
shape = { n_heads = 4, n_kv_heads = 2, head_dim = 32 }
seq_len = [512]
cache_state = ["cold", "warm"]
configs = [{ rank = 8, top_k = 64 }]

[[expectations]]
device = "H100"
quantity = "speedup"
target = 0.01
source = "a test"
model = "tiny"
seq_len = 512
rank = 8
top_k = 64

[[expectations]]
device = "H100"
quantity = "share_of_copy_bandwidth"
target = 1e9
source = "a test"
model = "tiny"
seq_len = 512
rank = 8
top_k = 64
step = "score"

[[expectations]]
device = "H100"
quantity = "beyond_byte_time_s"
target = 1.0
source = "another test"
model = "tiny"
seq_len = 512
rank = 8
top_k = 64
implementation = "sparq-triton"

[[expectations]]
device = "B200"
quantity = "speedup"
target = 9.0
source = "a test"
model = "tiny"
seq_len = 512
rank = 8
top_k = 64
"""
ONLY = ("--implementation", "dense-sdpa", "--implementation", "sparq-torch")


@pytest.fixture
def run(
    quick_gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Runs the suite by the command line; returns exit code, stdout and the records' lines."""
    (tmp_path / "tiny.toml").write_text(SUITE)
    monkeypatch.setenv("COLUMNS", "200")

    def _run(*arguments: str) -> tuple[int, str, list[Any]]:
        command = ["sparq-perf", "run", "--suite", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "out")]
        monkeypatch.setattr(sys, "argv", [*command, "--threads", "1", *ONLY, *arguments])
        threads = torch.get_num_threads()
        with pytest.raises(SystemExit) as ended:
            main()
        torch.set_num_threads(threads)
        return int(ended.value.code or 0), capsys.readouterr().out, read_lines(tmp_path / "out" / "records.jsonl")

    return _run


def of_kind(lines: list[Any], kind: str) -> list[Any]:
    return [line for line in lines if line.record == kind]


def test_records_summary_and_report(run: Callable[..., Any], quick_gpu: Any, tmp_path: Path) -> None:
    code, out, lines = run()
    assert code == 0, out
    (started,) = of_kind(lines, "run")
    assert started.environment.gpu.uuid == "GPU-1234"
    assert [line.phase for line in of_kind(lines, "ceilings")] == ["start", "end"]
    assert {line.implementation for line in of_kind(lines, "calibration")} == {"dense-sdpa", "sparq-torch"}
    measurements = of_kind(lines, "measurement")
    assert [(m.implementation, m.cache_state) for m in measurements] == [
        ("dense-sdpa", "cold"), ("sparq-torch", "cold"), ("dense-sdpa", "warm"), ("sparq-torch", "warm"),
    ]  # fmt: skip
    for m in measurements:
        assert (m.status, m.timer, m.reasons) == ("ok", "cuda_graph", ())
        assert m.max_error <= m.error_tolerance == 2e-2
        assert (m.read_bandwidth_bytes_per_s is None) == (m.cache_state == "warm")
        assert m.prediction.evidence == "calibrated"
    energies, drams = of_kind(lines, "energy"), of_kind(lines, "dram")
    assert {str(e.counter_j.absence) for e in energies} == {str(NOT_WATCHED)}
    assert {str(rung.absence) for d in drams for rung in d.dram.rungs} == {str(NOT_WATCHED)}
    assert [each.name for each in started.passes if not each.made] == ["nvml", "counters"]
    profiles = of_kind(lines, "step_profile")
    assert [(p.implementation, [step.name for step in p.steps]) for p in profiles[:2]] == [
        ("dense-sdpa", ["attend"]), ("sparq-torch", ["score", "select", "gather"]),
    ]  # fmt: skip
    for p in profiles:
        assert [step.time_s for step in p.steps] == pytest.approx([7e-6] * len(p.steps))
        assert p.total_s == pytest.approx(7e-6 * len(p.steps))
        assert p.span_s >= p.total_s
        assert [(kernel.name, kernel.launches) for kernel in p.kernels] == [("k", 1.0)] * len(p.steps)
        assert all(step.launches == 1 and step.predicted_s > 0 for step in p.steps)
        assert [piece.step for piece in p.call] == [step.name for step in p.steps]
    # After every group and calibration shape, and after each time the ceilings were found.
    assert quick_gpu.emptied == 2 + 6 + 2

    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "GPU-1234" in page
    assert "Copy bandwidth" in page
    first_words = [line.partition(" ")[0] for line in out.splitlines()]
    assert first_words == [
        "records", "ceilings", "measured", "best", "prediction", "report", "timeline",
        "", "workload", "tiny", "tiny", "tiny",
    ]  # fmt: skip
    speedup, score, beyond = out.splitlines()[-3:]
    assert "speedup ≥ 0.01×" in speedup
    assert "  met  " in speedup
    assert "sparq-torch over dense-sdpa" in speedup
    assert "  missed  " in score
    assert "predicted bytes over the profiler's time" in score
    assert beyond.rstrip().endswith("not measured  –")
    summary = (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert "| tiny B=1 S=512 r=8 k=64, cold | speedup ≥ 0.01× |" in summary
    assert "Expected by: a test; another test." in summary


def test_a_watched_group_is_seen_by_every_instrument(
    run: Callable[..., Any], pynvml: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.toml").write_text(SUITE.replace('cache_state = ["cold", "warm"]', "watched = true"))
    monkeypatch.setattr(energy_pass.EnergyObserver, "loop", Loop(calls=1, time_s=1.0, replayed=True))
    # Its first and last sample are enough: how many a busy machine takes in between is not this test's.
    monkeypatch.setattr(energy, "FEWEST_SAMPLES", 2)
    monkeypatch.setattr(energy, "LARGEST_GAP_SHARE", 1.0)
    monkeypatch.setattr(energy_pass, "BEFORE_IDLE_S", 0.0)
    monkeypatch.setattr(energy_pass, "IDLE_S", 0.35)
    pynvml.power_w = 300.0
    code, out, lines = run("--no-report")
    assert code == 0, out
    (started,) = of_kind(lines, "run")
    assert [each.name for each in started.passes if not each.made] == []
    energies = of_kind(lines, "energy")
    assert [e.implementation for e in energies] == ["dense-sdpa", "sparq-torch"]
    for e in energies:
        assert e.n_calls >= 1
        assert e.elapsed_s >= 1.0
        assert e.counter_j.value * e.n_calls / e.elapsed_s == pytest.approx(300, rel=0.5)
        assert e.integral_j.value * e.n_calls / e.elapsed_s == pytest.approx(300, rel=0.01)
        assert e.idle_power_w.value == pytest.approx(300)  # a GPU that draws the same at rest
        assert e.power_source == "power_average_w"
        assert e.caches == "warm"  # a KV cache of 64 KB stays in the L2 when nothing flushes it
        assert len(e.telemetry.times_s) >= 2
        assert e.telemetry.absences["temperature_c"].kind == "not_supported"
    (dense, sparq) = of_kind(lines, "dram")
    assert dense.dram.source is sparq.dram.source is None
    assert [rung.name for rung in dense.dram.rungs] == ["ncu", "cupti", "gpm"]
    assert all(rung.absence.kind == "library_missing" for rung in dense.dram.rungs[:1])
    # The run ends with the counters' child; whoever resumes finds nothing to do.
    code, _, resumed = run("--no-report", "--resume")
    assert resumed[: len(lines)] == lines
    assert [line.record for line in resumed[len(lines) :]] == ["run", "end"]


def test_idle_power_is_subtracted_on_request(
    run: Callable[..., Any], pynvml: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.toml").write_text(SUITE.replace('cache_state = ["cold", "warm"]', "watched = true"))
    monkeypatch.setattr(energy_pass.EnergyObserver, "loop", Loop(calls=1, time_s=1.0, replayed=True))
    monkeypatch.setattr("sparq_perf.measure.pipeline.measure_idle", lambda nvml: Reading.of(100.0))
    monkeypatch.setattr(energy, "FEWEST_SAMPLES", 2)
    monkeypatch.setattr(energy, "LARGEST_GAP_SHARE", 1.0)
    pynvml.power_w = 300.0
    _, _, lines = run("--no-report", "--no-profile", "--no-counters", "--no-counted", "--subtract-idle")
    for e in of_kind(lines, "energy"):
        assert e.idle_subtracted
        assert e.integral_j.value * e.n_calls / e.elapsed_s == pytest.approx(200, rel=0.01)
        assert e.power_w.value == pytest.approx(300, rel=0.5)  # what the device drew is told as it is
    assert of_kind(lines, "dram") == of_kind(lines, "counted") == of_kind(lines, "step_profile") == []


def test_out_of_memory_is_a_failed_measurement(run: Callable[..., Any], quick_gpu: Any) -> None:
    real = quick_gpu.call_s

    def seconds(contender: Any, cache: Any) -> float:
        if contender.config is not None and cache.seq_len == 512:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 99 GiB.\nmore")
        return float(real(contender, cache))

    quick_gpu.call_s = seconds
    code, _, lines = run("--no-report")
    assert code == 2
    measurements = of_kind(lines, "measurement")
    assert len(measurements) == 4
    for m in measurements:
        assert m.status == "failed"
        assert m.reasons == ("out of memory: CUDA out of memory. Tried to allocate 99 GiB.",)
    assert lines[-1].outcome == "complete"


def test_a_cache_that_does_not_fit_is_not_tried(run: Callable[..., Any], quick_gpu: Any) -> None:
    free = quick_gpu.free_bytes

    quick_gpu.free_bytes = lambda: 10**6 if quick_gpu.emptied > 6 else free()  # once calibration is done
    _, _, lines = run("--no-report")
    assert {m.reasons for m in of_kind(lines, "measurement")} == {
        ("out of memory: the KV cache needs 0.0 GB and 0.0 GB are free",)
    }


@pytest.mark.parametrize(
    ("bits", "status", "reason"),
    [
        (0x40, "invalid", "throttled: hardware thermal slowdown held the clock down in 100% of the rounds"),
        (0x4, "invalid", "throttled: software power cap held the clock down in 100% of the rounds"),
        (0x1 | 0x2, "ok", None),
    ],
)
def test_throttling(run: Callable[..., Any], pynvml: Any, bits: int, status: str, reason: str | None) -> None:
    pynvml.reasons = [bits]
    code, _, lines = run("--no-report", "--no-profile", "--timeout-s", "0.2")
    assert code == (0 if status == "ok" else 2)
    for m in of_kind(lines, "measurement"):
        assert (m.status, m.reasons) == (status, () if reason is None else (reason,))


def test_calls_that_cannot_be_captured(run: Callable[..., Any], quick_gpu: Any) -> None:
    quick_gpu.refusal = "it waits"
    code, _, lines = run("--no-report", "--no-profile")
    assert code == 0
    assert {m.timer for m in of_kind(lines, "measurement")} == {"cuda_events"}


def test_starved_samples_are_invalid(run: Callable[..., Any], quick_gpu: Any) -> None:
    quick_gpu.refusal, quick_gpu.waits = "it waits", {"sparq-torch"}
    _, _, lines = run("--no-report", "--no-profile")
    for m in of_kind(lines, "measurement"):
        if m.implementation == "dense-sdpa":
            assert m.status == "ok"
        else:
            n = len(m.samples_s)
            assert m.reasons[0].startswith(f"starved: in {n} of {n} samples the device caught up with the host")


def test_a_profiler_that_sees_no_kernels(run: Callable[..., Any], quick_gpu: Any) -> None:
    quick_gpu.profiled = False
    code, _, lines = run("--no-report")
    assert code == 0
    assert of_kind(lines, "step_profile") == []
    assert {m.status for m in of_kind(lines, "measurement")} == {"ok"}


def test_json(run: Callable[..., Any], tmp_path: Path) -> None:
    code, out, _ = run("--no-report", "--no-profile", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["report"] is None
    assert document["summary"][-1] == "report      not written, as asked"
    assert [(e["quantity"], e["met"]) for e in document["expectations"]] == [
        ("speedup", True), ("share_of_copy_bandwidth", None), ("beyond_byte_time_s", None),
    ]  # fmt: skip
    assert not (tmp_path / "out" / "report.html").exists()


def test_resuming(run: Callable[..., Any], quick_gpu: Any) -> None:
    _, _, first = run("--no-report")
    quick_gpu.queued.clear()
    code, _, lines = run("--no-report", "--resume")
    assert code == 0
    assert quick_gpu.queued == []
    assert lines[: len(first)] == first


def test_the_suite_for_gpus_is_the_default(monkeypatch: pytest.MonkeyPatch, quick_gpu: Any, tmp_path: Path) -> None:
    asked: list[Any] = []

    def stop(options: Any, progress: Any) -> None:
        asked.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("sparq_perf.measure.run.run_suite", stop)
    for device, suite in (("auto", "gpu"), ("cuda", "gpu"), ("cpu", "standard")):
        monkeypatch.setattr(sys, "argv", ["sparq-perf", "run", "--device", device, "--out", str(tmp_path)])
        with pytest.raises(SystemExit):
            main()
        assert asked[-1].suite.name == suite


def test_the_triton_kernels_go_the_same_way(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Interpreted, on the simulated GPU: what is recorded, predicted and expected of them."""
    # As few points as a fit takes, and short: every call goes through the interpreter, lane by lane.
    shapes = tuple((1, seq_len, 4, 2, 32) for seq_len in (64, 96, 128, 160, 192, 256))
    monkeypatch.setattr(cuda_machine, "CALIBRATION", CalibrationGrid(shapes, ((8, 24),)))
    code, out, lines = run("--implementation", "dense-triton", "--implementation", "sparq-triton")
    assert code == 0, out
    (beyond,) = [line for line in out.splitlines() if "beyond" in line]
    assert "not measured" not in beyond
    measurements = [m for m in of_kind(lines, "measurement") if m.implementation.endswith("-triton")]
    assert len(measurements) == 4
    for m in measurements:
        assert (m.status, m.timer) == ("ok", "cuda_graph")
        assert m.max_error <= m.error_tolerance
        assert m.prediction.evidence == "calibrated"
    steps = {p.implementation: [step.name for step in p.steps] for p in of_kind(lines, "step_profile")}
    assert steps["dense-triton"] == ["attend"]
    assert steps["sparq-triton"] == ["score", "select", "gather"]
