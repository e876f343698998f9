"""One piece of GPU work, timed by device events so that the host is never part of it.

The host queues a blocker, then the start event, the work and the end event. The device must not reach the start
before the end is queued, or it would wait for the host in between, and the time would be the host's. Whether it did
is asked of the start event right after; then the blocker is made longer and the sample taken again.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sparq_perf.measure.cuda_driver import CudaDriver

SHORTEST_BLOCKER_S = 50e-6
LONGEST_BLOCKER_S = 20e-3
ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class LaneTime:
    """Device time of one run of the work; ``starved`` where the host may be part of it after all."""

    time_s: float
    starved: bool


class Lane:
    """Times one launch again and again.

    Args:
        driver: the device.
        launch: queues the work.
    """

    def __init__(self, driver: CudaDriver, launch: Callable[[], object]) -> None:
        self._driver, self.launch = driver, launch
        self._start, self._end = driver.event(), driver.event()
        launch()
        driver.synchronize()
        began = driver.clock()
        launch()
        queued_s = driver.clock() - began
        driver.synchronize()
        self._blocker_s = self._first_blocker_s = min(SHORTEST_BLOCKER_S + 2 * queued_s, LONGEST_BLOCKER_S)
        self._hopeless = False

    def time(self, before: Callable[[], None] = lambda: None) -> LaneTime:
        """Device time of one launch.

        Args:
            before: queues what must come right before it, untimed.
        """
        sample = self._once(before)
        for _ in range(ATTEMPTS - 1):
            if not sample.starved or self._hopeless:
                return sample
            self._blocker_s = min(2 * self._blocker_s, LONGEST_BLOCKER_S)
            sample = self._once(before)
        # Work that waits for the device itself outlasts every blocker: do not try four times for each sample.
        if sample.starved:
            self._hopeless, self._blocker_s = True, self._first_blocker_s
        return sample

    def _once(self, before: Callable[[], None]) -> LaneTime:
        before()
        self._driver.block(self._blocker_s)
        self._start.record()
        self.launch()
        self._end.record()
        starved = self._start.query()
        self._end.synchronize()
        return LaneTime(self._start.elapsed_time(self._end) * 1e-3, starved)
