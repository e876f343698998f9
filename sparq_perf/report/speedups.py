"""Measured beside predicted speedup along the sequence length, for every setting that was tried."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sparq_perf.comparison import Comparison, compare
from sparq_perf.records.schema import Line, Measurement
from sparq_perf.records.store import latest_measurements
from sparq_perf.report.settings import Geometry, Setting
from sparq_perf.report.wording import count, listed, tokens
from sparq_profiles.shape import SparqConfig
from sparq_roofline.interval import Interval

Outcome = Literal["faster", "slower", "unclear"]


@dataclass(frozen=True, slots=True)
class SpeedupPoint:
    """One setting at one sequence length: the fastest SparQ implementation against the best dense one."""

    setting: Setting
    seq_len: int
    best: Comparison
    others: tuple[Comparison, ...]

    @property
    def speedup(self) -> Interval:
        """The measured speedup of the fastest implementation."""
        return self.best.speedup

    @property
    def outcome(self) -> Outcome:
        """Whether the speedup's interval lies above 1, below 1 or straddles it."""
        return outcome_of(self.best.speedup)


@dataclass(frozen=True, slots=True)
class Gap:
    """A sequence length that was tried and yielded no comparison, with the reason."""

    seq_len: int
    reason: str


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one setting, shortest sequence first, and the lengths that yielded none."""

    setting: Setting
    points: tuple[SpeedupPoint, ...]
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One small chart: a geometry's setting and batch, cold and warm caches side by side."""

    geometry: Geometry
    config_name: str
    batch: int
    series: tuple[Series, ...]

    @property
    def gaps(self) -> tuple[str, ...]:
        """Lengths without a valid comparison, in words."""
        return tuple(
            f"{series.setting.cache_state}, {tokens(gap.seq_len)} tokens: {gap.reason}"
            for series in self.series
            for gap in series.gaps
        )


def outcome_of(speedup: Interval) -> Outcome:
    """Faster or slower only where the whole interval says so."""
    if speedup.lower > 1:
        return "faster"
    return "slower" if speedup.upper < 1 else "unclear"


def pays_from_length(points: Sequence[SpeedupPoint]) -> int | None:
    """Shortest length such that every comparison at it or beyond is faster; None where there is none."""
    slow = [point.seq_len for point in points if point.outcome != "faster"]
    above = [point.seq_len for point in points if not slow or point.seq_len > max(slow)]
    return min(above, default=None)


def build_series(lines: list[Line]) -> tuple[Series, ...]:
    """Every setting for which a SparQ measurement was tried, in a fixed order."""
    found: dict[tuple[Setting, int], list[Comparison]] = defaultdict(list)
    for comparison in compare(lines):
        found[Setting.of(comparison.sparq), comparison.sparq.shape.seq_len].append(comparison)
    tried: dict[Setting, dict[int, list[Measurement]]] = defaultdict(lambda: defaultdict(list))
    for measurement in latest_measurements(lines).values():
        if measurement.config is not None:
            tried[Setting.of(measurement)][measurement.shape.seq_len].append(measurement)
    series = []
    for setting in sorted(tried, key=lambda s: s.order):
        points, gaps = [], []
        for seq_len, measurements in sorted(tried[setting].items()):
            comparisons = sorted(found[setting, seq_len], key=lambda c: -c.speedup.expected)
            if comparisons:
                points.append(SpeedupPoint(setting, seq_len, comparisons[0], tuple(comparisons[1:])))
            else:
                gaps.append(Gap(seq_len, _why_not(measurements)))
        series.append(Series(setting, tuple(points), tuple(gaps)))
    return tuple(series)


def build_panels(series: tuple[Series, ...], names: Mapping[SparqConfig | None, str]) -> tuple[Panel, ...]:
    """One panel for each geometry, setting and batch, in the order of the series."""
    groups: dict[tuple[Geometry, str, int], list[Series]] = defaultdict(list)
    for one in series:
        setting = one.setting
        groups[setting.geometry, names[setting.config], setting.batch].append(one)
    return tuple(Panel(*key, tuple(members)) for key, members in groups.items())


def _why_not(measurements: list[Measurement]) -> str:
    if any(m.status == "ok" for m in measurements):
        return "no valid dense baseline of the same shape and cache state"
    return "; ".join(f"{m.implementation} {m.status}: {', '.join(m.reasons)}" for m in measurements)


def why_no_comparison(measurements: list[Measurement]) -> str:
    """Why a run holds no speedup at all, in a sentence."""
    if not measurements:
        return "No measurement was recorded, so there is nothing to compare."
    sparq = [m for m in measurements if m.config is not None]
    dense = [m for m in measurements if m.config is None]
    valid_sparq = [m for m in sparq if m.status == "ok"]
    valid_dense = [m for m in dense if m.status == "ok"]
    if not sparq:
        return f"This run holds only dense attention ({count(len(dense), 'measurement')}): there is no speedup."
    if not dense:
        return f"This run holds no dense baseline for its {count(len(sparq), 'SparQ measurement')}."
    missing = [
        f"none of the {count(len(tried), f'{name} measurement')} is valid"
        for name, tried, valid in (("SparQ", sparq, valid_sparq), ("dense", dense, valid_dense))
        if not valid
    ]
    if missing:
        return f"There is no speedup to show: {listed(missing)}. The table lists the reasons."
    return "No valid SparQ measurement has a valid dense baseline of the same shape and cache state."
