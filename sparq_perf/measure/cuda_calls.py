"""Decode calls replayed from a CUDA graph, back to back: what the device does in a decoding loop, without the host."""

from collections.abc import Callable
from itertools import cycle

from torch import Tensor

from sparq_kernels import KVCache, decode
from sparq_perf.measure.cuda_driver import CaptureError, CudaDriver
from sparq_perf.measure.inputs import Queries
from sparq_perf.measure.observing import Place

# Enough that the channels and positions chosen have left the L2 before they come again; drawn once, for drawing costs
# the device more than a small decode call.
N_QUERIES = 32


class ReplayedCalls:
    """Calls on a GPU; one that a graph cannot hold is called instead.

    Args:
        driver: the device.
        cache, place: what to attend over, by what.
        seed: of the queries.
        cool: flushes the caches.
    """

    def __init__(self, driver: CudaDriver, cache: KVCache, place: Place, seed: int, cool: Callable[[], object]) -> None:
        queries = Queries(place.group.shape, seed, driver.device)
        self._pool = cycle([queries.draw() for _ in range(N_QUERIES)])
        self._query, self._cool, self.wait = queries.draw(), cool, driver.synchronize
        contender = place.contender

        def launch() -> Tensor:
            return decode(self._query, cache, contender.config, contender.implementation)

        self._launch: Callable[[], object]
        try:
            self._launch = driver.capture(launch)
        except CaptureError:
            self._launch = launch

    def call(self) -> None:
        """Queue one."""
        self._query.copy_(next(self._pool))
        self._launch()

    def cool(self) -> None:
        """Flush the caches."""
        self._cool()
