"""Timing on a GPU: device events around the replay of a captured decode call."""

from collections.abc import Callable

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


class CudaStopwatch:
    """Times decode calls on one KV cache.

    Each contender's call is captured into a CUDA graph once, reading its query from a buffer that a new query is copied
    into before every sample. One that cannot be captured is called between the events.

    There is no small cache to run on after a flush, as on a CPU: between the attention of two layers a GPU streams
    weights of many times its L2, so the kernel's code is as cold as its data in a decoding loop too. The query is
    copied after the flush: there, the projection before has just written it.
    """

    def __init__(
        self,
        driver: CudaDriver,
        flush: CudaFlush,
        cache: KVCache,
        shape: AttentionShape,
        seed: int,
        note: Callable[[str], None],
    ) -> None:
        self._driver, self._flush, self._cache, self._note = driver, flush, cache, note
        self._query = Queries(shape, seed, driver.device).draw()
        self._lanes: dict[Contender, Lane] = {}

    def prepare(self, contender: Contender) -> Timer:
        """Compile and capture; returns what will time it."""
        query, cache = self._query, self._cache

        def call() -> Tensor:
            return decode(query, cache, contender.config, contender.implementation)

        timer: Timer = "cuda_graph"
        launch: Callable[[], object]
        try:
            launch = self._driver.capture(call)
        except CaptureError as error:
            self._note(f"{contender.implementation} is timed call by call: a CUDA graph cannot hold it: {error}")
            timer, launch = "cuda_events", call
        self._lanes[contender] = Lane(self._driver, launch)
        return timer

    def run(self, contender: Contender, query: Tensor) -> None:
        """One call that is not sampled."""
        self._query.copy_(query)
        self._lanes[contender].launch()

    def sample(self, contender: Contender, query: Tensor, warm_query: Tensor | None) -> Sample:
        """Time one call, cold unless a query for a call right before is given."""

        def before() -> None:
            if warm_query is None:
                self._flush.queue()
            else:
                self.run(contender, warm_query)
            self._query.copy_(query)

        timed = self._lanes[contender].time(before)
        bandwidth = self._flush.finish() if warm_query is None else None
        return Sample(timed.time_s, bandwidth, timed.starved)
