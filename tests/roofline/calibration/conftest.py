from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from sparq_profiles import AttentionShape, HardwareProfile, SparqConfig
from sparq_profiles.shape import KLayout
from sparq_roofline.calibration import MeasuredPoint, TimeModel, algorithm_traffic, predict_calibrated

BANDWIDTH, PEAK = 1e12, 1e14
TRUTH = TimeModel(
    host_s=2e-4,
    overlap=4.0,
    launch_s=5e-6,
    stream_slowdown=1.3,
    gather_slowdown=2.2,
    element_s=6e-12,
    compute_share=5.0,
    piece_s=2e-8,
    position_s=4e-9,
    left_out_error=0.0,
    n_points=0,
)


def truth_of(layout: KLayout | None) -> TimeModel:
    """K by rows streams slower and waits longer; the rest is the same."""
    if layout != "row_major":
        return TRUTH
    return replace(TRUTH, stream_slowdown=1.1, compute_share=12.0, position_s=1e-8)


@pytest.fixture(scope="session")
def gpu(device: Callable[..., HardwareProfile]) -> HardwareProfile:
    """1 TB/s, 100 TFLOP/s."""
    return device(bandwidth=BANDWIDTH, peak=PEAK)


Points = Callable[..., list[MeasuredPoint]]


@pytest.fixture(scope="session")
def points(gpu: HardwareProfile) -> Points:
    """Times of made-up implementations, exactly as the costs of `TRUTH` make them, unless a ``factor`` disturbs them.

    128 configurations of each layout: batches 1 to 64, 1,024 to 65,536 tokens, four ranks, numbers of keys from 32.
    """

    def _points(
        layouts: Sequence[KLayout | None] = ("two_copies",),
        factor: Callable[[AttentionShape, SparqConfig | None], float] = lambda *_: 1.0,
        implementation: str = "sparq-made-up",
    ) -> list[MeasuredPoint]:
        found = []
        for layout in layouts:
            for index, (batch, seq_len) in enumerate(
                (b, s) for b in (1, 4, 16, 64) for s in (1024, 4096, 16384, 65536)
            ):
                for rank, top_k in ((8, 32), (16, 256), (32, 64), (64, 128), (8, 256), (16, 64), (32, 32), (64, 512)):
                    config = None if layout is None else SparqConfig(rank, top_k, k_layout=layout)
                    shape = AttentionShape(batch, seq_len + 8 * index, 16, 16, 128)
                    if layout is None and (rank, top_k) != (8, 32):
                        continue
                    traffic = algorithm_traffic(shape, config)
                    exact = predict_calibrated(traffic, shape, config, gpu, truth_of(layout)).time_s.expected
                    found.append(MeasuredPoint(implementation, shape, config, exact * factor(shape, config)))
        return found

    return _points


@pytest.fixture
def noise() -> Callable[..., Callable[[AttentionShape, SparqConfig | None], float]]:
    """Makes factors with some log-normal noise, the same for the same seed."""

    def _noise(sigma: float, seed: int = 0) -> Callable[[AttentionShape, SparqConfig | None], float]:
        generator = np.random.default_rng(seed)
        return lambda *_: float(np.exp(generator.normal(0.0, sigma)))

    return _noise
