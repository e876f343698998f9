"""Five lines, each from numbers worked by hand."""

from pathlib import Path
from typing import Any

from sparq_perf.summary import describe_config, summarise
from sparq_profiles import SparqConfig

REPORT = Path("out") / "report.html"


def test_a_run_in_five_lines(lines: Any, config: Any) -> None:
    other = SparqConfig(16, 128)
    records = [
        lines.run(),
        lines.ceilings("start", 12.34e9),
        lines.measurement((8.0,), median_ci_s=(7.0, 10.0), predicted=(4.0, 6.0, 9.0)),
        lines.measurement((2.0,), median_ci_s=(1.0, 4.0), config=config, predicted=(1.0, 3.0, 4.0)),
        lines.measurement((4.0,), median_ci_s=(4.0, 4.0), config=other, predicted=(4.0, 4.0, 4.0)),
        lines.measurement((1.0,), config=config, cache_state="warm", status="invalid", reasons=("noisy",)),
        lines.measurement(cache_state="warm", status="failed", reasons=("out of memory",)),
        lines.ceilings("end", 99e9),
        lines.end(),
    ]
    assert summarise(records, REPORT) == [
        "ceilings    12.3 GB/s read from DRAM, 100 GFLOP/s float32 (Test CPU, 2 threads)",
        "measured    3 valid, 1 invalid, 1 failed",
        "best        4.00× measured [1.75, 10.00], 2.00× predicted: sparq-cpu over dense-cpu, "
        "tiny B=1 S=4,096 r=8 k=64, cold",
        # Errors are −25 % (dense), +50 % and 0 %.
        "prediction  median error 25.0% of 3, worst +50%: sparq-cpu, tiny B=1 S=4,096 r=8 k=64, cold",
        f"report      {REPORT}",
    ]


def test_the_ceilings_of_a_gpu(lines: Any) -> None:
    line = lines.ceilings("start", 3e12)
    ceiling = line.hardware.memory_bandwidth_bytes_per_s
    gpu = line.hardware.model_copy(
        update={
            "kind": "gpu",
            "copy_bandwidth_bytes_per_s": ceiling.model_copy(update={"value": 2.8e12}),
            "peak_flop_per_s": {"float16": ceiling.model_copy(update={"value": 8e14})},
        }
    )
    told = "not written, as asked"
    ceilings, *_, report = summarise([lines.run(), line.model_copy(update={"hardware": gpu})], told)
    assert ceilings == (
        "ceilings    3000.0 GB/s read from DRAM, 2800.0 GB/s copied, 800000 GFLOP/s float16 (Test CPU, 2 threads)"
    )
    assert report == "report      not written, as asked"


def test_a_run_that_ended_before_it_measured(lines: Any) -> None:
    assert summarise([lines.run(), lines.end(outcome="interrupted")], REPORT) == [
        "ceilings    not measured: left out with --no-predict, or the run ended before they were found",
        "measured    0 valid, 0 invalid, 0 failed",
        "best        no valid SparQ measurement has a valid dense baseline",
        "prediction  no valid measurement with a prediction",
        f"report      {REPORT}",
    ]


def test_a_speedup_without_a_prediction(lines: Any, config: Any) -> None:
    summary = summarise([lines.measurement((6.0,)), lines.measurement((3.0,), config=config)], REPORT)
    assert "2.00× measured [2.00, 2.00], no prediction: " in summary[2]


def test_a_dense_configuration_in_words(lines: Any) -> None:
    assert describe_config(lines.measurement(cache_state="warm")) == "tiny B=1 S=4,096, warm"
