"""How fast sizing is: prints numbers, asserts nothing (`make bench`).

Medians of repeats on one core; run it on a quiet machine, and compare within one run only. The target is 2 s for 14
GPUs with 1,000 points each, dense and SparQ in three layouts.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from sparq_profiles import load_model
from sparq_profiles.load import all_hardware
from sparq_profiles.shape import K_LAYOUTS
from sparq_roofline.deployment.candidates import Demand
from sparq_roofline.deployment.points import Prices, evaluate
from sparq_roofline.deployment.question import Question
from sparq_roofline.deployment.recipe import settings
from sparq_roofline.deployment.sharding import shard
from sparq_roofline.deployment.sizing import size

POINTS = 1_000


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Median time of one call."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print the time of a sizing, of many points, and of both, in a hot process and from the command line."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    gpus = [profile for profile in all_hardware() if profile.kind == "gpu"]
    question = Question(load_model("llama-3-8b"), gpus, Demand(8000, 192))
    served, held = question.served(), shard(question.model, 1)
    configs = (
        None,
        *(settings(question.model, rank=24, top_k=128, k_layout=layout) for layout in K_LAYOUTS),
    )
    generator = np.random.default_rng(0)
    batch = generator.integers(1, 257, POINTS).astype(np.float64)
    seq_len = generator.integers(128, 131_073, POINTS).astype(np.float64)

    def points() -> None:
        for hardware in gpus:
            prices = Prices(2.0, 700.0, (0.5, 0.7, 1.0), 0.1)
            evaluate(hardware, served, held, batch, seq_len, configs, prices)

    sizing_s, points_s = seconds(lambda: size(question), 9), seconds(points, 9)
    names = f"{len(gpus)} GPUs"
    print(f"size, {names}, dense and 3 layouts            {sizing_s:8.3f} s")
    print(f"{names} x {POINTS:,} points, dense and 3 layouts   {points_s:8.3f} s")
    print(f"both                                          {sizing_s + points_s:8.3f} s (target: 2)")
    command = [sys.executable, "-m", "sparq_perf", "size", "--model", "llama-3-8b", "--context", "8000"]
    command += ["--output", "192", "--json"]
    took = seconds(lambda: subprocess.run(command, check=True, capture_output=True), 5)
    print(f"sparq-perf size, {names}, from the shell       {took:8.3f} s")


if __name__ == "__main__":
    main()
