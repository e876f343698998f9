"""Time per step from the profiler's pass, beside the prediction's steps."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sparq_perf.records.schema import Instrument, Measurement, StepProfile
from sparq_perf.report.settings import Geometry
from sparq_perf.report.wording import tokens
from sparq_profiles.shape import SparqConfig
from sparq_profiles.suite import CacheState

# The order in which a decode step runs them; steps of other names follow in alphabetical order.
STEP_ORDER = ("attend", "append", "score", "select", "gather", "mean_value")
OTHER = "outside named steps"


@dataclass(frozen=True, slots=True)
class StepBar:
    """One stacked bar: steps in the order they run, in seconds."""

    label: str
    source: str
    steps: tuple[tuple[str, float], ...]
    total_s: float


@dataclass(frozen=True, slots=True)
class StepGroup:
    """Bars that share a geometry, batch, sequence length and cache state, so that their times compare."""

    name: str
    bars: tuple[StepBar, ...]


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Every group, the longest sequence of the first geometry first; ``absent`` says why there is none."""

    groups: tuple[StepGroup, ...]
    step_names: tuple[str, ...]
    absent: str | None


def build_step_times(
    profiles: list[StepProfile],
    measurements: Mapping[str, Measurement],
    instruments: tuple[Instrument, ...],
    names: Mapping[SparqConfig | None, str],
) -> StepTimes:
    """Group the step profiles, each bar followed by its prediction where the measurement carries one."""
    if not profiles:
        return StepTimes((), (), _why_none(instruments))
    latest = {(p.key, p.implementation): p for p in profiles}
    groups: dict[tuple[Geometry, CacheState, int, int], list[StepProfile]] = defaultdict(list)
    for p in latest.values():
        groups[Geometry.of(p.model, p.shape), p.cache_state, p.shape.batch, -p.shape.seq_len].append(p)
    built = []
    for (geometry, cache_state, batch, negative_length), members in sorted(groups.items(), key=_largest_first):
        length = tokens(-negative_length)
        name = f"{geometry.model}, batch {batch}, {length} tokens, {cache_state} ({geometry.heads})"
        bars = []
        for p in sorted(members, key=lambda p: (p.config is not None, names[p.config], p.implementation)):
            label = f"{p.implementation}, {names[p.config]}" if p.config else p.implementation
            bars.append(_bar(label, "profiled", {s.name: s.time_s for s in p.steps}, p.total_s))
            measurement = measurements.get(p.key)
            if measurement is not None and measurement.prediction is not None:
                prediction = measurement.prediction
                steps = {s.name: s.time_s for s in prediction.steps}
                bars.append(_bar(label, "predicted", steps, prediction.time_s.expected))
        built.append(StepGroup(name, tuple(bars)))
    found = {name for group in built for bar in group.bars for name, _ in bar.steps}
    return StepTimes(tuple(built), _in_order(found), None)


def _largest_first(
    item: tuple[tuple[Geometry, CacheState, int, int], list[StepProfile]],
) -> tuple[int, tuple[Geometry, CacheState, int, int]]:
    """Sort key of a group: the most data first, for it is the one shown when the page opens."""
    geometry, _, batch, negative_length = item[0]
    return batch * negative_length * geometry.n_kv_heads * geometry.head_dim, item[0]


def _bar(label: str, source: str, steps: dict[str, float], total_s: float) -> StepBar:
    ordered = [(name, steps[name]) for name in _in_order(set(steps))]
    rest = total_s - sum(steps.values())
    # A remainder below a thousandth is rounding; above, it is time that belongs to no named step.
    if rest > 1e-3 * total_s:
        ordered.append((OTHER, rest))
    return StepBar(label, source, tuple(ordered), total_s)


def _in_order(names: set[str]) -> tuple[str, ...]:
    known = [name for name in STEP_ORDER if name in names]
    others = sorted(names - set(STEP_ORDER) - {OTHER})
    return (*known, *others, *([OTHER] if OTHER in names else []))


def _why_none(instruments: tuple[Instrument, ...]) -> str:
    for instrument in instruments:
        if instrument.name == "torch.profiler" and not instrument.available:
            return f"Time per step was not measured: torch.profiler is unavailable here ({instrument.reason})."
    return "Time per step was not measured: this run holds no profiler pass."
