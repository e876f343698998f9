"""How fast predicting is: prints numbers, asserts nothing (`make bench`).

Medians of repeats on one core; run it on a quiet machine, and compare within one run only.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from sparq_profiles import AttentionShape, HardwareProfile, SparqConfig, load_hardware
from sparq_roofline import predict, sweep
from sparq_roofline.calibration import Calibration, MeasuredPoint, calibrate

ROWS = 1_000_000


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Median time of one call."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def made_up_calibration(hardware: HardwareProfile) -> Calibration:
    """Of kernels at half the device's bandwidth, 20 % more or less: what is timed is predicting by it."""
    generator = np.random.default_rng(0)
    points = []
    for batch in (1, 4, 16, 64):
        for seq_len in (1024, 8192, 65536):
            shape = AttentionShape(batch, seq_len, 32, 8, 128)
            for config in (None, *(SparqConfig(rank, top_k) for rank in (16, 64) for top_k in (64, 256))):
                prediction = predict(hardware, shape, config, include_append=False)
                time = (prediction.sparq or prediction.dense).time_s.expected
                name = "dense" if config is None else "sparq"
                points.append(MeasuredPoint(name, shape, config, 2 * time * generator.uniform(0.8, 1.2)))
    return calibrate(points, hardware)


def main() -> None:
    """Print predict's latency, sweep's rate and the start-up times."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    hardware = load_hardware("h100-sxm-80gb")
    shape, config = AttentionShape(16, 32768, 32, 8, 128), SparqConfig(32, 128)
    print(f"predict              {seconds(lambda: predict(hardware, shape, config), 5000) * 1e6:8.1f} µs a call")

    calibration = made_up_calibration(hardware)
    calibrated_us = seconds(lambda: calibration.predict("sparq", shape, config), 5000) * 1e6
    print(f"calibration.predict  {calibrated_us:8.1f} µs a call")

    generator = np.random.default_rng(0)
    columns = {
        "batch": generator.integers(1, 65, ROWS),
        "seq_len": generator.integers(128, 131_073, ROWS),
        "rank": generator.integers(1, 129, ROWS),
        "top_k": generator.integers(1, 513, ROWS),
    }
    heads = {"n_heads": 32, "n_kv_heads": 8, "head_dim": 128}
    arrays = {name: np.full(ROWS, value) for name, value in heads.items()}
    for name, arguments in (
        ("heads as scalars", heads),
        ("every column an array", arrays),
        ("row_major", {**heads, "k_layout": "row_major"}),
    ):
        rate = ROWS / seconds(lambda a=arguments: sweep(hardware=hardware, **columns, **a), 5)  # type: ignore[misc]
        print(f"sweep, {name:<22} {rate / 1e6:5.2f} million configurations/s on one core")

    for layout in ("two_copies", "row_major"):
        by: dict[str, Any] = {"calibration": calibration, "implementations": ("dense", "sparq"), "k_layout": layout}
        rate = ROWS / seconds(lambda b=by: sweep(**columns, **heads, **b), 5)  # type: ignore[misc]
        print(f"sweep, calibrated {layout:<11} {rate / 1e6:5.2f} million configurations/s on one core")

    for name, arguments in (
        ("import sparq_perf", ["-c", "import sparq_perf"]),
        ("sparq-perf --help", ["-m", "sparq_perf", "--help"]),
        ("python alone", ["-c", "pass"]),
    ):
        command = [sys.executable, *arguments]
        took = seconds(lambda c=command: subprocess.run(c, check=True, capture_output=True), 9)  # type: ignore[misc]
        print(f"{name:<20} {took:8.3f} s")


if __name__ == "__main__":
    main()
