"""The ceilings of this CPU: achieved read bandwidth by buffer size, multiply-add rate, cost of a launch.

Read bandwidth is the best of several ways to read (plain, and eight rows side by side in 1 to 4 streams a thread),
each a median, so that it is a ceiling for every kernel and not the speed of one loop. Sizes go from inside a core's
cache to eight times the last level, so that a cache is never taken for memory: the bandwidth called DRAM's is that
of the largest buffer.
"""

import re
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from sparq_perf.measure import cpu_probes
from sparq_perf.measure.environment import cache_sizes, cpu_name, memory_available_bytes, memory_limit_bytes
from sparq_profiles.hardware import Efficiency, EfficiencyRange, FootprintBandwidth, HardwareProfile
from sparq_profiles.quantity import Quantity

MIB = 2**20
SMALLEST_BYTES = 2 * MIB
# Reads over twice the last-level cache evict what was in it, which is what a flush is for. But a cache may keep part of
# a buffer that is read again and again; over eight times its size it can serve an eighth of the reads at most.
FLUSH_CACHE_MULTIPLE = 2
DRAM_CACHE_MULTIPLE = 8
SMALLEST_DRAM_BYTES = 256 * MIB
LARGEST_DRAM_BYTES = 4096 * MIB
STREAMS = (1, 2, 4)
FLUSH_STREAMS = 4
SOURCE = "measured on this machine by sparq-perf run"


