"""The verdict in words: where SparQ pays and where not, from which length on, against which baseline."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sparq_perf.report.accuracy import Accuracy
from sparq_perf.report.settings import Geometry
from sparq_perf.report.speedups import Outcome, Series, SpeedupPoint, pays_from_length
from sparq_perf.report.verdict_words import (
    baseline_sentence,
    best_sentence,
    headline,
    memory_sentence,
    tally_sentence,
)
from sparq_perf.report.wording import (
    listed,
    percent,
    times_faster,
    token_range,
    tokens,
)
from sparq_profiles.shape import SparqConfig
from sparq_profiles.suite import CacheState


@dataclass(frozen=True, slots=True)
class SeriesVerdict:
    """What one setting's series says.

    Attributes:
        pays_from: shortest measured length from which on every comparison is faster, or None.
        phrase: the same in words, for grouping settings that behave alike.
        caution: lengths without a valid comparison; empty where there are none.
    """

    series: Series
    config_name: str
    pays_from: int | None
    phrase: str
    caution: str


@dataclass(frozen=True, slots=True)
class GeometryVerdict:
    """One model geometry in one cache state: each finding with the settings it holds for."""

    geometry: Geometry
    cache_state: CacheState
    findings: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """One headline number: its label, its value and what it was of."""

    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first section of the page; ``absent`` says why no speedup could be judged."""

    headline: str
    sentences: tuple[str, ...]
    tiles: tuple[Tile, ...]
    geometries: tuple[GeometryVerdict, ...]
    series: tuple[SeriesVerdict, ...]
    absent: str | None


def judge_series(series: Series, config_name: str) -> SeriesVerdict:
    """Where one setting pays; only a speedup whose whole interval lies above 1 counts as paying."""
    points = series.points
    pays_from = pays_from_length(points)
    caution = "; ".join(f"no valid comparison at {tokens(gap.seq_len)}: {gap.reason}" for gap in series.gaps)
    return SeriesVerdict(series, config_name, pays_from, _phrase(points, pays_from), caution)


def _phrase(points: tuple[SpeedupPoint, ...], pays_from: int | None) -> str:
    if not points:
        return "No valid comparison"
    lengths = [point.seq_len for point in points]
    span_text = f"{token_range(lengths)} tokens"
    at: dict[Outcome, list[str]] = {"faster": [], "slower": [], "unclear": []}
    for point in points:
        at[point.outcome].append(tokens(point.seq_len))
    if pays_from == lengths[0]:
        return f"Pays at {'the only length' if len(lengths) == 1 else 'every length'} measured ({span_text})"
    below = []
    if at["slower"]:
        below.append(f"slower at {listed(at['slower'])}")
    if at["unclear"]:
        below.append(f"no clear difference at {listed(at['unclear'])}")
    rest = "; ".join(below)
    if pays_from is not None:
        longest = tokens(lengths[-1])
        return f"Pays from {tokens(pays_from)} tokens on, up to the longest measured, {longest} ({rest})"
    if at["faster"]:
        return f"Pays at {listed(at['faster'])} tokens but not at the longest measured ({rest})"
    return f"Does not pay at any length measured ({span_text}: {rest})"


def build_verdict(
    series: tuple[Series, ...],
    names: Mapping[SparqConfig | None, str],
    accuracy: Accuracy,
    absent: str | None,
) -> Verdict:
    """The whole verdict; ``absent`` is why there is no comparison, None where there is one."""
    judged = tuple(judge_series(s, names[s.setting.config]) for s in series)
    points = [point for s in series for point in s.points]
    tally = f"{accuracy.n_valid} valid, {accuracy.n_invalid} invalid, {accuracy.n_failed} failed"
    validity = f"Measurements: {tally}."
    tiles = (
        *_speedup_tiles(points, names),
        _accuracy_tile(accuracy),
        Tile(
            "Measurements",
            f"{accuracy.n_valid:,} valid",
            f"{accuracy.n_invalid} invalid, {accuracy.n_failed} failed",
        ),
    )
    if not points:
        reason = absent or "Nothing could be compared."
        sentences = tuple(s for s in (accuracy.sentence, validity) if s)
        return Verdict("No verdict on SparQ", sentences, tiles, (), judged, reason)
    best = max(points, key=lambda p: p.speedup.expected)
    sentences = (
        tally_sentence(points),
        best_sentence(best, names),
        baseline_sentence(points),
        accuracy.sentence,
        validity,
        memory_sentence(points),
    )
    return Verdict(headline(points), tuple(filter(None, sentences)), tiles, _by_geometry(judged), judged, None)


def _speedup_tiles(points: list[SpeedupPoint], names: Mapping[SparqConfig | None, str]) -> tuple[Tile, ...]:
    if not points:
        return (Tile("Best speedup", "none", "nothing could be compared"),)
    best = max(points, key=lambda p: p.speedup.expected)
    shape = best.best.sparq.shape
    faster = sum(point.outcome == "faster" for point in points)
    of = (
        f"{names[best.setting.config]}, batch {shape.batch}, {tokens(shape.seq_len)} tokens, {best.setting.cache_state}"
    )
    return (
        Tile("Best measured speedup", times_faster(best.speedup.expected), of),
        Tile("Clearly faster than dense", f"{faster} of {len(points)}", "configurations compared"),
    )


def _accuracy_tile(accuracy: Accuracy) -> Tile:
    label = "Median prediction error"
    if accuracy.median_error is None or accuracy.worst is None or accuracy.worst.error is None:
        return Tile(label, "none", "no valid measurement with a prediction")
    return Tile(label, percent(accuracy.median_error), f"worst {percent(accuracy.worst.error, signed=True)}")


def _by_geometry(judged: tuple[SeriesVerdict, ...]) -> tuple[GeometryVerdict, ...]:
    groups: dict[tuple[Geometry, CacheState], list[SeriesVerdict]] = defaultdict(list)
    for verdict in judged:
        setting = verdict.series.setting
        groups[setting.geometry, setting.cache_state].append(verdict)
    result = []
    for (geometry, cache_state), verdicts in sorted(groups.items(), key=lambda item: item[0]):
        by_phrase: dict[tuple[int, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for v in verdicts:
            # Settings that pay come first, those that pay earliest at the top.
            rank = v.pays_from if v.pays_from is not None else 2**62 + bool(not v.series.points)
            by_phrase[rank, v.phrase][v.config_name].append(v.series.setting.batch)
        findings = tuple(
            (
                phrase,
                "; ".join(f"{name} at batch {listed(map(str, batches))}" for name, batches in configs.items()),
            )
            for (_, phrase), configs in sorted(by_phrase.items(), key=lambda item: item[0])
        )
        result.append(GeometryVerdict(geometry, cache_state, findings))
    return tuple(result)
