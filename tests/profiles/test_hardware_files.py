"""The shipped GPUs against a table typed a second time: a slip in either shows."""

import re
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from sparq_profiles import HardwareProfile, load_hardware
from sparq_profiles.hardware import EfficiencyRange
from sparq_profiles.load import all_hardware, list_names
from sparq_profiles.quantity import Quantity

# name: GB/s, GB, dense bf16 TFLOP/s, dense fp8 TFLOP/s, L2 MiB, SMs or CUs, W
TABLE: dict[str, tuple[float, float, float, float | None, int, int, int]] = {
    "a10g-24gb": (600, 24, 70, None, 6, 80, 300),
    "l4-24gb": (300, 24, 121, 242, 48, 58, 72),
    "l40s-48gb": (864, 48, 362, 733, 96, 142, 350),
    "a100-sxm-40gb": (1555, 40, 312, None, 40, 108, 400),
    "a100-sxm-80gb": (2039, 80, 312, None, 40, 108, 400),
    "h100-sxm-80gb": (3350, 80, 989, 1979, 50, 132, 700),
    "h100-pcie-80gb": (2039, 80, 756, 1513, 50, 114, 350),
    "h200-sxm-141gb": (4800, 141, 989, 1979, 50, 132, 700),
    "b200-sxm-180gb": (7700, 180, 2250, 4500, 126, 148, 1000),
    "gb200-186gb": (8000, 186, 2500, 5000, 126, 148, 1200),
    "mi300x-192gb": (5300, 192, 1307, 2615, 32, 304, 750),
    "mi325x-256gb": (6000, 256, 1307, 2615, 32, 304, 1000),
    "rtx4090-24gb": (1008, 24, 165, 330, 72, 128, 450),
    "rtx5090-32gb": (1792, 32, 210, 419, 96, 170, 575),
}

# Dense bf16 FLOP that one SM or CU does in a cycle (fp32 accumulation): the vendors' architecture papers.
FLOP_PER_CYCLE = {
    "a10g-24gb": 512,
    "a100-sxm-40gb": 2048,
    "a100-sxm-80gb": 2048,
    "l4-24gb": 1024,
    "l40s-48gb": 1024,
    "rtx4090-24gb": 512,
    "rtx5090-32gb": 512,
    "h100-sxm-80gb": 4096,
    "h100-pcie-80gb": 4096,
    "h200-sxm-141gb": 4096,
    "b200-sxm-180gb": 8192,
    "gb200-186gb": 8192,
    "mi300x-192gb": 2048,
    "mi325x-256gb": 2048,
}

CONFLICTING = [
    ("a10g-24gb", "n_compute_units"),
    ("a10g-24gb", "power_limit_w"),
    ("l4-24gb", "n_compute_units"),
    ("l40s-48gb", "l2_bytes"),
    ("h100-pcie-80gb", "memory_bandwidth_bytes_per_s"),
    ("b200-sxm-180gb", "memory_bandwidth_bytes_per_s"),
    ("gb200-186gb", "l2_bytes"),
    ("gb200-186gb", "n_compute_units"),
    ("rtx5090-32gb", "bfloat16"),
    ("rtx5090-32gb", "float8"),
]

every_gpu = pytest.mark.parametrize("name", sorted(TABLE))


# The published CPU runs' machine, as far as it is known.
CPUS = ("epyc-9004-32t",)

# GB/s to all peers in one direction: half of what the vendors' tables print for both.
LINKS = {
    "a10g-24gb": 32,
    "l4-24gb": 32,
    "l40s-48gb": 32,
    "a100-sxm-40gb": 300,
    "a100-sxm-80gb": 300,
    "h100-sxm-80gb": 450,
    "h100-pcie-80gb": 64,
    "h200-sxm-141gb": 450,
    "b200-sxm-180gb": 900,
    "gb200-186gb": 900,
    "mi300x-192gb": 448,
    "mi325x-256gb": 448,
    "rtx4090-24gb": 32,
    "rtx5090-32gb": 64,
}
# Dollars for an hour of one GPU, where a dated public price was found.
PRICES = {
    "a100-sxm-40gb": 1.99,
    "a100-sxm-80gb": 2.79,
    "h100-sxm-80gb": 3.99,
    "h100-pcie-80gb": 2.89,
    "h200-sxm-141gb": 5.40,
    "b200-sxm-180gb": 6.69,
    "mi300x-192gb": 1.85,
    "mi325x-256gb": 1.95,
}