def dram_buffer_bytes() -> int:
    """Size of a buffer whose reads come from DRAM: eight times the last-level cache, within reason and memory."""
    wanted = min(max(DRAM_CACHE_MULTIPLE * _last_level_bytes(), SMALLEST_DRAM_BYTES), LARGEST_DRAM_BYTES)
    return min(wanted, memory_available_bytes() // 4) // MIB * MIB


def _last_level_bytes() -> int:
    return max(cache_sizes().values(), default=64 * MIB)


class CpuFlush:
    """Reads a buffer larger than every cache; its speed shows whether the machine is as fast as before.

    Attributes:
        flush_bytes: how much one flush reads: the first part of `data`.
        seen: bandwidth of every flush since the list was last cleared, bytes/s.
    """

    def __init__(self, n_threads: int) -> None:
        self._all_bytes = dram_buffer_bytes()
        wanted = max(FLUSH_CACHE_MULTIPLE * _last_level_bytes(), SMALLEST_DRAM_BYTES)
        self.flush_bytes = min(self._all_bytes, wanted)
        self._data = np.ones(self.flush_bytes // 4, np.float32)
        self.seen: list[float] = []
        self._sums = np.zeros(n_threads, np.float32)
        self._n_threads = n_threads
        # Compiled or loaded here: in a group's first round that would use up the time that the group has.
        self._read(SMALLEST_BYTES)

    def __call__(self) -> float:
        """Flush; returns the read bandwidth seen, bytes/s."""
        start = perf_counter()
        self._read(self.flush_bytes)
        self.seen.append(self.flush_bytes / (perf_counter() - start))
        return self.seen[-1]

    def _read(self, n_bytes: int) -> None:
        cpu_probes.read_side_by_side(self._data[: n_bytes // 4], self._n_threads, FLUSH_STREAMS, self._sums)

    @property
    def data(self) -> NDArray[np.float32]:
        """The whole buffer, which takes its memory when it is first asked for: only ceilings read all of it."""
        if self._data.nbytes < self._all_bytes // 4 * 4:
            self._data = np.ones(self._all_bytes // 4, np.float32)
        return self._data


def find_ceilings(
    n_threads: int, flush: CpuFlush, *, seconds: float = 4.0, progress: Callable[[str], None] = lambda _: None
) -> HardwareProfile:
    """Probe this CPU into a hardware profile whose ceilings are measured.

    Args:
        n_threads: threads that the kernels use.
        flush: its buffer is the one read; the flush's own size is a point of the curve.
        seconds: time to spend on bandwidth and compute together, roughly.
        progress: told what is being probed.
    """
    curve = []
    sizes = _probe_sizes(flush.data.nbytes, flush.flush_bytes)
    for size in sizes:
        progress(f"read bandwidth, {size / MIB:g} MiB")
        bandwidth = _read_bandwidth(flush.data[: size // 4], n_threads, seconds / len(sizes))
        curve.append(FootprintBandwidth(footprint_bytes=size, read_bandwidth_bytes_per_s=bandwidth))
    progress("multiply-adds and launches")
    dram = curve[-1]
    levels = cache_sizes()
    full = EfficiencyRange(lower=0.5, expected=0.8, upper=1.0, kind="assumed", source=FULL_SOURCE)
    gather = EfficiencyRange(lower=0.1, expected=0.3, upper=1.0, kind="assumed", source=GATHER_SOURCE)
    return HardwareProfile(
        name=_profile_name(cpu_name(), n_threads),
        title=f"{cpu_name()}, {n_threads} threads",
        kind="cpu",
        vendor=_vendor(cpu_name()),
        device_names=(cpu_name(),),
        memory_bandwidth_bytes_per_s=Quantity(
            value=dram.read_bandwidth_bytes_per_s,
            kind="measured",
            source=f"{SOURCE}: reads of {dram.footprint_bytes / MIB:.0f} MiB by {n_threads} threads",
        ),
        memory_bytes=Quantity(value=float(memory_limit_bytes()), kind="measured", source="reported by the kernel"),
        peak_flop_per_s={
            "float32": Quantity(
                value=_multiply_add_rate(n_threads),
                kind="measured",
                source=f"{SOURCE}: float32 multiply-adds in registers, {n_threads} threads",
            )
        },
        l2_bytes=_reported(levels.get(2)),
        llc_bytes=_reported(max(levels.values(), default=None)),
        n_compute_units=Quantity(value=float(n_threads), kind="measured", source="threads used by the kernels"),
        launch_latency_s=Quantity(
            value=_region_latency(n_threads), kind="measured", source=f"{SOURCE}: an empty parallel region"
        ),
        sector_bytes=Quantity(value=64.0, kind="datasheet", source="cache line of x86-64 and most Arm cores"),
        efficiency=Efficiency(stream=full, gather=gather, compute=full),
        bandwidth_by_footprint=tuple(curve),
    )


FULL_SOURCE = "share of a measured ceiling that a compiled kernel reaches"
GATHER_SOURCE = "rows of 512 bytes picked by index: bound by the latency of a few misses in flight a core"


def _probe_sizes(largest: int, flush_bytes: int) -> list[int]:
    sizes = []
    size = SMALLEST_BYTES
    while size < largest:
        sizes.append(size)
        size *= 4
    return sorted({*sizes, flush_bytes, largest})


def _read_bandwidth(data: NDArray[np.float32], n_threads: int, seconds: float) -> float:
    sums = np.zeros(n_threads, np.float32)
    # A fast cache is read many times within one timing, or the launch would be what is timed.
    repeats = max(1, 32 * MIB // data.nbytes)

    def plain() -> None:
        for _ in range(repeats):
            cpu_probes.read_plain(data, n_threads, sums)

    def side_by_side(n_streams: int) -> Callable[[], None]:
        def read() -> None:
            for _ in range(repeats):
                cpu_probes.read_side_by_side(data, n_threads, n_streams, sums)

        return read

    ways = [plain, *(side_by_side(n_streams) for n_streams in STREAMS)]
    times = _interleaved(ways, seconds)
    return repeats * data.nbytes / min(median(samples) for samples in times)


def _multiply_add_rate(n_threads: int) -> float:
    rounds = 200_000
    start, sums = np.full(128, 0.5, np.float32), np.zeros(n_threads, np.float32)
    times = _interleaved([lambda: cpu_probes.multiply_add(n_threads, rounds, start, sums)], 0.3)
    return 2 * 128 * rounds * n_threads / median(times[0])


def _region_latency(n_threads: int) -> float:
    sums = np.zeros(n_threads, np.float32)
    return median(_interleaved([lambda: cpu_probes.empty_region(n_threads, sums)], 0.05)[0])


def _interleaved(ways: list[Callable[[], None]], seconds: float) -> list[list[float]]:
    """Times of each way, taken in turn until the time is up, five rounds at least."""
    for way in ways:
        way()
    times: list[list[float]] = [[] for _ in ways]
    began = perf_counter()
    while len(times[0]) < 5 or perf_counter() - began < seconds:
        for samples, way in zip(times, ways, strict=True):
            start = perf_counter()
            way()
            samples.append(perf_counter() - start)
    return times


def _reported(value: int | None) -> Quantity | None:
    if not value:
        return None
    note = "a virtual machine reports the host's cache, of which it may have a part only"
    return Quantity(value=float(value), kind="datasheet", source="reported by the kernel", note=note)


def _profile_name(name: str, n_threads: int) -> str:
    words = re.sub(r"\(r\)|\(tm\)|processor|cpu|@.*", " ", name.lower())
    slug = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    return f"{slug or 'cpu'}-{n_threads}t"


def _vendor(name: str) -> str:
    for vendor in ("Intel", "AMD", "Arm", "Apple", "Ampere"):
        if vendor.lower() in name.lower():
            return vendor
    return "unknown"
