"""Waiting until a GPU runs as fast as it will: clocks ramp up from idle over tens of milliseconds."""

from collections.abc import Callable

from sparq_perf.measure.cuda_driver import CudaDriver
from sparq_perf.measure.nvml import NvmlGpu

# NVML refreshes a clock every few milliseconds: reads closer together would be flat because they are the same.
BETWEEN_READS_S = 0.02
FLAT_READS = 5
FLAT_WITHIN = 0.01
LEAST_S = 0.15
MOST_S = 1.0
WITHOUT_NVML_S = 0.3


def settle(driver: CudaDriver, nvml: NvmlGpu | None, work: Callable[[], None]) -> None:
    """Repeat ``work`` until the clock of the multiprocessors is flat, or for a fixed time where NVML does not tell."""
    clocks: list[float] = []
    began = driver.clock()
    while True:
        read_at = driver.clock() + BETWEEN_READS_S
        while driver.clock() < read_at:
            work()
            driver.synchronize()
        elapsed_s = driver.clock() - began
        clock_hz = nvml.sm_clock_hz() if nvml else None
        if clock_hz is None:
            if elapsed_s >= WITHOUT_NVML_S:
                return
            continue
        clocks.append(clock_hz)
        if elapsed_s >= MOST_S or (elapsed_s >= LEAST_S and _is_flat(clocks[-FLAT_READS:])):
            return


def _is_flat(clocks: list[float]) -> bool:
    return len(clocks) == FLAT_READS and max(clocks) - min(clocks) <= FLAT_WITHIN * max(clocks)
