"""Speedup over sequence length and batch, for one geometry, setting and implementation at a time."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sparq_perf.comparison import Comparison, compare
from sparq_perf.records.schema import Line, Measurement
from sparq_perf.records.store import latest_measurements
from sparq_perf.report.settings import Geometry
from sparq_profiles.shape import SparqConfig
from sparq_profiles.suite import CacheState


@dataclass(frozen=True, slots=True)
class Cell:
    """One sequence length and batch; ``speedup`` is None where ``reason`` says why."""

    seq_len: int
    batch: int
    speedup: float | None
    predicted: float | None
    reason: str | None
    mark: str


@dataclass(frozen=True, slots=True)
class Heatmap:
    """Cells of every sequence length and batch that the geometry was tried with, rows by batch."""

    name: str
    seq_lens: tuple[int, ...]
    batches: tuple[int, ...]
    cells: tuple[Cell, ...]


def build_heatmaps(lines: list[Line], names: Mapping[SparqConfig | None, str]) -> tuple[Heatmap, ...]:
    """Every geometry, setting, cache state and SparQ implementation with at least one speedup."""
    comparisons = {c.sparq.key: c for c in compare(lines)}
    groups: dict[tuple[Geometry, CacheState, int, int, str, str], list[Measurement]] = defaultdict(list)
    for m in latest_measurements(lines).values():
        if m.config is not None:
            geometry = Geometry.of(m.model, m.shape)
            name = names[m.config]
            groups[geometry, m.cache_state, m.config.rank, m.config.top_k, name, m.implementation].append(m)
    heatmaps = []
    for key, members in sorted(groups.items(), key=lambda item: item[0]):
        if not any(m.key in comparisons for m in members):
            continue
        geometry, cache_state, _, _, name, implementation = key
        title = f"{geometry.model}, {name}, {cache_state}, {implementation} ({geometry.heads})"
        heatmaps.append(_heatmap(title, members, comparisons))
    # The fullest first: it is the one shown when the page opens.
    return tuple(sorted(heatmaps, key=lambda heatmap: -len(heatmap.cells)))


def _heatmap(name: str, members: list[Measurement], comparisons: Mapping[str, Comparison]) -> Heatmap:
    at = {(m.shape.seq_len, m.shape.batch): m for m in members}
    seq_lens = tuple(sorted({seq_len for seq_len, _ in at}))
    batches = tuple(sorted({batch for _, batch in at}))
    cells = tuple(
        _cell(seq_len, batch, at.get((seq_len, batch)), comparisons) for batch in batches for seq_len in seq_lens
    )
    return Heatmap(name, seq_lens, batches, cells)


def _cell(seq_len: int, batch: int, measurement: Measurement | None, comparisons: Mapping[str, Comparison]) -> Cell:
    if measurement is None:
        return Cell(seq_len, batch, None, None, "not in this run", "–")
    comparison = comparisons.get(measurement.key)
    if comparison is None:
        if measurement.status == "ok":
            return Cell(seq_len, batch, None, None, "no valid dense baseline", "no base")
        return Cell(seq_len, batch, None, None, ", ".join(measurement.reasons), measurement.status)
    predicted = comparison.predicted_speedup
    return Cell(seq_len, batch, comparison.speedup.expected, predicted.expected if predicted else None, None, "")
