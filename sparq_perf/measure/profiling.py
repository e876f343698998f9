"""Time per named step, in a pass of its own with torch.profiler attached; never a source of latencies."""

import torch
from torch.profiler import ProfilerActivity, profile

from sparq_kernels import KVCache, decode
from sparq_perf.measure.ceilings import Flush
from sparq_perf.measure.inputs import Queries
from sparq_perf.measure.timing import Contender
from sparq_perf.records.schema import ProfiledStep
from sparq_profiles import AttentionShape

RANGE_PREFIX = "sparq::"
CALL_RANGE = "sparq_perf::call"
ITERATIONS = 5


def profile_steps(
    cache: KVCache, shape: AttentionShape, contender: Contender, flush: Flush | None, seed: int
) -> tuple[float, tuple[ProfiledStep, ...]]:
    """Mean time of the whole call and of each named step, seconds, over `ITERATIONS` calls.

    Args:
        cache, shape: what to attend over.
        contender: implementation and settings.
        flush: called before each iteration where caches are to be cold.
        seed: of the queries.
    """
    queries = Queries(shape, seed)
    decode(queries.draw(), cache, contender.config, contender.implementation)
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
        for _ in range(ITERATIONS):
            query = queries.draw()
            if flush is not None:
                flush()
            with torch.profiler.record_function(CALL_RANGE):
                decode(query, cache, contender.config, contender.implementation)
    total_s, steps = 0.0, {}
    for event in profiler.key_averages():
        seconds = event.cpu_time_total * 1e-6 / ITERATIONS
        if event.key == CALL_RANGE:
            total_s = seconds
        elif event.key.startswith(RANGE_PREFIX):
            steps[event.key.removeprefix(RANGE_PREFIX)] = seconds
    return total_s, tuple(ProfiledStep(name=name, time_s=seconds) for name, seconds in steps.items())
