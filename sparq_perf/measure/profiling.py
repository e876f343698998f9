"""Time per named step, in a pass of its own with torch.profiler attached; never a source of latencies."""

import torch

from sparq_kernels import KVCache, decode
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.inputs import Queries
from sparq_perf.measure.machine import Machine
from sparq_perf.records.schema import ProfiledStep
from sparq_profiles import AttentionShape
from sparq_profiles.suite import CacheState

RANGE_PREFIX = "sparq::"
CALL_RANGE = "sparq_perf::call"
ITERATIONS = 5


def profile_steps(
    machine: Machine, cache: KVCache, shape: AttentionShape, contender: Contender, cache_state: CacheState, seed: int
) -> tuple[float, tuple[ProfiledStep, ...]] | None:
    """Mean time of the whole call and of each named step, seconds, over `ITERATIONS` calls.

    Args:
        machine: what to run on.
        cache, shape: what to attend over.
        contender: implementation and settings.
        cache_state: caches are flushed before each iteration where it is cold.
        seed: of the queries.

    Returns:
        None where the profiler saw nothing, such as a GPU's kernels where it may not watch them.
    """
    queries = Queries(shape, seed, machine.device)
    decode(queries.draw(), cache, contender.config, contender.implementation)

    def work() -> None:
        for _ in range(ITERATIONS):
            query = queries.draw()
            if cache_state == "cold":
                machine.flush()
            with torch.profiler.record_function(CALL_RANGE):
                decode(query, cache, contender.config, contender.implementation)

    times = machine.range_times(work)
    total_s = times.get(CALL_RANGE, 0.0) / ITERATIONS
    if not total_s:
        return None
    steps = {
        name.removeprefix(RANGE_PREFIX): seconds / ITERATIONS
        for name, seconds in times.items()
        if name.startswith(RANGE_PREFIX)
    }
    return total_s, tuple(ProfiledStep(name=name, time_s=seconds) for name, seconds in steps.items())
