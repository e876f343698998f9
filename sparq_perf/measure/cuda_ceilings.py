"""The ceilings of this GPU: read bandwidth by buffer size, copy bandwidth, matrix rates, cost of one more kernel.

Reads and copies are the best of several torch operations, each a median, so that they are ceilings for every kernel and
not the speed of one. Sizes go from well within the L2 to gigabytes; the bandwidth called DRAM's is the largest's. The
point at the flush's own size is what a flush sees, in its way: later flushes are held against it.
"""

import re
from collections.abc import Callable
from statistics import median

import torch

from sparq_perf.measure import cuda_probes
from sparq_perf.measure.cuda_driver import CaptureError, CudaDriver, DeviceFacts
from sparq_perf.measure.cuda_flush import CudaFlush
from sparq_perf.measure.cuda_lane import Lane
from sparq_perf.measure.progress import Tell
from sparq_profiles.hardware import Efficiency, EfficiencyRange, FootprintBandwidth, HardwareProfile, PeakName
from sparq_profiles.quantity import Quantity

MIB = 2**20
SMALLEST_BYTES = 4 * MIB
LARGEST_BYTES = 4096 * MIB
SHARE_OF_FREE_MEMORY = 8
# Small buffers are read many times within one timing, or the launch would be what is timed.
LEAST_READ_BYTES = 256 * MIB
SAMPLES = 7
# Side of the square matrices: large enough for every multiprocessor, small enough to be done in tens of milliseconds.
MATRIX_SIDES: dict[PeakName, int] = {"float16": 8192, "bfloat16": 8192, "float32": 4096}
FIRST_WITH_BFLOAT16 = (8, 0)
FEW_KERNELS, MANY_KERNELS = 20, 220
SOURCE = "measured on this machine by sparq-perf run"
REPORTED = "reported by the driver"
STREAM_SOURCE = "dense decode kernels reach 87 % of an H100's datasheet bandwidth, most of what a plain read does"
GATHER_SOURCE = "rows of 256 bytes picked by index reach about 83 % of peak on an H100, half on older kernels"
COMPUTE_SOURCE = "share of a large matrix product's rate that attention kernels reach"