def test_exactly_these_ship() -> None:
    assert list_names("hardware") == sorted([*TABLE, *CPUS])


@every_gpu
def test_links_and_prices(name: str) -> None:
    profile = load_hardware(name)
    link, price = profile.link_bandwidth_bytes_per_s, profile.price_usd_per_h
    assert link is not None
    assert link.value == LINKS[name] * 1e9
    assert link.note is not None
    assert "one direction" in link.note
    assert (price.value if price else None) == PRICES.get(name)
    if price is not None:
        # A price without its day is no evidence.
        assert re.search(r"20\d\d-\d\d-\d\d", price.source)
        assert "https://" in price.source


def test_the_published_cpu() -> None:
    """Two published dense runs: 126,976 tokens of 524,288 bytes more take 0.4269 - 0.0540 s more."""
    profile = load_hardware("epyc-9004-32t")
    assert profile.kind == "cpu"
    assert profile.memory_bandwidth_bytes_per_s.value == pytest.approx(126_976 * 524_288 / 0.3729, rel=0.01)
    assert profile.memory_bandwidth_bytes_per_s.value < 12 * 8 * 4800e6
    assert profile.price_usd_per_h is profile.link_bandwidth_bytes_per_s is None
    assert all(len(item.source) >= 15 for _, item in _sourced(profile))


@every_gpu
def test_numbers(name: str) -> None:
    profile = load_hardware(name)
    gb_per_s, gb, bf16, fp8, l2_mib, units, watts = TABLE[name]
    assert profile.memory_bandwidth_bytes_per_s.value == pytest.approx(gb_per_s * 1e9)
    assert profile.memory_bytes.value == pytest.approx(gb * 1e9)
    peaks = {key: quantity.value / 1e12 for key, quantity in profile.peak_flop_per_s.items()}
    assert peaks["bfloat16"] == peaks["float16"] == pytest.approx(bf16)
    assert peaks.get("float8") == (None if fp8 is None else pytest.approx(fp8))
    assert profile.l2_bytes is not None
    assert profile.l2_bytes.value == l2_mib * 2**20
    assert profile.n_compute_units is not None
    assert profile.n_compute_units.value == units
    assert profile.power_limit_w is not None
    assert profile.power_limit_w.value == watts


@every_gpu
def test_peaks_are_dense(name: str) -> None:
    """A peak with 2:4 sparsity would need twice the clock that these parts run at."""
    profile = load_hardware(name)
    assert profile.n_compute_units is not None
    per_cycle = FLOP_PER_CYCLE[name] * profile.n_compute_units.value
    assert 1.4e9 < profile.peak_flop_per_s["bfloat16"].value / per_cycle < 2.6e9
    if "float8" in profile.peak_flop_per_s:
        ratio = profile.peak_flop_per_s["float8"].value / profile.peak_flop_per_s["bfloat16"].value
        assert ratio == pytest.approx(2, rel=0.02)


@every_gpu
def test_vector_peak_is_below_the_tensor_peak(name: str) -> None:
    peaks = load_hardware(name).peak_flop_per_s
    assert 1e13 < peaks["float32"].value < peaks["bfloat16"].value


