"""Time per step from the profiler's pass, beside the prediction's steps: the bars, and what they leave out."""

from collections.abc import Mapping
from dataclasses import dataclass

from sparq_perf.records.schema import Line, Measurement, Run, StepProfile
from sparq_perf.report.reasons import why_no_record
from sparq_perf.report.setups import by_setup, contender, latest
from sparq_perf.report.step_details import StepDetail, build_detail, odd_steps
from sparq_perf.report.step_names import OTHER, in_order
from sparq_profiles.shape import SparqConfig


@dataclass(frozen=True, slots=True)
class StepBar:
    """One stacked bar: steps in the order they run, in seconds."""

    label: str
    source: str
    steps: tuple[tuple[str, float], ...]
    total_s: float


@dataclass(frozen=True, slots=True)
class StepGroup:
    """Bars and tables that share a geometry, batch, sequence length and cache state, so that their times compare."""

    name: str
    bars: tuple[StepBar, ...]
    details: tuple[StepDetail, ...]


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Every group, the most data first; ``absent`` says why there is none.

    Attributes:
        notes: steps that the profiler or the prediction alone has.
    """

    groups: tuple[StepGroup, ...]
    step_names: tuple[str, ...]
    notes: tuple[str, ...]
    absent: str | None


def build_step_times(
    lines: list[Line], measurements: Mapping[str, Measurement], names: Mapping[SparqConfig | None, str]
) -> StepTimes:
    """Group the step profiles, each bar followed by its prediction where the measurement carries one."""
    profiles = latest(lines, StepProfile).values()
    if not profiles:
        why = why_no_record(lines, "profile")
        return StepTimes((), (), (), f"Time per step was not measured: {why}.")
    kinds = {line.run_id: line.environment.device_kind for line in lines if isinstance(line, Run)}
    built = []
    for setup, members in by_setup(profiles, names):
        bars, details = [], []
        for p in members:
            label = contender(p, names)
            measurement = measurements.get(p.key)
            prediction = measurement.prediction if measurement else None
            bars.append(_bar(label, "profiled", {s.name: s.time_s for s in p.steps}, p.total_s))
            if prediction is not None:
                steps = {s.name: s.time_s for s in prediction.steps}
                bars.append(_bar(label, "predicted", steps, prediction.time_s.expected))
            details.append(build_detail(label, p, prediction, kinds.get(p.run_id)))
        built.append(StepGroup(setup.name, tuple(bars), tuple(details)))
    found = {name for group in built for bar in group.bars for name, _ in bar.steps}
    notes = odd_steps([detail for group in built for detail in group.details])
    return StepTimes(tuple(built), in_order(found), notes, None)


def _bar(label: str, source: str, steps: dict[str, float], total_s: float) -> StepBar:
    ordered = [(name, steps[name]) for name in in_order(set(steps))]
    rest = total_s - sum(steps.values())
    # A remainder below a thousandth is rounding; above, it is time that belongs to no named step.
    if rest > 1e-3 * total_s:
        ordered.append((OTHER, rest))
    return StepBar(label, source, tuple(ordered), total_s)
