"""Timing: implementations interleaved round by round, a fresh query each time, caches cold or warm on purpose."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

from torch import Tensor

from sparq_kernels import KVCache
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.inputs import Queries
from sparq_perf.measure.machine import Machine, Sample
from sparq_perf.measure.stopping import StoppingRule, StopReason
from sparq_perf.records.schema import Timer
from sparq_profiles import AttentionShape
from sparq_profiles.suite import CacheState

WARMUPS = 2


@dataclass(frozen=True, slots=True)
class Timing:
    """Samples of one contender.

    Attributes:
        samples_s: time of one decode call each.
        stop_reason: why sampling ended.
        read_bandwidth_bytes_per_s: median bandwidth of the flushes in between; None where caches stayed warm.
        timer: what timed them.
        n_starved: samples that may hold host time, because the device caught up with the host.
        slowdowns: what held the device's clock down, with the share of the looks (one a round) that saw it.
    """

    samples_s: tuple[float, ...]
    stop_reason: StopReason
    read_bandwidth_bytes_per_s: float | None
    timer: Timer = "perf_counter"
    n_starved: int = 0
    slowdowns: Mapping[str, float] = field(default_factory=dict)


class Rounds:
    """Times contenders on one KV cache, all of them once a round.

    A slow minute of a shared machine then falls on all of them alike.
    """

    def __init__(
        self,
        machine: Machine,
        cache: KVCache,
        shape: AttentionShape,
        cache_state: CacheState,
        seed: int,
        *,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._machine, self._cache_state, self._clock = machine, cache_state, clock
        self._queries = Queries(shape, seed, machine.device)
        self._stopwatch = machine.stopwatch(cache, shape, seed)

    def time(
        self,
        contenders: Sequence[Contender],
        rule: Callable[[], StoppingRule],
        *,
        on_round: Callable[[], None] = lambda: None,
    ) -> list[Timing]:
        """Sample every contender until each one's rule is satisfied, or the first gives up.

        Contenders that are done go on being sampled with the rest, so that all have seen the same minutes.
        """
        timers = [self._stopwatch.prepare(contender) for contender in contenders]
        for contender in contenders:
            for _ in range(WARMUPS):
                self._run(contender)
        self._machine.settle(lambda: self._run_all(contenders))
        rules = [rule() for _ in contenders]
        reasons: list[StopReason | None] = [None] * len(contenders)
        sampled: list[list[Sample]] = [[] for _ in contenders]
        slowdowns: Counter[str] = Counter()
        n_looks = 0
        began = self._clock()
        while not all(reasons):
            for index, contender in enumerate(contenders):
                sample = self._sample(contender)
                sampled[index].append(sample)
                rules[index].add(sample.time_s)
            slowdowns.update(self._machine.slowdowns())
            n_looks += 1
            elapsed = self._clock() - began
            # A contender that was quiet may grow noisy again: its reason is the latest round's.
            reasons = [rule.finished(elapsed) for rule in rules]
            on_round()
        bandwidths = [
            sample.read_bandwidth_bytes_per_s
            for samples in sampled
            for sample in samples
            if sample.read_bandwidth_bytes_per_s is not None
        ]
        flushed = median(bandwidths) if bandwidths else None
        shares = {name: count / n_looks for name, count in slowdowns.items()}
        return [
            Timing(tuple(rule.samples), reason, flushed, timer, sum(sample.starved for sample in samples), shares)
            for rule, reason, timer, samples in zip(rules, reasons, timers, sampled, strict=True)
            if reason is not None
        ]

    def _sample(self, contender: Contender) -> Sample:
        query = self._queries.draw()
        warm_query: Tensor | None = None if self._cache_state == "cold" else self._queries.draw()
        return self._stopwatch.sample(contender, query, warm_query)

    def _run_all(self, contenders: Sequence[Contender]) -> None:
        for contender in contenders:
            self._run(contender)

    def _run(self, contender: Contender) -> None:
        self._stopwatch.run(contender, self._queries.draw())
