"""How well calibrations foretell a published sweep: prints tables, asserts nothing.

24 points of each implementation and layout of K are seen, the rest unseen; means over ten seeds. Beside it what simpler
models make of the same points, what half the points give, and intervals outside what was seen. Needs the sweep beside
this checkout; another one's path may be given, with the name of its hardware:

    python tests/benchmarks/bench_calibration.py [sweep.csv hardware]
"""

import csv
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from sparq_profiles import AttentionShape, HardwareProfile, SparqConfig, load_hardware
from sparq_roofline.calibration import MeasuredPoint, calibrate, choose, validate
from sparq_roofline.calibration.choosing import Choice
from sparq_roofline.calibration.factors import Factors

SWEEP = Path(__file__).parents[3] / "shared" / "published" / "sparq_sweep_a100.csv"
HARDWARE = "a100-sxm-40gb"
SEEDS = range(10)

Row = tuple[float, float, float]


def read_sweep(path: Path) -> list[MeasuredPoint]:
    """Points of a CSV as docs/calibration.md describes it."""
    with path.open(newline="") as file:
        return [_point(row) for row in csv.DictReader(file)]


def _point(row: dict[str, str]) -> MeasuredPoint:
    sizes = (int(row[name]) for name in ("batch", "seq_len", "n_heads", "n_kv_heads", "head_dim"))
    shape = AttentionShape(*sizes, row["dtype"])  # type: ignore[arg-type]
    config = None
    if row["rank"]:
        config = SparqConfig(int(row["rank"]), int(row["top_k"]), k_layout=row["k_layout"])  # type: ignore[arg-type]
    return MeasuredPoint(row["implementation"], shape, config, float(row["time_s"]), float(row["time_stderr_s"]))


def calibrated(
    points: Sequence[MeasuredPoint], hardware: HardwareProfile, n: int, choice: Choice, *, factors: bool = True
) -> dict[tuple[str, str], Row]:
    """Median and 90th percentile error, and coverage, by implementation and layout: means over the seeds."""
    rows: dict[tuple[str, str], list[Row]] = {}
    for seed in SEEDS:
        calibration = calibrate(points, hardware, n_points=n, seed=seed, choice=choice)
        if not factors:
            calibration = _without_factors(calibration)
        for name, found in validate(points, calibration).items():
            for layout, part in (found.layouts or {"dense": found}).items():
                assert part.errors is not None
                assert part.coverage_90 is not None
                row = (part.errors.median_ape, part.errors.p90_ape, part.coverage_90)
                rows.setdefault((name, layout), []).append(row)
            if found.layouts and found.errors is not None and found.coverage_90 is not None:
                both = (found.errors.median_ape, found.errors.p90_ape, found.coverage_90)
                rows.setdefault((name, "both"), []).append(both)
    return {key: tuple(np.mean(value, axis=0)) for key, value in rows.items()}  # type: ignore[misc]


def _without_factors(calibration):  # type: ignore[no-untyped-def]
    entries = []
    for entry in calibration.implementations:
        models = tuple(
            one.model_copy(update={"model": replace(one.model, factors=Factors.none())}) for one in entry.models
        )
        entries.append(entry.model_copy(update={"models": models}))
    return calibration.model_copy(update={"implementations": tuple(entries)})


def linear(points: Sequence[MeasuredPoint], n: int) -> dict[tuple[str, str], Row]:
    """The plain five-term fit: a constant, score bytes, scores, gathered bytes, heads; random points."""
    from scipy.optimize import nnls

    rows: dict[tuple[str, str], list[Row]] = {}
    for key, group in _groups(points).items():
        if group[0].config is None:
            continue
        terms = np.array([_terms(point) for point in group])
        times = np.array([point.time_s for point in group])
        for seed in SEEDS:
            seen = choose(group, n, seed, "random")
            scale = terms[seen].max(axis=0)
            costs, _ = nnls(terms[seen] / scale / times[seen, None], np.ones(n))
            unseen = np.setdiff1d(np.arange(len(group)), seen)
            error = np.abs(terms[unseen] / scale @ costs / times[unseen] - 1)
            rows.setdefault(key, []).append((float(np.median(error)), float(np.quantile(error, 0.9)), np.nan))
    return {key: tuple(np.mean(value, axis=0)) for key, value in rows.items()}  # type: ignore[misc]


