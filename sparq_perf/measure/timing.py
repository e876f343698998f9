"""Timing: implementations interleaved round by round, a fresh query each time, caches cold or warm on purpose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from sparq_kernels import KVCache, decode
from sparq_perf.measure.ceilings import Flush
from sparq_perf.measure.inputs import Queries, build_cache
from sparq_perf.measure.stopping import StoppingRule, StopReason
from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.suite import CacheState

WARMUPS = 2
PRIMER_SEQ_LEN = 2048


@dataclass(frozen=True, slots=True)
class Contender:
    """One implementation with its settings, timed against the others of its round."""

    implementation: str
    config: SparqConfig | None


@dataclass(frozen=True, slots=True)
class Timing:
    """Samples of one contender.

    Attributes:
        samples_s: wall time of one decode call each.
        stop_reason: why sampling ended.
        read_bandwidth_bytes_per_s: median bandwidth of the flushes in between; None where caches stayed warm.
    """

    samples_s: tuple[float, ...]
    stop_reason: StopReason
    read_bandwidth_bytes_per_s: float | None


class Rounds:
    """Times contenders on one KV cache, all of them once a round.

    A slow minute of a shared machine then falls on all of them alike. Before a cold sample a buffer larger than
    every cache is read, and then the contender runs once on a small cache of its own: the KV cache is in DRAM,
    while code and interpreter are as warm as they are inside a decoding loop.
    """

    def __init__(
        self,
        cache: KVCache,
        shape: AttentionShape,
        cache_state: CacheState,
        flush: Flush,
        seed: int,
        *,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._cache, self._cache_state = cache, cache_state
        self._flush, self._clock = flush, clock
        self._queries = Queries(shape, seed)
        primer = AttentionShape(
            1,
            min(shape.seq_len, PRIMER_SEQ_LEN),
            shape.n_heads,
            shape.n_kv_heads,
            shape.head_dim,
            shape.dtype,
        )
        self._primer = build_cache(primer, cache.k_layout, seed)
        self._primer_query = Queries(primer, seed).draw()

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
        for contender in contenders:
            for _ in range(WARMUPS):
                self._run(contender)
        rules = [rule() for _ in contenders]
        reasons: list[StopReason | None] = [None] * len(contenders)
        bandwidths: list[float] = []
        began = self._clock()
        while not all(reasons):
            for index, contender in enumerate(contenders):
                bandwidth, sample = self._sample(contender)
                rules[index].add(sample)
                if bandwidth is not None:
                    bandwidths.append(bandwidth)
            elapsed = self._clock() - began
            # A contender that was quiet may grow noisy again: its reason is the latest round's.
            reasons = [rule.finished(elapsed) for rule in rules]
            on_round()
        flushed = median(bandwidths) if bandwidths else None
        return [
            Timing(tuple(rule.samples), reason, flushed)
            for rule, reason in zip(rules, reasons, strict=True)
            if reason is not None
        ]

    def _sample(self, contender: Contender) -> tuple[float | None, float]:
        query = self._queries.draw()
        bandwidth = None
        if self._cache_state == "cold":
            bandwidth = self._flush()
            decode(self._primer_query, self._primer, contender.config, contender.implementation)
        else:
            self._run(contender)
        start = self._clock()
        decode(query, self._cache, contender.config, contender.implementation)
        return bandwidth, self._clock() - start

    def _run(self, contender: Contender) -> None:
        decode(self._queries.draw(), self._cache, contender.config, contender.implementation)
