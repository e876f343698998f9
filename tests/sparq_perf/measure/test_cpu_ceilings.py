"""Ceilings with probes that only move a fake clock, and one real, small read."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sparq_perf.measure import cpu_ceilings as ceilings
from sparq_perf.measure.cpu_ceilings import (
    MIB,
    CpuFlush,
    _probe_sizes,
    _profile_name,
    _vendor,
    dram_buffer_bytes,
    find_ceilings,
)

GIB = 2**30


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the caches and free memory that the ceilings see."""

    def _machine(caches: dict[int, int], available: int = 64 * GIB) -> None:
        monkeypatch.setattr(ceilings, "cache_sizes", lambda: caches)
        monkeypatch.setattr(ceilings, "memory_available_bytes", lambda: available)
        monkeypatch.setattr(ceilings, "memory_limit_bytes", lambda: 16 * GIB)
        monkeypatch.setattr(ceilings, "cpu_name", lambda: "Intel(R) Xeon(R) CPU @ 2.60GHz")

    return _machine


class Clock:
    """A clock that the fake probes move: DRAM at 10 GB/s, caches at 40, one way slower than the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache_bytes: int) -> None:
        self.now, self.cache_bytes, self.reads = 0.0, cache_bytes, []
        monkeypatch.setattr(ceilings, "perf_counter", lambda: self.now)
        probes = ceilings.cpu_probes
        monkeypatch.setattr(probes, "read_plain", lambda data, threads, sums: self.read(data, 0.5))
        monkeypatch.setattr(probes, "read_side_by_side", lambda data, threads, n, sums: self.read(data, n / 4))
        monkeypatch.setattr(probes, "multiply_add", lambda threads, rounds, start, sums: self.pass_time(0.1))
        monkeypatch.setattr(probes, "empty_region", lambda threads, sums: self.pass_time(7e-6))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    def read(self, data: Any, share: float) -> None:
        self.reads.append(data.nbytes)
        self.now += data.nbytes / ((40e9 if data.nbytes <= self.cache_bytes else 10e9) * share)


def test_probe_sizes_ascend_from_the_smallest_to_the_largest() -> None:
    assert [size // MIB for size in _probe_sizes(256 * MIB, 256 * MIB)] == [2, 8, 32, 128, 256]
    assert [size // MIB for size in _probe_sizes(512 * MIB, 300 * MIB)] == [2, 8, 32, 128, 300, 512]
    assert _probe_sizes(MIB, MIB) == [MIB]
    assert _probe_sizes(2 * MIB, 2 * MIB) == [2 * MIB]


@pytest.mark.parametrize(
    ("llc", "available", "expected"),
    [
        (16 * MIB, 64 * GIB, 256 * MIB),  # never less than what is surely DRAM
        (300 * MIB, 64 * GIB, 2400 * MIB),
        (1536 * MIB, 64 * GIB, 4096 * MIB),  # never more than what is quick to read
        (300 * MIB, 1 * GIB, 256 * MIB),  # a quarter of the free memory at most
        (None, 64 * GIB, 512 * MIB),
    ],
)
def test_dram_buffer(machine: Callable[..., None], llc: int | None, available: int, expected: int) -> None:
    machine({} if llc is None else {1: 32 * 2**10, 2: MIB, 3: llc}, available)
    assert dram_buffer_bytes() == expected


@pytest.mark.parametrize("llc", [8 * MIB, 33 * MIB, 200 * MIB])
def test_a_flush_is_twice_the_last_level_cache(machine: Callable[..., None], llc: int) -> None:
    machine({2: MIB, 3: llc})
    flush = CpuFlush(1)
    assert flush.flush_bytes >= 2 * llc
    assert flush._data.nbytes == flush.flush_bytes  # what is not read yet takes no memory and no time
    assert flush.data.nbytes == dram_buffer_bytes() >= flush.flush_bytes
    assert flush.data is flush.data


def test_a_flush_reports_the_bandwidth_it_saw(machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    machine({3: 8 * MIB}, available=64 * MIB)
    clock = Clock(monkeypatch, cache_bytes=MIB)
    flush = CpuFlush(2)
    assert (clock.reads, flush.seen) == ([2 * MIB], [])  # compiled before anything is timed
    assert flush() == pytest.approx(10e9)
    assert clock.reads == [2 * MIB, 16 * MIB]


def test_ceilings_from_a_fake_clock(machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    machine({1: 32 * 2**10, 2: 2 * MIB, 3: 8 * MIB}, available=256 * MIB)
    Clock(monkeypatch, cache_bytes=8 * MIB)
    told: list[str] = []
    hardware = find_ceilings(2, CpuFlush(2), seconds=0.01, progress=told.append)
    curve = [(p.footprint_bytes // MIB, p.read_bandwidth_bytes_per_s) for p in hardware.bandwidth_by_footprint]
    # The best way (four streams) counts, not the mean or the plain loop.
    assert curve == [
        (2, pytest.approx(40e9)),
        (8, pytest.approx(40e9)),
        (32, pytest.approx(10e9)),
        (64, pytest.approx(10e9)),
    ]
    bandwidth = hardware.memory_bandwidth_bytes_per_s
    assert bandwidth.value == pytest.approx(10e9)
    assert bandwidth.kind == "measured"
    assert "64 MiB by 2 threads" in bandwidth.source
    assert hardware.peak_for("float32").value == pytest.approx(2 * 128 * 200_000 * 2 / 0.1)
    assert hardware.launch_latency_s.value == pytest.approx(7e-6)
    assert hardware.llc_bytes is not None
    assert hardware.llc_bytes.value == 8 * MIB
    assert hardware.l2_bytes is not None
    assert hardware.l2_bytes.value == 2 * MIB
    assert (hardware.name, hardware.vendor) == ("intel-xeon-2t", "Intel")
    assert hardware.memory_bytes.value == 16 * GIB
    assert told == [f"read bandwidth, {mib} MiB" for mib in (2, 8, 32, 64)] + ["multiply-adds and launches"]


def test_unknown_caches_are_not_stated(machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    machine({}, available=32 * MIB)
    Clock(monkeypatch, cache_bytes=MIB)
    hardware = find_ceilings(1, CpuFlush(1), seconds=0.0)
    assert hardware.l2_bytes is None
    assert hardware.llc_bytes is None


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("AMD EPYC 7763 64-Core Processor", "amd-epyc-7763-64-core-4t"),
        ("Intel(R) Core(TM) i7 CPU @ 3.2GHz", "intel-core-i7-4t"),
        ("™", "cpu-4t"),
    ],
)
def test_profile_names(name: str, slug: str) -> None:
    assert _profile_name(name, 4) == slug


def test_vendors() -> None:
    assert [_vendor(name) for name in ("AMD EPYC", "ARM Neoverse", "something")] == ["AMD", "Arm", "unknown"]


@pytest.mark.parametrize("n_streams", [1, 2, 4])
def test_the_compiled_reads_read_everything(n_streams: int) -> None:
    data = np.ones(2 * 4 * 8 * 128 * 3, np.float32)
    sums = np.zeros(2, np.float32)
    ceilings.cpu_probes.read_side_by_side(data, 2, n_streams, sums)
    assert sums.sum() == data.size
    sums[:] = 0
    ceilings.cpu_probes.read_plain(data, 2, sums)
    assert sums.sum() == data.size
