"""Runs to series: which numbers of base and candidate belong together, and which cannot be compared."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sparq_perf.gate.metrics import TITLES, Metric
from sparq_perf.gate.runs import ProcessRun
from sparq_perf.gate.series import Series
from sparq_perf.gate.settings import GateSettings
from sparq_perf.gate.values import Configuration, Value

MISSING = Value("absent", why="the configuration is missing")


@dataclass(slots=True)
class Assembly:
    """What there is to judge, and what is left out.

    Attributes:
        keys: of base's configurations, in the order first recorded.
        unmatched: why configurations have nothing to be compared with, by key.
        absent: by metric, why base does not have it, and for how many configurations.
        excluded: by the settings.
    """

    keys: tuple[str, ...]
    series: list[Series] = field(default_factory=list)
    unmatched: dict[str, str] = field(default_factory=dict)
    absent: dict[Metric, Counter[str]] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Numbers:
    """One configuration and metric: what every process says; of pairs, those of equal index are one."""

    base: tuple[Value, ...]
    candidate: tuple[Value, ...]


_Gather = Callable[[str, Metric], _Numbers]
_Build = Callable[[str, Metric, _Numbers], Series]


def expected_tests(base: Sequence[ProcessRun], settings: GateSettings) -> list[tuple[str, Metric]]:
    """Every configuration and metric that base measured, and that must therefore be judged."""
    return [
        (key, metric)
        for run in base
        for key, configuration in run.configurations.items()
        for metric in settings.metrics
        if not settings.excludes(key) and configuration.value(metric).state in ("valid", "refused")
    ]


def assemble_pairs(
    pairs: Sequence[tuple[ProcessRun, ProcessRun]],
    settings: GateSettings,
    spreads: Mapping[tuple[str, Metric], float],
    invalid: tuple[str, ...],
) -> Assembly:
    """Series of pairs; a pair that measured other configurations says nothing of this one.

    ``invalid`` holds for all of them: why no verdict can be given.
    """

    def gather(key: str, metric: Metric) -> _Numbers:
        told = [(run.configurations[key], other) for run, other in pairs if key in run.configurations]
        return _Numbers(
            tuple(configuration.value(metric, paired=True) for configuration, _ in told),
            tuple(_value(other, key, metric, paired=True) for _, other in told),
        )

    def build(key: str, metric: Metric, numbers: _Numbers) -> Series:
        values = list(zip(numbers.base, numbers.candidate, strict=True))
        valid = [(b.value, c.value) for b, c in values if b.value is not None and c.value is not None]
        why, remarks = _left_out([b if b.value is None else c for b, c in values], "pairs of processes")
        few = bool(why) and len(valid) < settings.min_pairs
        return Series(
            key=key,
            metric=metric,
            base=tuple(b for b, _ in valid),
            candidate=tuple(c for _, c in valid),
            invalid=invalid or _faults(metric, numbers) or (why if few else ()),
            aa_spread=spreads.get((key, metric)),
            remarks=remarks,
        )

    return _assemble([run for run, _ in pairs], [run for _, run in pairs], settings, gather, build)


def assemble_stored(
    base: Sequence[ProcessRun], candidate: Sequence[ProcessRun], settings: GateSettings, invalid: tuple[str, ...]
) -> Assembly:
    """Series of runs that are no pairs; ``invalid`` as for `assemble_pairs`."""

    def gather(key: str, metric: Metric) -> _Numbers:
        def arm(runs: Sequence[ProcessRun]) -> tuple[Value, ...]:
            return tuple(_value(run, key, metric) for run in runs if key in run.configurations)

        return _Numbers(arm(base), arm(candidate) or (MISSING,))

    def build(key: str, metric: Metric, numbers: _Numbers) -> Series:
        arms = [tuple(one.value for one in arm if one.value is not None) for arm in (numbers.base, numbers.candidate)]
        why, remarks = _left_out([*numbers.base, *numbers.candidate], "runs")
        few = not all(arms)
        return Series(
            key=key,
            metric=metric,
            base=arms[0],
            candidate=arms[1],
            invalid=invalid or _faults(metric, numbers) or (why if few else ()),
            remarks=remarks,
        )

    return _assemble(base, candidate, settings, gather, build)


def _assemble(
    base: Sequence[ProcessRun],
    candidate: Sequence[ProcessRun],
    settings: GateSettings,
    gather: _Gather,
    build: _Build,
) -> Assembly:
    all_keys = dict.fromkeys(key for run in base for key in run.configurations)
    assembly = Assembly(
        keys=tuple(key for key in all_keys if not settings.excludes(key)),
        excluded=tuple(key for key in all_keys if settings.excludes(key)),
    )
    for key in assembly.keys:
        for metric in settings.metrics:
            numbers = gather(key, metric)
            states = {one.state for one in numbers.base}
            if states == {"absent"}:
                reasons = assembly.absent.setdefault(metric, Counter())
                reasons[numbers.base[0].why] += 1
            elif states == {"wrong"} and all(one.state == "valid" for one in numbers.candidate):
                assembly.unmatched[key] = f"works in candidate only; in base: {numbers.base[0].why}"
            else:
                assembly.series.append(build(key, metric, numbers))
    for run in candidate:
        for key in run.configurations:
            if key not in all_keys and not settings.excludes(key):
                assembly.unmatched[key] = "only in candidate"
    return assembly


def _value(run: ProcessRun, key: str, metric: Metric, *, paired: bool = False) -> Value:
    configuration: Configuration | None = run.configurations.get(key)
    return MISSING if configuration is None else configuration.value(metric, paired=paired)


def _faults(metric: Metric, numbers: _Numbers) -> tuple[str, ...]:
    """What speaks against the whole series, whatever its numbers are."""
    faults = []
    for name, arm in (("base", numbers.base), ("candidate", numbers.candidate)):
        missing = [one for one in arm if one.state == "absent"]
        if missing:
            counted = f"{len(missing)} of {len(arm)} runs"
            faults.append(f"{name} has no {TITLES[metric]} in {counted}: {missing[0].why}")
        faults += dict.fromkeys(f"{name}: {one.why}" for one in arm if one.state == "wrong")
    means = dict.fromkeys(one.by for one in (*numbers.base, *numbers.candidate) if one.state == "valid")
    if len(means) > 1:
        faults.append(f"measured by different means: {'; '.join(means)}")
    return tuple(faults)


def _left_out(values: Sequence[Value], what: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What refused values mean where too few are left, and where enough are."""
    refused = [one.why for one in values if one.state == "refused"]
    if not refused:
        return (), ()
    (most, _), *_ = Counter(refused).most_common(1)
    counted = f"{len(refused)} of {len(values)} {what}"
    return (f"too few samples: {counted} are not valid: {most}",), (f"{counted} left out: {most}",)