@every_gpu
def test_identity(name: str) -> None:
    profile = load_hardware(name)
    assert profile.name == name
    assert profile.kind == "gpu"
    assert f"{TABLE[name][1]:g}GB" in profile.title
    assert profile.title.startswith(profile.vendor)
    assert profile.device_names
    amd = profile.vendor == "AMD"
    assert (profile.llc_bytes is not None) == amd
    assert profile.sector_bytes.value == (64 if amd else 32)
    assert profile.launch_latency_s.kind == "assumed"
    assert 1e-6 <= profile.launch_latency_s.value <= 1e-5


def test_infinity_cache() -> None:
    for name in ("mi300x-192gb", "mi325x-256gb"):
        llc = load_hardware(name).llc_bytes
        assert llc is not None
        assert llc.value == 268_435_456


@pytest.mark.parametrize(
    ("device_name", "profile"),
    [
        ("NVIDIA A10G", "a10g-24gb"),
        ("NVIDIA L4", "l4-24gb"),
        ("NVIDIA L40S", "l40s-48gb"),
        ("NVIDIA A100-SXM4-40GB", "a100-sxm-40gb"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm-80gb"),
        ("NVIDIA H100 PCIe", "h100-pcie-80gb"),
        ("NVIDIA H200", "h200-sxm-141gb"),
        ("NVIDIA B200", "b200-sxm-180gb"),
        ("NVIDIA GB200", "gb200-186gb"),
        ("AMD Instinct MI300X", "mi300x-192gb"),
        ("AMD Instinct MI325X", "mi325x-256gb"),
        ("NVIDIA GeForce RTX 4090", "rtx4090-24gb"),
        ("NVIDIA GeForce RTX 5090", "rtx5090-32gb"),
    ],
)
def test_a_driver_name_belongs_to_one_profile(device_name: str, profile: str) -> None:
    assert [h.name for h in all_hardware() if device_name in h.device_names] == [profile]


@every_gpu
def test_every_number_has_a_source(name: str) -> None:
    profile = load_hardware(name)
    sourced = list(_sourced(profile))
    # Eight to ten numbers of the machine, three or four peaks, three efficiencies.
    optional = (profile.llc_bytes, profile.price_usd_per_h)
    assert len(sourced) == 8 + sum(item is not None for item in optional) + len(profile.peak_flop_per_s) + 3
    for path, item in sourced:
        assert len(item.source) >= 15, path
        if item.kind == "datasheet":
            assert profile.vendor in item.source or "https://" in item.source, path
    assert "https://" in profile.memory_bandwidth_bytes_per_s.source


@every_gpu
def test_efficiencies_are_ordered_by_difficulty(name: str) -> None:
    """Reading in order is never harder than gathering rows, and no range claims the whole datasheet."""
    efficiency = load_hardware(name).efficiency
    assert efficiency.stream.upper < 1
    assert efficiency.gather.lower < efficiency.stream.lower
    assert efficiency.gather.expected < efficiency.stream.expected
    assert efficiency.gather.upper <= efficiency.stream.upper


@pytest.mark.parametrize(("name", "field"), CONFLICTING)
def test_conflicting_sources_are_told(name: str, field: str) -> None:
    profile = load_hardware(name)
    quantity = profile.peak_flop_per_s.get(field) or getattr(profile, field)  # type: ignore[call-overload]
    assert "sources conflict: " in quantity.note


def _sourced(item: object, path: str = "") -> Iterator[tuple[str, Quantity | EfficiencyRange]]:
    if isinstance(item, Quantity | EfficiencyRange):
        yield path, item
    elif isinstance(item, BaseModel):
        for field in type(item).model_fields:
            yield from _sourced(getattr(item, field), f"{path}.{field}")
    elif isinstance(item, dict):
        for key, value in item.items():
            yield from _sourced(value, f"{path}.{key}")


def test_the_walk_finds_nested_quantities() -> None:
    profile: HardwareProfile = load_hardware("mi300x-192gb")
    found = {path for path, _ in _sourced(profile)}
    assert {".memory_bytes", ".llc_bytes", ".peak_flop_per_s.float8", ".efficiency.gather"} <= found
