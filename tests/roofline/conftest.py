from collections.abc import Callable, Sequence
from typing import Any

import pytest

from sparq_profiles import HardwareProfile


@pytest.fixture(scope="session")
def device() -> Callable[..., HardwareProfile]:
    """Makes a device of round numbers: 1 MB/s, 10 MFLOP/s, 1 ms a launch, unless told otherwise.

    Efficiencies as (lower, expected): stream 0.5, 0.8; gather 0.25, 0.5; compute 0.4, 0.5.
    """

    def _quantity(value: float, kind: str = "assumed") -> dict[str, Any]:
        return {"value": value, "kind": kind, "source": "a test"}

    def _efficiency(lower: float, expected: float) -> dict[str, Any]:
        return {"lower": lower, "expected": expected, "upper": 1.0, "kind": "assumed", "source": "a test"}

    def _device(
        *,
        bandwidth: float = 1e6,
        peak: float = 1e7,
        launch: float = 1e-3,
        kind: str = "datasheet",
        curve: Sequence[tuple[int, float]] = (),
    ) -> HardwareProfile:
        return HardwareProfile.model_validate(
            {
                "name": "round-numbers",
                "title": "A device of round numbers",
                "kind": "gpu",
                "vendor": "nobody",
                "memory_bandwidth_bytes_per_s": _quantity(bandwidth, kind),
                "memory_bytes": _quantity(1e9),
                "peak_flop_per_s": {"float32": _quantity(peak), "float16": _quantity(peak)},
                "launch_latency_s": _quantity(launch),
                "sector_bytes": _quantity(32.0),
                "efficiency": {
                    "stream": _efficiency(0.5, 0.8),
                    "gather": _efficiency(0.25, 0.5),
                    "compute": _efficiency(0.4, 0.5),
                },
                "bandwidth_by_footprint": [
                    {"footprint_bytes": size, "read_bandwidth_bytes_per_s": read} for size, read in curve
                ],
            }
        )

    return _device
