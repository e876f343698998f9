"""Attention maps as plain data: what a page says and draws of one head, no plotly."""

from collections.abc import Iterable
from dataclasses import dataclass

from sparq_perf.records.attention_map import AttentionMap, MapStep
from sparq_perf.records.line import Line
from sparq_perf.report.wording import count, listed
from sparq_profiles import SparqConfig

# Columns of a drawn map: fewer than the pixels of a narrow screen, so that no position falls between two.
MOST_COLUMNS = 320
# Points of the scatter, of each kind.
MOST_POINTS = 700


@dataclass(frozen=True, slots=True)
class Cell:
    """Some neighbouring positions in one step; None where there are none yet.

    Attributes:
        approximate, exact: the largest weight among them.
        kind: whether any is in the local window (2), or selected by its score (1), or none is selected (0).
    """

    approximate: float
    exact: float
    kind: int


@dataclass(frozen=True, slots=True)
class Point:
    """One position of the last step."""

    position: int
    approximate: float
    exact: float
    kind: int


@dataclass(frozen=True, slots=True)
class MapView:
    """One head under one setting.

    Attributes:
        width: positions of a column.
        rows: by step, cells by column; None where a step has no such positions yet.
        left_out: points of the last step that are not drawn: the smallest.
        recall: share of the head's own top-k positions, by true attention, among the selected; mean over the steps.
    """

    line: AttentionMap
    name: str
    words: str
    width: int
    n_positions: int
    rows: tuple[tuple[Cell | None, ...], ...]
    points: tuple[Point, ...]
    left_out: int
    coverage: float
    mass: float
    recall: float

    @property
    def steps(self) -> tuple[MapStep, ...]:
        """The recorded steps."""
        return self.line.steps


def build_maps(lines: Iterable[Line]) -> tuple[MapView, ...]:
    """A view of each attention map among some lines, in the order recorded; of one key the newest counts."""
    newest = {line.key: line for line in lines if isinstance(line, AttentionMap)}
    return tuple(_view(line) for line in newest.values())


def _view(line: AttentionMap) -> MapView:
    n_positions = line.steps[-1].n_positions
    width = -(-n_positions // MOST_COLUMNS)
    window = line.config.local_window
    points = _points(line.steps[-1], window)
    drawn = _drawn(points)
    n_steps = len(line.steps)
    return MapView(
        line=line,
        name=f"{line.model}, layer {line.layer}, head {line.head}: {_setting(line.config)}",
        words=_words(line),
        width=width,
        n_positions=n_positions,
        rows=tuple(_row(step, width, n_positions, window) for step in line.steps),
        points=drawn,
        left_out=len(points) - len(drawn),
        coverage=sum(step.coverage for step in line.steps) / n_steps,
        mass=sum(step.mass for step in line.steps) / n_steps,
        recall=sum(_recall(step, line.config.top_k) for step in line.steps) / n_steps,
    )


def _setting(config: SparqConfig) -> str:
    mean = "mean of V" if config.mean_value else "no mean of V"
    return f"r={config.rank} k={config.top_k} l={config.local_window}, {mean}, sum of {config.group_score}"


def _words(line: AttentionMap) -> str:
    others = [str(head) for head in line.group if head != line.head]
    shared = f"it shares its selection with {'head' if len(others) == 1 else 'heads'} {listed(others)}"
    alone = "no other head shares its selection"
    steps = "every step" if len(line.steps) == line.n_steps else f"{len(line.steps)} of {line.n_steps} steps"
    padded = f"; {count(line.padding, 'position')} of left padding left out" if line.padding else ""
    return (
        f"Query head {line.head} on KV head {line.kv_head}: {shared if others else alone}. Example {line.example} of "
        f"{line.task}, {line.steps[0].n_positions:,} to {line.steps[-1].n_positions:,} positions, {steps}{padded}."
    )


def _kind(position: int, step: MapStep, selected: frozenset[int], window: int) -> int:
    if position not in selected:
        return 0
    return 2 if position >= step.n_positions - window else 1


def _row(step: MapStep, width: int, n_positions: int, window: int) -> tuple[Cell | None, ...]:
    cells: list[Cell | None] = []
    selected = frozenset(step.selected)
    for first in range(0, n_positions, width):
        inside = range(first, min(first + width, step.n_positions))
        if not inside:
            cells.append(None)
            continue
        cells.append(
            Cell(
                approximate=max(step.approximate[first : inside.stop]),
                exact=max(step.exact[first : inside.stop]),
                kind=max(_kind(position, step, selected, window) for position in inside),
            )
        )
    return tuple(cells)


def _points(step: MapStep, window: int) -> list[Point]:
    selected = frozenset(step.selected)
    return [
        Point(i, step.approximate[i], step.exact[i], _kind(i, step, selected, window)) for i in range(step.n_positions)
    ]


def _drawn(points: list[Point]) -> tuple[Point, ...]:
    """The largest of the selected and of the others."""
    kept: list[Point] = []
    for chosen in (False, True):
        group = [point for point in points if (point.kind > 0) == chosen]
        kept += sorted(group, key=lambda point: -max(point.approximate, point.exact))[:MOST_POINTS]
    return tuple(kept)


def _recall(step: MapStep, top_k: int) -> float:
    """Ties by the lower position."""
    best = sorted(range(step.n_positions), key=lambda i: -step.exact[i])[:top_k]
    return len(frozenset(best) & frozenset(step.selected)) / len(best)
