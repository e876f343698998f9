"""The vectorised predictions, held to the scalar ones; and speedups whose spreads add up as squares."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sparq_profiles import AttentionShape, ConfigError, HardwareProfile, SparqConfig
from sparq_roofline import sweep
from sparq_roofline.calibration import Calibration, calibrate

from .conftest import Points

BOTH = ("dense-made-up", "sparq-made-up")
SIZES: dict[str, Any] = {
    "batch": 4, "seq_len": 4096, "rank": 16, "top_k": 64, "n_heads": 16, "n_kv_heads": 16, "head_dim": 128,
}  # fmt: skip


@pytest.fixture(scope="module")
def calibration(points: Points, gpu: HardwareProfile) -> Calibration:
    def wavy(shape: AttentionShape, config: SparqConfig | None) -> float:
        return float(1 + 0.1 * np.sin(np.log2(shape.seq_len)) + 0.05 * np.cos(shape.batch))

    sparq = points(("two_copies", "row_major"), factor=wavy)
    return calibrate([*sparq, *points((None,), factor=wavy, implementation="dense-made-up")], gpu)


def held_to_scalars(frame: pd.DataFrame, calibration: Calibration, dtype: Any = "float16") -> None:
    for row in frame.to_dict("records"):
        sizes = (int(row[name]) for name in ("batch", "seq_len", "n_heads", "n_kv_heads", "head_dim"))
        shape = AttentionShape(*sizes, dtype)
        words = {name: row[name] for name in ("k_layout", "group_score")}
        config = SparqConfig(int(row["rank"]), int(row["top_k"]), **words)
        dense, sparq = calibration.predict(BOTH[0], shape, None), calibration.predict(BOTH[1], shape, config)
        for side, predicted in (("dense", dense), ("sparq", sparq)):
            time = predicted.time_s
            found = [row[f"{side}_{name}"] for name in ("time_lower_s", "time_s", "time_upper_s")]
            assert found == pytest.approx([time.lower, time.expected, time.upper], rel=1e-9)
            moved = [row[f"{side}_{name}"] for name in ("read_bytes", "write_bytes", "flops")]
            assert moved == pytest.approx([predicted.read_bytes, predicted.write_bytes, predicted.flops])
        assert row["sparq_bound"] == sparq.bound
        assert row["extrapolated"] == bool(dense.extrapolated or sparq.extrapolated)
        assert row["speedup"] == pytest.approx(dense.time_s.expected / sparq.time_s.expected)
        assert row["speedup_lower"] < row["speedup"] < row["speedup_upper"]


def test_every_row_is_the_scalar_prediction(calibration: Calibration) -> None:
    generator = np.random.default_rng(0)
    n = 300
    frame = sweep(
        calibration=calibration,
        implementations=BOTH,
        batch=generator.integers(1, 100, n),
        seq_len=np.exp(generator.uniform(np.log(200), np.log(200_000), n)).astype(int),
        rank=generator.integers(1, 129, n),
        top_k=generator.integers(1, 2000, n),
        n_heads=32,
        n_kv_heads=generator.choice([8, 16, 32], n),
        head_dim=128,
        k_layout=generator.choice(["two_copies", "row_major", "channel_major"], n),
        group_score=generator.choice(["logits", "softmax"], n),
    )
    assert 0 < frame.extrapolated.mean() <= 1
    held_to_scalars(frame, calibration)


def test_scalars_and_nodes(calibration: Calibration) -> None:
    # On a node exactly, between two, and all sizes but one scalars.
    frame = sweep(
        calibration=calibration, implementations=BOTH, **{**SIZES, "seq_len": [1024, 2048, 5000, 65000, 10**6]}
    )
    assert frame.extrapolated.tolist() == [False, False, False, False, True]
    held_to_scalars(frame, calibration)


def test_another_element_type(calibration: Calibration) -> None:
    frame = sweep(calibration=calibration, implementations=BOTH, **SIZES, dtype="float32")
    assert frame.extrapolated.all()
    held_to_scalars(frame, calibration, "float32")


def test_a_speedup_is_narrower_than_its_ends_at_their_worst(calibration: Calibration) -> None:
    row = sweep(calibration=calibration, implementations=BOTH, **SIZES).iloc[0]
    assert row.speedup_lower > row.dense_time_lower_s / row.sparq_time_upper_s
    assert row.speedup_upper < row.dense_time_upper_s / row.sparq_time_lower_s
    dense, sparq = np.log(row.dense_time_upper_s / row.dense_time_s), np.log(row.sparq_time_upper_s / row.sparq_time_s)
    assert np.log(row.speedup_upper / row.speedup) == pytest.approx(np.hypot(dense, sparq))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"implementations": None}, "calibration and implementations belong together: give both or neither"),
        ({"calibration": None, "implementations": None}, "hardware is missing: give a profile, its name, or a cal"),
        ({"hardware": "a100-sxm-40gb"}, "hardware is a100-sxm-40gb and the calibration is of round-numbers"),
        ({"implementations": BOTH[::-1]}, "sparq-made-up computes SparQ attention: name one that computes dense"),
        ({"implementations": (BOTH[0],) * 2}, "dense-made-up computes dense attention: name one that computes SparQ"),
    ],
)
def test_refused(calibration: Calibration, changes: dict[str, Any], message: str) -> None:
    arguments = {"calibration": calibration, "implementations": BOTH, **SIZES}
    with pytest.raises(ConfigError, match=re.escape(f"sweep: {message}")):
        sweep(**{**arguments, **changes})


def test_own_steps_are_no_grid(points: Points, gpu: HardwareProfile) -> None:
    from sparq_roofline.calibration import algorithm_traffic

    measured = [*points(), *points((None,), implementation="dense-made-up")]
    own = calibrate(measured, gpu, own_traffic={"sparq-made-up": algorithm_traffic})
    with pytest.raises(ConfigError, match="was fitted to its own steps"):
        sweep(calibration=own, implementations=BOTH, **SIZES)
    with pytest.raises(ConfigError, match="no model of 'sparq-unheard-of'"):
        sweep(calibration=own, implementations=(BOTH[0], "sparq-unheard-of"), **SIZES)
