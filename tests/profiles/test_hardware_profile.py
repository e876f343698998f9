from typing import Any

import pytest
from pydantic import ValidationError

from sparq_profiles import HardwareProfile, load_hardware
from sparq_profiles.hardware import EfficiencyRange, PeakName


def profile_with(**changes: Any) -> HardwareProfile:
    return HardwareProfile.model_validate({**load_hardware("a100-sxm-40gb").model_dump(), **changes})


def peaks(**tflops: float) -> dict[str, Any]:
    return {name: {"value": v * 1e12, "kind": "assumed", "source": "a test"} for name, v in tflops.items()}


@pytest.mark.parametrize(
    ("dtype", "given", "expected"),
    [
        ("float16", ["float16", "bfloat16", "float32"], "float16"),
        ("float16", ["bfloat16", "float32"], "bfloat16"),
        ("bfloat16", ["float16", "float32"], "float16"),
        ("bfloat16", ["float32", "float8"], "float32"),
        ("float32", ["float32", "float16"], "float32"),
        ("float64", ["float32", "float64"], "float64"),
        ("float64", ["float32", "float16"], "float32"),
        ("float16", ["float8"], "float8"),
    ],
)
def test_peak_falls_back_to_the_nearest_type(dtype: Any, given: list[PeakName], expected: PeakName) -> None:
    profile = profile_with(peak_flop_per_s=peaks(**{name: i + 1 for i, name in enumerate(given)}))
    assert profile.peak_for(dtype) == profile.peak_flop_per_s[expected]


def test_a_profile_needs_a_peak() -> None:
    with pytest.raises(ValidationError, match="at least one element type"):
        profile_with(peak_flop_per_s={})


@pytest.mark.parametrize("sizes", [[2, 1], [1, 1]])
def test_footprints_ascend_without_repeats(sizes: list[int]) -> None:
    points = [{"footprint_bytes": size, "read_bandwidth_bytes_per_s": 1e9} for size in sizes]
    with pytest.raises(ValidationError, match="ascend"):
        profile_with(bandwidth_by_footprint=points)
    assert profile_with(bandwidth_by_footprint=points[:1]).bandwidth_by_footprint[0].footprint_bytes == sizes[0]


@pytest.mark.parametrize("values", [(0.9, 0.8, 0.95), (0.7, 0.9, 0.8), (0.0, 0.5, 0.6), (0.5, 0.6, 1.1)])
def test_efficiency_is_an_ordered_fraction(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValidationError):
        EfficiencyRange.model_validate(
            {
                **dict(zip(("lower", "expected", "upper"), values, strict=True)),
                "kind": "assumed",
                "source": "a test",
            }
        )


def test_survives_json() -> None:
    profile = load_hardware("mi300x-192gb")
    assert HardwareProfile.model_validate_json(profile.model_dump_json()) == profile


def test_is_frozen() -> None:
    with pytest.raises(ValidationError):
        load_hardware("l4-24gb").name = "other"  # type: ignore[misc]
