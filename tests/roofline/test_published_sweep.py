"""Calibrations held to real measurements, where this checkout has them beside it (see the folder benchmarks)."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparq_profiles import AttentionShape, HardwareProfile, SparqConfig, load_hardware
from sparq_roofline import predict, sweep
from sparq_roofline.calibration import (
    Calibration,
    MeasuredPoint,
    calibrate,
    load_calibration,
    save_calibration,
    validate,
)
from sparq_roofline.calibration.choosing import Choice
from sparq_roofline.interval import Interval
from sparq_roofline.published import compare_published

SWEEP = Path(__file__).parents[3] / "shared" / "published" / "sparq_sweep_a100.csv"
pytestmark = pytest.mark.skipif(not SWEEP.exists(), reason="no published sweep beside this checkout")

SEEDS = (0, 1, 2)
SPARQ = ("sparq-triton", "sparq-torch", "sparq-compiled")
LAYOUTS = ("two_copies", "row_major")


@pytest.fixture(scope="module")
def hardware() -> HardwareProfile:
    return load_hardware("a100-sxm-40gb")


@pytest.fixture(scope="module")
def measured() -> list[MeasuredPoint]:
    points = []
    with SWEEP.open(newline="") as file:
        for row in csv.DictReader(file):
            sizes = [int(row[name]) for name in ("batch", "seq_len", "n_heads", "n_kv_heads", "head_dim")]
            config = None
            if row["rank"]:
                config = SparqConfig(int(row["rank"]), int(row["top_k"]), k_layout=row["k_layout"])  # type: ignore[arg-type]
            points.append(MeasuredPoint(row["implementation"], AttentionShape(*sizes), config, float(row["time_s"])))
    return points


@pytest.fixture(scope="module")
def calibration(measured: list[MeasuredPoint], hardware: HardwareProfile) -> Calibration:
    return calibrate(measured, hardware, seed=0)


@pytest.mark.parametrize("choice", ["spread", "random"])
def test_24_points_foretell_the_rest(measured: list[MeasuredPoint], hardware: HardwareProfile, choice: Choice) -> None:
    sparq = [point for point in measured if point.config is not None]
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for seed in SEEDS:
        for name, accuracy in validate(sparq, calibrate(sparq, hardware, seed=seed, choice=choice)).items():
            assert accuracy.n_seen == 48
            for layout, part in accuracy.layouts.items():
                assert part.errors is not None
                assert part.coverage_90 is not None
                row = (part.errors.median_ape, part.errors.p90_ape, part.coverage_90)
                found.setdefault((name, layout), []).append(row)
    assert set(found) == {(name, layout) for name in SPARQ for layout in LAYOUTS}
    for key, rows in found.items():
        median, p90, coverage = np.mean(rows, axis=0)
        assert median <= 0.05, key
        assert p90 <= 0.15, key
        # Of three seeds; bench_calibration.py shows ten.
        assert 0.8 <= coverage <= 0.99, key


def test_dense_implementations(measured: list[MeasuredPoint], calibration: Calibration) -> None:
    accuracies = validate([point for point in measured if point.config is None], calibration)
    assert len(accuracies) == 5
    for name, accuracy in accuracies.items():
        assert (accuracy.n, accuracy.n_seen) == (10, 9), name
        assert accuracy.errors is not None
        assert accuracy.errors.median_ape <= 0.06, name
    assert np.mean([accuracy.coverage_90 for accuracy in accuracies.values() if accuracy.coverage_90]) > 0.8


def test_better_than_bytes_over_bandwidth(measured: list[MeasuredPoint], calibration: Calibration) -> None:
    for name, accuracy in validate(measured, calibration).items():
        assert accuracy.errors is not None
        assert accuracy.naive is not None
        assert accuracy.errors.median_ape < 0.3 * accuracy.naive.median_ape, name


def test_speedups_are_covered_too(measured: list[MeasuredPoint], calibration: Calibration) -> None:
    # Dense over SparQ of every pair that the calibration saw neither of.
    seen = {(e.implementation, p.shape, p.config) for e in calibration.implementations for p in e.points}
    dense = {p.shape: p.time_s for p in measured if p.implementation == "dense-torch"}
    inside = []
    for point in measured:
        if point.config is None or (point.implementation, point.shape, point.config) in seen:
            continue
        if ("dense-torch", point.shape, None) in seen:
            continue
        predicted = calibration.predict("dense-torch", point.shape, None).time_s.over_independent(
            calibration.predict(point.implementation, point.shape, point.config).time_s
        )
        inside.append(predicted.lower <= dense[point.shape] / point.time_s <= predicted.upper)
    assert len(inside) > 400
    assert 0.82 <= np.mean(inside) <= 0.98


def test_published_speedups_of_this_device_lie_inside(calibration: Calibration) -> None:
    for row in compare_published([calibration]):
        if row.evidence == "calibrated":
            assert row.inside, row
    calibrated = [row for row in compare_published([calibration]) if row.evidence == "calibrated"]
    assert len(calibrated) == 5


def test_from_24_points_to_a_grid(calibration: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "calibration.toml"
    save_calibration(calibration, path)
    loaded = load_calibration(path)
    lengths = [2048, 3000, 16384, 65536]
    frame = sweep(
        calibration=loaded, implementations=("dense-torch", "sparq-triton"), batch=16, seq_len=lengths, rank=32,
        top_k=128, n_heads=32, n_kv_heads=32, head_dim=128,
    )  # fmt: skip
    assert frame.speedup.is_monotonic_increasing  # the longer, the more SparQ buys
    for index, seq_len in enumerate(lengths):
        shape, config = AttentionShape(16, seq_len, 32, 32, 128), SparqConfig(32, 128)
        time = loaded.predict("sparq-triton", shape, config).time_s
        assert frame.sparq_time_s[index] == pytest.approx(time.expected)
        bound = predict(loaded.hardware, shape, config, include_append=False)
        assert bound.sparq is not None
        assert time.expected > bound.sparq.time_s.lower


def test_intervals_outside_say_so_and_widen(measured: list[MeasuredPoint], hardware: HardwareProfile) -> None:
    triton = [p for p in measured if p.implementation == "sparq-triton" and p.k_layout == "two_copies"]
    short = calibrate([p for p in triton if p.shape.seq_len <= 16384], hardware, seed=1)
    inside, outside = [], []
    for point in triton:
        predicted = short.predict(point.implementation, point.shape, point.config)
        time: Interval = predicted.time_s
        beyond = point.shape.seq_len > 16384
        assert predicted.extrapolated == (("seq_len",) if beyond else ())
        (outside if beyond else inside).append(time.upper / time.expected)
    assert np.median(outside) > 1.3 * np.median(inside)
    twice = replace(triton[0].shape, seq_len=10**6)
    assert short.predict("sparq-triton", twice, triton[0].config).extrapolated == ("seq_len",)
