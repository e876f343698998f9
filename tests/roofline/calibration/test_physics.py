"""What must hold of every calibrated prediction: more work takes no less time, and nothing beats the roofline."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparq_profiles import AttentionShape, HardwareProfile, SparqConfig
from sparq_profiles.shape import K_LAYOUTS, KLayout
from sparq_roofline.calibration import TimeModel, algorithm_traffic, fit, predict_calibrated
from sparq_roofline.calibration.factors import Factors

from .conftest import BANDWIDTH, PEAK, Points

Sizes = dict[str, int]
ModelOf = Callable[[KLayout | None], TimeModel]
SIZES = ("batch", "seq_len", "rank", "top_k")


@pytest.fixture(scope="module")
def model_of(points: Points) -> ModelOf:
    """Models fitted to times that break the rule: noise of 15 %, and waves over every size."""
    generator = np.random.default_rng(5)

    def wild(shape: AttentionShape, config: SparqConfig | None) -> float:
        wave = 0.3 * np.sin(2 * np.log2(shape.seq_len)) + 0.2 * np.cos(3 * np.log2(shape.batch))
        wave -= 0.2 * np.log2(config.rank / 16) if config else 0.0
        return float(np.exp(wave + generator.normal(0, 0.15)))

    sparq = points(K_LAYOUTS, factor=wild)
    dense = points((None,), factor=wild)
    chosen = generator.choice(len(sparq), 72, replace=False)
    found = fit([sparq[i] for i in chosen], algorithm_traffic, BANDWIDTH, PEAK).models
    models = {**found, **fit(dense, algorithm_traffic, BANDWIDTH, PEAK).models}
    return lambda layout: models[layout]  # hypothesis would print the tables


def predicted(model: TimeModel, sizes: Sizes, layout: KLayout | None, gpu: HardwareProfile) -> Any:
    shape = AttentionShape(sizes["batch"], sizes["seq_len"], 16, 16, 128)
    config = None if layout is None else SparqConfig(sizes["rank"], sizes["top_k"], k_layout=layout)
    traffic = algorithm_traffic(shape, config)
    roofline_s = max((traffic.read_bytes + traffic.write_bytes) / BANDWIDTH, traffic.flops / PEAK)
    return predict_calibrated(traffic, shape, config, gpu, model).time_s, roofline_s


# Inside what was seen, at its edges and far outside.
ANY_SIZES = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 300),
        "seq_len": st.integers(512, 300_000),
        "rank": st.integers(1, 127),
        "top_k": st.integers(1, 4000),
    }
)


@pytest.mark.parametrize("bare", [False, True], ids=["with factors", "costs alone"])
@pytest.mark.parametrize("layout", [*K_LAYOUTS, None])
@settings(max_examples=120, deadline=None)
@given(sizes=ANY_SIZES, grown=st.sampled_from(SIZES), by=st.floats(1.0, 4.0))
def test_more_work_takes_no_less_time(
    model_of: ModelOf, gpu: HardwareProfile, layout: KLayout | None, bare: bool, sizes: Sizes,
    grown: str, by: float,
) -> None:  # fmt: skip
    model = replace(model_of(layout), factors=Factors.none()) if bare else model_of(layout)
    larger = {**sizes, grown: int(np.ceil(sizes[grown] * by))}
    larger["rank"] = min(larger["rank"], 128)
    before, _ = predicted(model, sizes, layout, gpu)
    after, _ = predicted(model, larger, layout, gpu)
    assert after.expected >= before.expected * (1 - 1e-9)


@pytest.mark.parametrize("layout", [*K_LAYOUTS, None])
@settings(max_examples=120, deadline=None)
@given(sizes=ANY_SIZES)
def test_nothing_beats_the_roofline(
    model_of: ModelOf, gpu: HardwareProfile, layout: KLayout | None, sizes: Sizes
) -> None:
    time, roofline_s = predicted(model_of(layout), sizes, layout, gpu)
    assert roofline_s * (1 - 1e-12) <= time.lower <= time.expected <= time.upper


def test_without_the_rule_times_would_fall(
    points: Points, gpu: HardwareProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sparq_roofline.calibration import tabulating

    monkeypatch.setattr(tabulating, "most_probable", lambda mean, *_: mean)
    monkeypatch.setattr(tabulating, "never_falling", lambda logs, *_: logs)

    def falling(shape: AttentionShape, _: SparqConfig | None) -> float:
        return 1.2 if shape.seq_len < 3000 else 1.0

    seen = [point for point in points(factor=falling) if point.shape.batch == 1]
    model = fit(seen, algorithm_traffic, BANDWIDTH, PEAK).models["two_copies"]
    short = predicted(model, {"batch": 1, "seq_len": 1024, "rank": 8, "top_k": 32}, "two_copies", gpu)[0].expected
    longer = predicted(model, {"batch": 1, "seq_len": 4200, "rank": 8, "top_k": 32}, "two_copies", gpu)[0].expected
    assert longer < short
