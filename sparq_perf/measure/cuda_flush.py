"""Cooling a GPU's L2 cache between samples."""

from statistics import median

import torch

from sparq_perf.measure import cuda_probes
from sparq_perf.measure.cuda_driver import CudaDriver

MIB = 2**20
L2_MULTIPLE = 2
SMALLEST_BYTES = 256 * MIB
# Long enough for the host to queue start event, read and end event.
BLOCKER_S = 40e-6


class CudaFlush:
    """Reads a buffer of at least twice the L2 cache; its speed shows whether the device is as fast as before.

    It reads and does not write: lines written would be dirty, and be written back while the next kernel is timed.

    Attributes:
        flush_bytes: how much one flush reads.
        seen: bandwidth of every flush since the list was last cleared, bytes/s.
    """

    def __init__(self, driver: CudaDriver) -> None:
        self._driver = driver
        wanted = max(L2_MULTIPLE * (driver.facts().l2_bytes or 0), SMALLEST_BYTES)
        n_rows = -(-wanted // (4 * cuda_probes.ROW))
        self._rows = torch.ones(n_rows, cuda_probes.ROW, device=driver.device)
        self._sums = torch.empty(n_rows, device=driver.device)
        self.flush_bytes = self._rows.numel() * 4
        self.seen: list[float] = []
        self._start, self._end = driver.event(), driver.event()

    def queue(self) -> None:
        """Flush behind what is queued, and return at once."""
        self._driver.block(BLOCKER_S)
        self._start.record()
        cuda_probes.read_flush(self._rows, self._sums)
        self._end.record()

    def finish(self) -> float:
        """Bandwidth of the flush queued last, which the device has done, bytes/s."""
        self.seen.append(self.flush_bytes / (self._start.elapsed_time(self._end) * 1e-3))
        return self.seen[-1]

    def __call__(self) -> float:
        """Flush and wait; returns the read bandwidth seen, bytes/s."""
        self.queue()
        self._end.synchronize()
        return self.finish()

    def usual_bandwidth(self, n: int) -> float:
        """Median bandwidth of some flushes, bytes/s; they leave no trace in `seen`."""
        kept = list(self.seen)
        bandwidth = median(self() for _ in range(n))
        self.seen[:] = kept
        return bandwidth
