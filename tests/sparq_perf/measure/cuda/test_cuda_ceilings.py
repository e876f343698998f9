"""Ceilings from a simulated GPU whose bandwidths are known."""

from dataclasses import replace
from typing import Any

import pytest

from sparq_perf.measure import cuda_ceilings, cuda_flush, cuda_probes
from sparq_perf.measure.cuda_ceilings import _profile_name, _whole_rows, find_ceilings
from sparq_perf.measure.cuda_flush import CudaFlush
from sparq_roofline.calibration import bandwidth_at

KIB, MIB = 2**10, 2**20


def test_ceilings(gpu: Any) -> None:
    told: list[str] = []
    flush = CudaFlush(gpu)
    hardware = find_ceilings(gpu, flush, told.append)
    curve = {p.footprint_bytes // KIB: p.read_bandwidth_bytes_per_s for p in hardware.bandwidth_by_footprint}
    # The best way counts; at the flush's size what a flush sees.
    assert curve == pytest.approx({64: 6e12, 256: 6e12, 1024: 0.95 * 3e12, 4096: 3e12})
    assert bandwidth_at(hardware, flush.flush_bytes) == pytest.approx(flush())
    bandwidth, copied = hardware.memory_bandwidth_bytes_per_s, hardware.copy_bandwidth_bytes_per_s
    assert (bandwidth.value, bandwidth.kind) == (pytest.approx(3e12), "measured")
    assert "reads of 4 MiB" in bandwidth.source
    assert copied is not None
    assert (copied.value, copied.kind) == (pytest.approx(2.8e12), "measured")
    assert "copies of 2 MiB" in copied.source
    rates = {name: rate.value for name, rate in hardware.peak_flop_per_s.items()}
    assert rates == pytest.approx({"float16": 800e12, "bfloat16": 800e12, "float32": 50e12})
    # The slope, without what a launch of the whole graph costs.
    assert hardware.launch_latency_s.value == pytest.approx(1.25e-6)
    assert (hardware.kind, hardware.name) == ("gpu", "nvidia-h100-80gb-hbm3-simulated")
    assert hardware.architecture == "sm_90"
    assert hardware.device_names == ("NVIDIA H100 80GB HBM3 (simulated)",)
    for quantity, value in (
        (hardware.l2_bytes, 256 * KIB),
        (hardware.memory_bytes, 80e9),
        (hardware.n_compute_units, 132),
    ):
        assert quantity is not None
        assert (quantity.value, quantity.kind, quantity.source) == (value, "datasheet", "reported by the driver")
    reads = [f"read bandwidth, {size} MiB" for size in ("0.0625", "0.25", "1", "4")]
    assert told == [*reads, "copy bandwidth", "matrix products and launches"]
    assert flush.seen[:-1] == []  # but for the one above


def test_a_small_device_is_probed_within_an_eighth_of_its_free_memory(gpu: Any) -> None:
    gpu.free = 16 * MIB
    gpu.described = replace(gpu.described, compute_capability=(7, 5), l2_bytes=None)
    hardware = find_ceilings(gpu, CudaFlush(gpu))
    assert max(p.footprint_bytes for p in hardware.bandwidth_by_footprint) == 2 * MIB
    assert set(hardware.peak_flop_per_s) == {"float16", "float32"}
    assert hardware.l2_bytes is None


def test_launches_that_cannot_be_captured_are_still_timed(gpu: Any) -> None:
    gpu.refusal = "no graphs here"
    assert find_ceilings(gpu, CudaFlush(gpu)).launch_latency_s.value == pytest.approx(1.25e-6, rel=0.05)


@pytest.mark.parametrize(("l2_bytes", "expected"), [(None, 1), (100 * KIB, 1), (50 * MIB, 100)])
def test_a_flush_reads_twice_the_l2(gpu: Any, l2_bytes: int | None, expected: int) -> None:
    gpu.described = replace(gpu.described, l2_bytes=l2_bytes)
    assert CudaFlush(gpu).flush_bytes == expected * MIB


def test_a_flush_tells_its_bandwidth_and_is_not_starved(gpu: Any) -> None:
    flush = CudaFlush(gpu)
    assert [flush() for _ in range(3)] == pytest.approx([0.95 * 3e12] * 3)
    assert len(flush.seen) == 3


def test_the_real_buffers_are_large_enough() -> None:
    assert cuda_flush.SMALLEST_BYTES >= 256 * MIB
    assert cuda_ceilings.LARGEST_BYTES >= 4 * 2**30
    assert cuda_ceilings.SMALLEST_BYTES <= 8 * MIB  # well within the L2 of every GPU since 2018 but the smallest


@pytest.mark.parametrize("n_bytes", [1, 65_536, 100_000, 4 * 2**20])
def test_every_probe_can_read_the_buffer(n_bytes: int) -> None:
    n = _whole_rows(n_bytes)
    assert n >= 4 * cuda_probes.ROW
    assert n % (4 * cuda_probes.ROW) == 0
    assert n * 4 <= max(n_bytes, 65_536)


def test_the_probes_read_everything() -> None:
    import torch

    data = torch.ones(4 * cuda_probes.ROW * 3)
    for read in cuda_probes.READS:
        read(data, 2)
    rows, sums = data.view(-1, cuda_probes.ROW), torch.empty(12)
    cuda_probes.read_flush(rows, sums)
    assert sums.tolist() == [cuda_probes.ROW] * 12
    source, target, cell = torch.arange(8.0), torch.zeros(8), torch.zeros(1)
    cuda_probes.copy_plainly(target, source)
    assert torch.equal(target, source)
    cuda_probes.copy_by_kernel(target, source)
    assert torch.equal(target, -source)
    cuda_probes.touch(cell, 5)
    assert cell.item() == 5
    out = torch.empty(2, 2)
    cuda_probes.multiply(torch.eye(2), torch.ones(2, 2), out)
    assert torch.equal(out, torch.ones(2, 2))


@pytest.mark.parametrize(("name", "slug"), [("NVIDIA A10G", "nvidia-a10g"), ("™", "gpu"), ("GB200.", "gb200")])
def test_profile_names(name: str, slug: str) -> None:
    assert _profile_name(name) == slug
