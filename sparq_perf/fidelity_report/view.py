"""Everything the page says, as plain data."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sparq_perf.fidelity.frontier import Bench, SettingPoint, by_bench, loss_of, points_of, recommend
from sparq_perf.fidelity.table import SHOWN
from sparq_perf.fidelity.tolerance import DEFAULT_TOLERANCES, Tolerance
from sparq_perf.fidelity_report.attention_maps import MapView, build_maps
from sparq_perf.fidelity_report.joining import Joined, Joiner
from sparq_perf.fidelity_report.sources import Source, provenance_facts
from sparq_perf.fidelity_report.speeds import speed_cell
from sparq_perf.fidelity_report.verdict import Answer, answer, asked_words
from sparq_perf.records.fidelity import Fidelity
from sparq_perf.records.schema import Line
from sparq_perf.report.settings import name_configs
from sparq_perf.report.wording import count, listed, tokens
from sparq_profiles import HardwareProfile, SparqConfig

SPEED_SCORES = ("step_time_s", "tokens_per_s", "step_speedup", "predicted_step_speedup")
SCORES = {name: shown for name, shown in SHOWN.items() if name not in SPEED_SCORES}


@dataclass(frozen=True, slots=True)
class Cell:
    """A score and its standard error, as the table shows them; empty where the records have none."""

    value: str
    stderr: str


@dataclass(frozen=True)
class Row:
    """One setting of the table; ``point`` and ``joined`` are None for dense."""

    point: SettingPoint | None
    joined: Joined | None
    implementation: str
    scores: tuple[Cell, ...]


@dataclass(frozen=True)
class BenchView:
    """One model, task and size.

    Attributes:
        id: for the page's anchors and charts.
        score_titles: the table's score columns.
        answers: one for each tolerance whose metric was measured.
    """

    id: str
    bench: Bench
    title: str
    facts: str
    score_titles: tuple[str, ...]
    rows: tuple[Row, ...]
    answers: tuple[Answer, ...]

    def joined_of(self, point: SettingPoint) -> Joined:
        """What stands beside one of the settings."""
        return next(joined for own, joined in self.settings if own == point)

    @property
    def dense_bytes(self) -> float:
        """Minimum traffic of dense attention in every layer, beside the settings' `Joined.analytic_bytes`."""
        return self.settings[0][1].analytic_bytes / self.settings[0][1].analytic_share

    @property
    def no_steps(self) -> str | None:
        """Why no setting has a measured step of the whole model; None where one has."""
        return None if any(j.steps for _, j in self.settings) else _shared(j.no_steps for _, j in self.settings)

    @property
    def no_attention(self) -> str | None:
        """Why no setting has a measured or predicted attention; None where one has."""
        return None if any(j.attention for _, j in self.settings) else _shared(j.no_attention for _, j in self.settings)

    @property
    def no_counted(self) -> str | None:
        """Why no setting has counted bytes; None where one has."""
        return None if any(j.counted for _, j in self.settings) else _shared(j.no_counted for _, j in self.settings)

    @property
    def settings(self) -> tuple[tuple[SettingPoint, Joined], ...]:
        """The settings with what stands beside them, dense left out."""
        return tuple((row.point, row.joined) for row in self.rows if row.point is not None and row.joined is not None)


@dataclass(frozen=True)
class FidelityView:
    """The page's content.

    Attributes:
        headline_notes: how sure it is, and what it was measured on; empty without an answer.
        unanswered: tolerances that no bench has a score for.
        cautions: what weakens every number of the page.
        facts: provenance, name and value.
    """

    models: str
    headline: str
    headline_notes: str
    tolerances: tuple[Tolerance, ...]
    benches: tuple[BenchView, ...]
    unanswered: tuple[str, ...]
    cautions: tuple[str, ...]
    sources: tuple[Source, ...]
    facts: tuple[tuple[str, str], ...]
    names: Mapping[SparqConfig | None, str]
    maps: tuple[MapView, ...] = ()