def _terms(point: MeasuredPoint) -> tuple[float, ...]:
    shape, config = point.shape, point.config
    assert config is not None
    heads = shape.batch * shape.n_kv_heads
    scores = heads * shape.seq_len
    return (1.0, scores * config.rank, scores, heads * config.top_k * shape.head_dim, heads)


def naive(points: Sequence[MeasuredPoint], hardware: HardwareProfile) -> dict[tuple[str, str], Row]:
    """Bytes over bandwidth, over every point."""
    from sparq_roofline.calibration.validation import naive_time_s

    bandwidth, sector = hardware.memory_bandwidth_bytes_per_s.value, int(hardware.sector_bytes.value)
    rows = {}
    for key, group in _groups(points).items():
        error = np.abs([naive_time_s(p.shape, p.config, bandwidth, sector) / p.time_s - 1 for p in group])
        rows[key] = (float(np.median(error)), float(np.quantile(error, 0.9)), np.nan)
    return rows


def outside(points: Sequence[MeasuredPoint], hardware: HardwareProfile) -> dict[str, Row]:
    """Coverage where a calibration saw everything but one end of one size; three seeds, SparQ alone."""
    ends: dict[str, Callable[[MeasuredPoint], bool]] = {
        "S up to a quarter": lambda p: p.shape.seq_len * 4 <= largest["seq_len"],
        "B up to a quarter": lambda p: p.shape.batch * 4 <= largest["batch"],
        "B from 4": lambda p: p.shape.batch >= 4,
        "r up to a half": lambda p: bool(p.config) and p.config.rank * 2 <= largest["rank"],
        "k up to a half": lambda p: bool(p.config) and p.config.top_k * 2 <= largest["top_k"],
    }
    sparq = [point for point in points if point.config is not None]
    largest = {
        "seq_len": max(p.shape.seq_len for p in sparq),
        "batch": max(p.shape.batch for p in sparq),
        "rank": max(p.config.rank for p in sparq if p.config),
        "top_k": max(p.config.top_k for p in sparq if p.config),
    }
    rows = {}
    for name, near in ends.items():
        found = []
        for seed in range(3):
            calibration = calibrate([p for p in sparq if near(p)], hardware, n_points=24, seed=seed)
            far = validate([p for p in sparq if not near(p)], calibration).values()
            found += [(a.errors.median_ape, a.errors.p90_ape, a.coverage_90) for a in far if a.errors]
        rows[name] = tuple(np.mean(np.array(found, dtype=float), axis=0))
    return rows  # type: ignore[return-value]


def _groups(points: Iterable[MeasuredPoint]) -> dict[tuple[str, str], list[MeasuredPoint]]:
    groups: dict[tuple[str, str], list[MeasuredPoint]] = {}
    for point in points:
        groups.setdefault((point.implementation, point.k_layout or "dense"), []).append(point)
    return groups


def show(title: str, rows: dict[tuple[str, str], Row] | dict[str, Row]) -> None:
    """Print one table."""
    print(f"\n{title}")
    print(f"  {'':<34}{'median':>8}{'90th':>8}{'covered':>9}")
    for key, (middle, most, covered) in sorted(rows.items()):
        name = key if isinstance(key, str) else " ".join(key)
        shown = "" if np.isnan(covered) else f"{covered:9.0%}"
        print(f"  {name:<34}{middle:8.1%}{most:8.1%}{shown}")


def main() -> None:
    """Print every table."""
    path, hardware_name = (Path(sys.argv[1]), sys.argv[2]) if len(sys.argv) > 2 else (SWEEP, HARDWARE)
    if not path.exists():
        print(f"skipped: there is no {path.name} beside this checkout")
        return
    points, hardware = read_sweep(path), load_hardware(hardware_name)
    print(f"{len(points):,} measurements of {hardware.title}; errors over those unseen, means over {len(SEEDS)} seeds")
    show(
        "24 points spread over the sizes, of each implementation and layout", calibrated(points, hardware, 24, "spread")
    )
    show("24 points at random", calibrated(points, hardware, 24, "random"))
    show("12 points, spread: 24 of an implementation", calibrated(points, hardware, 12, "spread"))
    show("24 points, spread, costs alone", calibrated(points, hardware, 24, "spread", factors=False))
    show("plain five-term linear fit, 24 points at random", linear(points, 24))
    show("bytes over bandwidth", naive(points, hardware))
    show("outside what was seen", outside(points, hardware))


if __name__ == "__main__":
    main()
