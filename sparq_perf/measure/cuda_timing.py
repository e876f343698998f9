"""Timing on a GPU: device events around the replay of a captured decode call."""

import math
from collections.abc import Callable, Sequence
from itertools import count

from torch import Tensor

from sparq_kernels import KVCache, decode
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.cuda_driver import CaptureError, CudaDriver
from sparq_perf.measure.cuda_flush import CudaFlush
from sparq_perf.measure.cuda_lane import Lane
from sparq_perf.measure.inputs import Queries
from sparq_perf.measure.machine import Sample
from sparq_perf.records.schema import Timer
from sparq_profiles import AttentionShape

MOST_BUFFERS = 4


def buffers_wanted(kv_bytes: float, l2_bytes: float | None, free_bytes: float) -> int:
    """KV caches to take in turn, so that a cold sample finds nothing of its own in the L2.

    A flush by reading relies on how the L2 replaces lines, which nobody documents; another buffer does not. One cache
    of twice the L2 needs no other. A quarter of the free memory is the most that copies may take.
    """
    if not l2_bytes or kv_bytes >= 2 * l2_bytes:
        return 1
    wanted = min(math.ceil(2 * l2_bytes / kv_bytes) + 1, MOST_BUFFERS)
    return max(1, min(wanted, 1 + int(free_bytes / 4 // kv_bytes)))


class CudaStopwatch:
    """Times decode calls on KV caches of one content's kind, which cold samples take in turn.

    Each contender's call is captured into a CUDA graph once for each cache, reading its query from a buffer that a new
    query is copied into before every sample. One that cannot be captured is called between the events.

    There is no small cache to run on after a flush, as on a CPU: between the attention of two layers a GPU streams
    weights of many times its L2, so the kernel's code is as cold as its data in a decoding loop too. The query is
    copied after the flush: there, the projection before has just written it.

    Attributes:
        n_buffers: KV caches.
    """

    def __init__(
        self,
        driver: CudaDriver,
        flush: CudaFlush,
        caches: Sequence[KVCache],
        shape: AttentionShape,
        seed: int,
        note: Callable[[str], None],
    ) -> None:
        self._driver, self._flush, self._caches, self._note = driver, flush, caches, note
        self.n_buffers = len(caches)
        self._query = Queries(shape, seed, driver.device).draw()
        self._lanes: dict[Contender, list[Lane]] = {}
        self._turns: dict[Contender, count[int]] = {}

    def prepare(self, contender: Contender) -> Timer:
        """Compile and capture; returns what will time it."""
        timers, lanes = zip(*(self._lane(contender, cache) for cache in self._caches), strict=True)
        self._lanes[contender], self._turns[contender] = list(lanes), count()
        timer: Timer = timers[0]
        return timer

    def _lane(self, contender: Contender, cache: KVCache) -> tuple[Timer, Lane]:
        query = self._query

        def call() -> Tensor:
            return decode(query, cache, contender.config, contender.implementation)

        try:
            return "cuda_graph", Lane(self._driver, self._driver.capture(call))
        except CaptureError as error:
            self._note(f"{contender.implementation} is timed call by call: a CUDA graph cannot hold it: {error}")
            return "cuda_events", Lane(self._driver, call)

    def run(self, contender: Contender, query: Tensor) -> None:
        """One call that is not sampled."""
        self._query.copy_(query)
        self._lanes[contender][0].launch()

    def sample(self, contender: Contender, query: Tensor, warm_query: Tensor | None) -> Sample:
        """Time one call, cold unless a query for a call right before is given."""

        def before() -> None:
            if warm_query is None:
                self._flush.queue()
            else:
                self.run(contender, warm_query)
            self._query.copy_(query)

        turn = 0 if warm_query is not None else next(self._turns[contender]) % self.n_buffers
        timed = self._lanes[contender][turn].time(before)
        bandwidth = self._flush.finish() if warm_query is None else None
        return Sample(timed.time_s, bandwidth, timed.starved)
