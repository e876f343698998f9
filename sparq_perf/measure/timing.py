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
        samples_s: time of one decode call each; those of rounds in which something held the clock down are left out,
            unless there are no others.
        stop_reason: why sampling ended.
        read_bandwidth_bytes_per_s: median bandwidth of the flushes in between; None where caches stayed warm.
        timer: what timed them.
        n_starved: samples that may hold host time, because the device caught up with the host.
        slowdowns: what held the device's clock down, with the share of the looks (one a round) that saw it.
        n_throttled: samples discarded for it.
        n_buffers: KV caches that the samples took in turn.
    """

    samples_s: tuple[float, ...]
    stop_reason: StopReason
    read_bandwidth_bytes_per_s: float | None
    timer: Timer = "perf_counter"
    n_starved: int = 0
    slowdowns: Mapping[str, float] = field(default_factory=dict)
    n_throttled: int = 0
    n_buffers: int = 1


class _RoundLog:
    """Samples of every contender, round by round; those of rounds in which something held the clock down put aside.

    Args:
        rules: one for each contender, all with the same timeout.
    """

    def __init__(self, rules: Sequence[StoppingRule]) -> None:
        self.rules = rules
        self._kept: list[Sequence[Sample]] = []
        self._throttled: list[Sequence[Sample]] = []
        self._slowdowns: Counter[str] = Counter()

    def add(self, sampled: Sequence[Sample], held_down: Sequence[str], elapsed_s: float) -> None:
        """Take a round's samples, one of each contender, and what was seen to hold the clock down after it."""
        self._slowdowns.update(held_down)
        if not held_down:
            self._keep(sampled)
            return
        self._throttled.append(sampled)
        if not self._kept and elapsed_s >= self.rules[0].timeout_s:
            # There will be no others: they are kept, and judged by what held the clock down.
            rounds, self._throttled = self._throttled, []
            for one in rounds:
                self._keep(one)

    def timing(self, index: int, reason: StopReason, timer: Timer, n_buffers: int) -> Timing:
        """What was seen of one contender."""
        bandwidths = [
            sample.read_bandwidth_bytes_per_s
            for sampled in self._kept
            for sample in sampled
            if sample.read_bandwidth_bytes_per_s is not None
        ]
        n_looks = len(self._kept) + len(self._throttled)
        return Timing(
            samples_s=tuple(self.rules[index].samples),
            stop_reason=reason,
            read_bandwidth_bytes_per_s=median(bandwidths) if bandwidths else None,
            timer=timer,
            n_starved=sum(sampled[index].starved for sampled in self._kept),
            slowdowns={name: count / n_looks for name, count in self._slowdowns.items()},
            n_throttled=len(self._throttled),
            n_buffers=n_buffers,
        )

    def _keep(self, sampled: Sequence[Sample]) -> None:
        self._kept.append(sampled)
        for rule, sample in zip(self.rules, sampled, strict=True):
            rule.add(sample.time_s)


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
        log = _RoundLog([rule() for _ in contenders])
        began = self._clock()
        reasons: list[StopReason | None] = [None] * len(contenders)
        while not all(reasons):
            sampled = [self._sample(contender) for contender in contenders]
            held_down = self._machine.slowdowns()
            elapsed_s = self._clock() - began
            log.add(sampled, held_down, elapsed_s)
            # A contender that was quiet may grow noisy again: its reason is the latest round's.
            reasons = [rule.finished(elapsed_s) for rule in log.rules]
            on_round()
        n_buffers = self._stopwatch.n_buffers if self._cache_state == "cold" else 1
        return [
            log.timing(index, reason, timer, n_buffers)
            for index, (reason, timer) in enumerate(zip(reasons, timers, strict=True))
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
