"""Settings within a tolerance, from fidelity records to what a sizing takes."""

from collections.abc import Sequence
from math import log
from pathlib import Path

from sparq_perf.fidelity.frontier import Bench, Loss, SettingPoint, by_bench, judge, loss_of, points_of
from sparq_perf.fidelity.tolerance import Tolerance
from sparq_perf.records.fidelity import Fidelity
from sparq_perf.records.store import read_lines
from sparq_perf.report.wording import count, listed
from sparq_profiles import ConfigError, ModelProfile, SparqConfig
from sparq_roofline.deployment.measured_settings import MeasuredLoss, MeasuredSetting, MeasuredSettings

GEOMETRY = ("n_layers", "n_heads", "n_kv_heads", "head_dim")


def measured_settings(path: Path, tolerance: Tolerance, model: ModelProfile, context: int) -> MeasuredSettings:
    """The settings measured on a model that are within a tolerance, best first among equally fast ones.

    Losses come from one bench: of those with the tolerance's score the one with the most examples, then the one whose
    context is nearest. Where no setting is within with its standard error, those whose mean is are taken, and told.

    Raises:
        RecordError: the file cannot be read.
        ConfigError: it has no fidelity of this model's geometry, of several such models, or no such score.
    """
    lines = [line for line in read_lines(path) if isinstance(line, Fidelity)]
    if not lines:
        raise ConfigError(f"--fidelity {path}: holds no fidelity: measure it with 'sparq-perf fidelity --out {path}'")
    points = _of_model(path, points_of(lines), lines, model)
    bench, scored = _bench(path, points, tolerance, context)
    losses = [(point, loss, judge(loss, tolerance)) for point, loss in scored]
    for wanted in ("within", "undecided"):
        found = [(point, loss) for point, loss, judgement in losses if judgement == wanted]
        if found:
            notes = () if wanted == "within" else (_undecided(tolerance, found, bench),)
            ordered = sorted(found, key=lambda one: (one[0].transfer_ratio, one[1].value))
            within = tuple(MeasuredSetting(point.config, _told(loss, tolerance, bench)) for point, loss in ordered)
            return MeasuredSettings(str(tolerance), len(losses), within, notes=notes)
    nearest, loss, _ = min(losses, key=lambda one: one[1].value)
    reason = (
        f"none of {count(len(losses), 'measured setting')} is within {tolerance}: the nearest, "
        f"{described(nearest.config)}, has {_told(loss, tolerance, bench)}"
    )
    return MeasuredSettings(str(tolerance), len(losses), (), reason)


def described(config: SparqConfig) -> str:
    """A setting in words."""
    return (
        f"r={config.rank} k={config.top_k} l={config.local_window}, mean of V {'on' if config.mean_value else 'off'}, "
        f"sum of {config.group_score}"
    )


def _of_model(
    path: Path, points: Sequence[SettingPoint], lines: Sequence[Fidelity], model: ModelProfile
) -> list[SettingPoint]:
    wanted = tuple(getattr(model, name) for name in GEOMETRY)
    found = [point for point in points if tuple(getattr(point.bench, name) for name in GEOMETRY) == wanted]
    if not points:
        raise ConfigError(f"--fidelity {path}: holds dense scores alone: measure settings with 'sparq-perf fidelity'")
    if not found:
        measured = dict.fromkeys(f"{line.model} ({_geometry(Bench.of(line))})" for line in lines)
        raise ConfigError(
            f"--fidelity {path}: was measured on {listed(measured)}, and {model.name} is sized ({_geometry(model)}): "
            "give the fidelity of the model that is sized"
        )
    names = list(dict.fromkeys(point.bench.model for point in found))
    if len(names) > 1:
        raise ConfigError(f"--fidelity {path}: holds {listed(names)} of one geometry: give the file of one model")
    return found


def _geometry(of: Bench | ModelProfile) -> str:
    return ", ".join(f"{name} {getattr(of, name)}" for name in GEOMETRY)


def _bench(
    path: Path, points: Sequence[SettingPoint], tolerance: Tolerance, context: int
) -> tuple[Bench, list[tuple[SettingPoint, Loss]]]:
    scored: dict[Bench, list[tuple[SettingPoint, Loss]]] = {}
    for bench, group in by_bench(points).items():
        known = [(point, loss) for point in group for loss in [loss_of(point, tolerance.metric)] if loss is not None]
        if known:
            scored[bench] = known
    if not scored:
        raise ConfigError(
            f"--tolerance {tolerance}: {path} holds no {tolerance.metric} of {points[0].bench.model} against dense"
        )
    best = min(scored, key=lambda bench: (-bench.n_examples, abs(log(bench.context / context)), -len(scored[bench])))
    return best, scored[best]


def _told(loss: Loss, tolerance: Tolerance, bench: Bench) -> MeasuredLoss:
    """The loss in the sense of the tolerance's limit."""
    value = 1 - loss.value if tolerance.metric == "agreement" else loss.value
    return MeasuredLoss(tolerance.metric, value, loss.stderr, bench.task, bench.n_examples, bench.context, bench.model)


def _undecided(tolerance: Tolerance, found: Sequence[tuple[SettingPoint, Loss]], bench: Bench) -> str:
    why = "their standard errors reach beyond it" if found[0][1].stderr is not None else "no standard error is known"
    return (
        f"the mean loss of {count(len(found), 'setting')} is within {tolerance}, and {why}: measure more than "
        f"{count(bench.n_examples, 'example')}"
    )