def build_view(
    lines: Sequence[Line],
    *,
    beside: Sequence[Line] = (),
    tolerances: Sequence[Tolerance] = (),
    hardware: HardwareProfile | None = None,
    sources: Sequence[Source] = (),
    command: str | None = None,
) -> FidelityView:
    """The view of fidelity lines, and of what they and ``beside`` hold about speed and bytes.

    ``tolerances``: several usual ones where none is given. ``command``: that made the page; None where it is unknown.
    """
    every = [*lines, *beside]
    fidelity = [line for line in lines if isinstance(line, Fidelity)]
    points = points_of(lines)
    names = name_configs([point.config for point in points])
    joiner = Joiner(every, hardware)
    chosen = tuple(tolerances) or DEFAULT_TOLERANCES
    benches = tuple(
        _bench_view(f"bench-{index}", bench, own, fidelity, joiner, chosen, names)
        for index, (bench, own) in enumerate(by_bench(points).items())
    )
    answered = {a.asked for view in benches for a in view.answers}
    missing = [str(tolerance) for tolerance in tolerances if asked_words(tolerance) not in answered]
    unused = joiner.unused(points)
    headline, headline_notes = _headline(benches)
    return FidelityView(
        models=listed(dict.fromkeys(line.model for line in fidelity)),
        headline=headline,
        headline_notes=headline_notes,
        tolerances=chosen,
        benches=benches,
        unanswered=tuple(missing),
        cautions=(*_cautions(benches), *([unused] if unused else [])),
        sources=tuple(sources),
        facts=provenance_facts(fidelity, hardware, command),
        names=names,
        maps=build_maps(lines),
    )


def _bench_view(
    name: str,
    bench: Bench,
    points: Sequence[SettingPoint],
    lines: Iterable[Fidelity],
    joiner: Joiner,
    tolerances: Sequence[Tolerance],
    names: Mapping[SparqConfig | None, str],
) -> BenchView:
    dense = next((line for line in reversed(list(lines)) if line.config is None and Bench.of(line) == bench), None)
    shown = [title for title in SCORES if any(title in point.scores for point in points)]
    ordered = sorted(points, key=lambda point: (-point.transfer_ratio, point.config.rank, point.config.top_k))
    rows = [Row(None, None, dense.implementation, _cells(dense.scores, dense.stderr, shown))] if dense else []
    rows += [Row(p, joiner.of(p), "", _cells(p.scores, p.stderr, shown)) for p in ordered]
    answers = tuple(
        answer(recommend(points, tolerance), bench, names)
        for tolerance in tolerances
        if any(loss_of(point, tolerance.metric) for point in points)
    )
    return BenchView(
        id=name,
        bench=bench,
        title=f"{bench.task}, {tokens(bench.context)} tokens of context",
        facts=(
            f"{bench.model}: {count(bench.n_examples, 'example')} of {bench.new_tokens} decode steps each, "
            f"{bench.dtype} on {bench.device}, seed {bench.seed}."
        ),
        score_titles=tuple(SCORES[title][0] for title in shown),
        rows=tuple(rows),
        answers=answers,
    )


def _shared(reasons: Iterable[str | None]) -> str:
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason)) or "no setting was measured"


def _cells(scores: Mapping[str, float], stderr: Mapping[str, float], names: Iterable[str]) -> tuple[Cell, ...]:
    cells = []
    for name in names:
        form = SCORES[name][1]
        value = form.format(scores[name]) if name in scores else ""
        # An error has no sign, also where its value is a difference.
        error = form.replace("+", "").format(stderr[name]) if value and stderr.get(name) else ""
        cells.append(Cell(value, error))
    return tuple(cells)


def _headline(benches: Sequence[BenchView]) -> tuple[str, str]:
    """The first answer of the first bench that has one; how sure it is and what it was measured on."""
    if not benches:
        return "No setting was measured: the records hold dense attention only.", ""
    found = next(((view, view.answers[0]) for view in benches if view.answers), None)
    if found is None:
        n_settings = sum(len(view.settings) for view in benches)
        return f"{count(n_settings, 'setting')} measured, none by a tolerance's metric.", ""
    bench, first = found
    notes = [*first.notes, *_speed_notes(bench, first.point)] if first.point is not None else []
    return first.headline, " ".join((*notes, f"Measured on {bench.title}. {bench.facts}"))


def _speed_notes(bench: BenchView, point: SettingPoint) -> Iterable[str]:
    joined = bench.joined_of(point)
    for what, speedups in (("The step of the whole model", joined.steps), ("Attention alone", joined.attention)):
        cell = speed_cell(speedups)
        if cell.measured:
            beside = f"; {cell.predicted}" if cell.predicted else ""
            yield f"{what} is {cell.measured} as fast as dense ({cell.where}{beside})."


def _cautions(benches: Sequence[BenchView]) -> list[str]:
    said = []
    single = [view.title for view in benches if view.bench.n_examples == 1]
    if single:
        said.append(f"One example only, so no standard errors and no sure recommendation: {listed(single)}.")
    alone = [view.title for view in benches if all(row.point is not None for row in view.rows)]
    if alone:
        said.append(f"No dense line to judge perplexity and accuracy by: {listed(alone)}.")
    return said
