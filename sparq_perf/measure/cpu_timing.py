"""Timing on a CPU: the host's clock around one decode call, whose choice of a kernel is made before."""

from collections.abc import Callable
from time import perf_counter

from torch import Tensor

from sparq_kernels import KVCache, bind
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.inputs import Queries, build_cache
from sparq_perf.measure.machine import Flush, Sample
from sparq_perf.records.schema import Timer
from sparq_profiles import AttentionShape

PRIMER_SEQ_LEN = 2048
Attend = Callable[[Tensor], Tensor]


class CpuStopwatch:
    """Times decode calls on one KV cache.

    Before a cold sample a buffer larger than every cache is read, and then the contender runs once on a small cache of
    its own: the KV cache is in DRAM, while code and interpreter are as warm as they are inside a decoding loop.
    """

    n_buffers = 1

    def __init__(
        self,
        cache: KVCache,
        shape: AttentionShape,
        flush: Flush,
        seed: int,
        *,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._cache, self._flush, self._clock = cache, flush, clock
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
        self._bound: dict[Contender, tuple[Attend, Attend]] = {}

    def prepare(self, contender: Contender) -> Timer:
        """Choose its kernel, which the correctness check has compiled."""
        measured, primer = (
            bind(cache, contender.config, contender.implementation) for cache in (self._cache, self._primer)
        )
        self._bound[contender] = measured, primer
        return "perf_counter"

    def run(self, contender: Contender, query: Tensor) -> None:
        """One call that is not sampled."""
        self._bound[contender][0](query)

    def sample(self, contender: Contender, query: Tensor, warm_query: Tensor | None) -> Sample:
        """Time one call, cold unless a query for a call right before is given."""
        attend, prime = self._bound[contender]
        bandwidth = None
        if warm_query is None:
            bandwidth = self._flush()
            prime(self._primer_query)
        else:
            attend(warm_query)
        clock = self._clock
        start = clock()
        attend(query)
        return Sample(clock() - start, bandwidth)
