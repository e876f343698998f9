"""What was not measured and what to be careful with, each with its reason."""

from collections import Counter

from sparq_perf.records.schema import (
    CalibrationLine,
    CeilingsLine,
    End,
    Instrument,
    Line,
    Measurement,
    Run,
    StepProfile,
)
from sparq_perf.report.provenance import Provenance
from sparq_perf.report.wording import count, listed, percent

# Bandwidth that moves more than this between the start and the end of a run makes its timings doubtful.
DRIFT_LIMIT = 0.05


def not_measured(lines: list[Line], measurements: list[Measurement]) -> tuple[tuple[str, str], ...]:
    """Pairs of what is absent and why; empty where everything is there."""
    absent = []
    reasons = Counter(m.energy_reason for m in measurements if m.energy_reason is not None)
    for reason, n in reasons.most_common():
        absent.append((f"Energy ({n} of {count(len(measurements), 'measurement')})", reason))
    for instrument in latest_instruments(lines):
        if not instrument.available and instrument.reason is not None:
            absent.append((instrument.name, instrument.reason))
    kinds = {type(line) for line in lines}
    for kind, what in (
        (Run, "Device, versions and command"),
        (CeilingsLine, "Device ceilings"),
        (CalibrationLine, "Calibrated time models"),
        (StepProfile, "Time per step"),
    ):
        if kind not in kinds:
            absent.append((what, "this run holds no such record"))
    fitted = {line.implementation for line in lines if isinstance(line, CalibrationLine)}
    unfitted = sorted({m.implementation for m in measurements} - fitted)
    if fitted and unfitted:
        absent.append((f"Time model of {listed(unfitted)}", "no calibration was recorded for it"))
    missing = _configurations_missing(lines)
    if missing:
        absent.append((f"{count(missing, 'planned configuration')}", "the run ended before they were measured"))
    return tuple(absent)


def latest_instruments(lines: list[Line]) -> tuple[Instrument, ...]:
    """The instruments that the last run or resumption asked."""
    runs = [line for line in lines if isinstance(line, Run)]
    return runs[-1].environment.instruments if runs else ()


def cautions(lines: list[Line], measurements: list[Measurement], provenance: Provenance) -> tuple[str, ...]:
    """Sentences that a reader must see beside the verdict."""
    found = []
    runs = provenance.runs
    if not runs:
        found.append("The records hold no run line, so the device and versions behind them are unknown.")
    devices = list(dict.fromkeys(run.environment.device for run in runs))
    if len(devices) > 1:
        found.append(f"The records come from more than one device: {listed(devices)}. Do not compare across them.")
    ends = [line for line in lines if isinstance(line, Run | End)]
    last = ends[-1] if ends else None
    if isinstance(last, End) and last.outcome != "complete":
        found.append(f"The run was {last.outcome} with {count(last.n_missing, 'configuration')} missing.")
    elif isinstance(last, Run):
        found.append("The run recorded no end: it was killed, or is still going on. Configurations may be missing.")
    drift = provenance.bandwidth_drift
    if drift is not None and abs(drift) > DRIFT_LIMIT:
        found.append(f"Memory bandwidth changed by {percent(drift, signed=True)} between start and end of the run.")
    bad = sum(m.status != "ok" for m in measurements)
    if bad:
        verb = "was" if bad == 1 else "were"
        found.append(
            f"{count(bad, 'measurement')} could not be trusted or failed and {verb} left out of every "
            "number of this verdict; the table and the provenance section give the reasons."
        )
    return tuple(found)


def _configurations_missing(lines: list[Line]) -> int:
    ends = [line for line in lines if isinstance(line, Run | End)]
    last = ends[-1] if ends else None
    return last.n_missing if isinstance(last, End) else 0
