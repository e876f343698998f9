"""An outcome as an HTML page: base, candidate, effect, interval and verdict of each test."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import expm1, log1p
from pathlib import Path

from sparq_perf.gate.outcome import Outcome
from sparq_perf.gate.outputs.rows import MEANINGS, Row, counted, headline, how, rows, side
from sparq_perf.gate.outputs.writing import write_text
from sparq_perf.gate.pages import render_page
from sparq_perf.gate.verdicts import VERDICTS, Evidence, Verdict

# Of the drawing of one interval, in its own units.
WIDTH, EDGE = 160.0, 4.0
# The scale shows at least this much of worsening and gain, and at most that.
LEAST_SHOWN, MOST_SHOWN = 0.05, 0.25


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval around an effect, drawn on the scale that all rows share: 0 in the middle, worse to the right.

    Attributes:
        left, right, dot, floor_left, floor_right: places along the drawing.
        beyond: the effect lies outside of the scale.
    """

    left: float
    right: float
    dot: float
    floor_left: float
    floor_right: float
    beyond: bool


@dataclass(frozen=True, slots=True)
class PageRow:
    """A row with its drawing; None where there are no numbers."""

    row: Row
    bar: Bar | None


@dataclass(frozen=True, slots=True)
class Tile:
    """How often a verdict was given."""

    verdict: Verdict
    n: int
    meaning: str


@dataclass(frozen=True, slots=True)
class PageView:
    """Everything that the page says."""

    headline: str
    exit_code: int
    labels: tuple[str, str]
    base: str
    candidate: str
    device: str
    how: str
    counted: str
    tiles: tuple[Tile, ...]
    rows: tuple[PageRow, ...]
    remarks: tuple[str, ...]
    scale: tuple[float, float]


def build_page_view(outcome: Outcome) -> PageView:
    """The page as data."""
    evidences = [judgement.evidence for judgement in outcome.by_concern]
    reach = _reach([evidence for evidence in evidences if evidence is not None])
    bars = [None if evidence is None else _bar(evidence, reach) for evidence in evidences]
    return PageView(
        headline=headline(outcome),
        exit_code=outcome.exit_code,
        labels=(outcome.base.label, outcome.candidate.label),
        base=side(outcome.base),
        candidate=side(outcome.candidate),
        device=outcome.candidate.device or "not recorded",
        how=how(outcome),
        counted=counted(outcome),
        tiles=tuple(Tile(verdict, outcome.counts[verdict], MEANINGS[verdict]) for verdict in VERDICTS),
        rows=tuple(PageRow(row, bar) for row, bar in zip(rows(outcome), bars, strict=True)),
        remarks=outcome.remarks,
        scale=(expm1(-reach), expm1(reach)),
    )


def render_outcome(outcome: Outcome) -> str:
    """The whole page."""
    return render_page("gate.html", view=build_page_view(outcome), width=WIDTH)


def write_page(outcome: Outcome, path: Path) -> None:
    """Write the page; GateError where it cannot be written."""
    write_text(path, render_outcome(outcome))


def _reach(evidences: Sequence[Evidence]) -> float:
    """Largest logarithm of the common scale."""
    shown = [abs(log1p(end)) for evidence in evidences for end in (*evidence.interval, evidence.floor)]
    return min(max([log1p(LEAST_SHOWN), *shown]), log1p(MOST_SHOWN))


def _bar(evidence: Evidence, reach: float) -> Bar:
    def place(effect: float) -> float:
        share = min(max(log1p(effect) / reach, -1.0), 1.0)
        return round(WIDTH / 2 + share * (WIDTH / 2 - EDGE), 2)

    floor = evidence.floor
    return Bar(
        left=place(evidence.interval[0]),
        right=place(evidence.interval[1]),
        dot=place(evidence.effect),
        floor_left=place(expm1(-log1p(floor))),
        floor_right=place(floor),
        beyond=abs(log1p(evidence.effect)) > reach,
    )