def find_ceilings(driver: CudaDriver, flush: CudaFlush, progress: Tell = lambda _: None) -> HardwareProfile:
    """Probe this GPU into a hardware profile whose ceilings are measured."""
    facts = driver.facts()
    largest = min(LARGEST_BYTES, driver.free_bytes() // SHARE_OF_FREE_MEMORY)
    data = torch.rand(_whole_rows(largest), device=driver.device)
    curve = _read_curve(driver, flush, data, progress)
    progress("copy bandwidth")
    copied = _copy_bandwidth(driver, data)
    del data
    progress("matrix products and launches")
    dram = curve[-1]
    stream = EfficiencyRange(lower=0.6, expected=0.9, upper=1.0, kind="assumed", source=STREAM_SOURCE)
    gather = EfficiencyRange(lower=0.4, expected=0.75, upper=1.0, kind="assumed", source=GATHER_SOURCE)
    compute = EfficiencyRange(lower=0.3, expected=0.7, upper=1.0, kind="assumed", source=COMPUTE_SOURCE)
    return HardwareProfile(
        name=_profile_name(facts.name),
        title=facts.name,
        kind="gpu",
        vendor="NVIDIA",
        architecture="sm_{}{}".format(*facts.compute_capability),
        device_names=(facts.name,),
        memory_bandwidth_bytes_per_s=Quantity(
            value=dram.read_bandwidth_bytes_per_s,
            kind="measured",
            source=f"{SOURCE}: reads of {dram.footprint_bytes / MIB:.0f} MiB",
        ),
        copy_bandwidth_bytes_per_s=Quantity(
            value=copied,
            kind="measured",
            source=f"{SOURCE}: copies of {largest / 2 / MIB:.0f} MiB, bytes read and written",
        ),
        memory_bytes=Quantity(value=float(facts.memory_bytes), kind="datasheet", source=REPORTED),
        peak_flop_per_s=_matrix_rates(driver, facts),
        l2_bytes=Quantity(value=float(facts.l2_bytes), kind="datasheet", source=REPORTED) if facts.l2_bytes else None,
        n_compute_units=Quantity(value=float(facts.n_multiprocessors), kind="datasheet", source=REPORTED),
        launch_latency_s=Quantity(
            value=_launch_latency(driver),
            kind="measured",
            source=f"{SOURCE}: one more of {MANY_KERNELS} kernels that do next to nothing, in a CUDA graph",
        ),
        sector_bytes=Quantity(value=32.0, kind="datasheet", source="L2 sector of NVIDIA GPUs since Volta"),
        efficiency=Efficiency(stream=stream, gather=gather, compute=compute),
        bandwidth_by_footprint=curve,
    )


def _read_curve(
    driver: CudaDriver, flush: CudaFlush, data: torch.Tensor, progress: Tell
) -> tuple[FootprintBandwidth, ...]:
    largest = data.numel() * 4
    sizes, size = {largest}, SMALLEST_BYTES
    while size < largest:
        sizes.add(size)
        size *= 4
    bandwidths: dict[int, float] = {}
    for size in sorted(sizes):
        progress(f"read bandwidth, {size / MIB:g} MiB")
        times = max(1, LEAST_READ_BYTES // size)
        part = data[: size // 4]
        ways = [_reading(read, part, times) for read in cuda_probes.READS]
        bandwidths[size] = size * times / _fastest(driver, ways)
    bandwidths[flush.flush_bytes] = flush.usual_bandwidth(2 * SAMPLES)
    return tuple(
        FootprintBandwidth(footprint_bytes=size, read_bandwidth_bytes_per_s=bandwidths[size])
        for size in sorted(bandwidths)
    )


def _reading(read: Callable[[torch.Tensor, int], None], data: torch.Tensor, times: int) -> Callable[[], None]:
    return lambda: read(data, times)


def _copy_bandwidth(driver: CudaDriver, data: torch.Tensor) -> float:
    half = data.numel() // 2
    source, target = data[:half], data[half : 2 * half]

    def copying(copy: Callable[[torch.Tensor, torch.Tensor], None]) -> Callable[[], None]:
        return lambda: copy(target, source)

    return 2 * 4 * half / _fastest(driver, [copying(copy) for copy in cuda_probes.COPIES])


def _matrix_rates(driver: CudaDriver, facts: DeviceFacts) -> dict[PeakName, Quantity]:
    rates: dict[PeakName, Quantity] = {}
    for name, side in MATRIX_SIDES.items():
        if name == "bfloat16" and facts.compute_capability < FIRST_WITH_BFLOAT16:
            continue
        # Not zeros: a product of zeros toggles few wires and runs an eighth faster than any that is of use.
        a, b = (torch.randn(side, side, device=driver.device).to(getattr(torch, name)) for _ in range(2))
        out = torch.empty_like(a)
        seconds = _fastest(driver, [_multiplying(a, b, out)])
        rates[name] = Quantity(
            value=2 * side**3 / seconds, kind="measured", source=f"{SOURCE}: torch.mm of {side} × {side} matrices"
        )
    return rates


def _multiplying(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> Callable[[], None]:
    return lambda: cuda_probes.multiply(a, b, out)


def _launch_latency(driver: CudaDriver) -> float:
    cell = torch.zeros(1, device=driver.device)

    def chain(n: int) -> Callable[[], object]:
        def launch() -> None:
            cuda_probes.touch(cell, n)

        try:
            return driver.capture(launch)
        except CaptureError:
            return launch

    few, many = (_fastest(driver, [chain(n)]) for n in (FEW_KERNELS, MANY_KERNELS))
    return max(many - few, 1e-9) / (MANY_KERNELS - FEW_KERNELS)


def _fastest(driver: CudaDriver, ways: list[Callable[[], object]] | list[Callable[[], None]]) -> float:
    """Median time of the fastest of several ways, seconds."""
    medians = []
    for way in ways:
        lane = Lane(driver, way)
        medians.append(median(lane.time().time_s for _ in range(SAMPLES)))
    return min(medians)


def _whole_rows(n_bytes: int) -> int:
    """Elements of the largest float32 buffer within so many bytes that every probe can read."""
    longest_row = 4 * cuda_probes.ROW
    return max(n_bytes // 4 // longest_row, 1) * longest_row


def _profile_name(name: str) -> str:
    slug = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")
    return slug or "gpu"
