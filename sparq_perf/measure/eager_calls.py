"""Decode calls made through the host's code, each with a new query, inside the range that a trace finds them by."""

from collections.abc import Callable

import torch

from sparq_kernels import KVCache, decode
from sparq_perf.measure.inputs import Queries
from sparq_perf.measure.observing import Place
from sparq_perf.measure.traced_calls import CALL_RANGE


class EagerCalls:
    """Calls on any device.

    Args:
        cache, place: what to attend over, by what.
        seed: of the queries.
        cool: flushes the caches.
        wait: until the device has done all that is queued.
    """

    def __init__(
        self,
        cache: KVCache,
        place: Place,
        seed: int,
        cool: Callable[[], object],
        wait: Callable[[], None] = lambda: None,
    ) -> None:
        self._cache, self._contender = cache, place.contender
        self._queries = Queries(place.group.shape, seed, cache.values.device)
        self._cool, self.wait = cool, wait

    def call(self) -> None:
        """Make one, or queue it on a GPU."""
        query = self._queries.draw()
        with torch.profiler.record_function(CALL_RANGE):
            decode(query, self._cache, self._contender.config, self._contender.implementation)

    def cool(self) -> None:
        """Flush the caches."""
        self._cool()
