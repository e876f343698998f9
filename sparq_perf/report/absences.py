"""What was not measured and what to be careful with, each with its reason."""

from sparq_perf.records.schema import (
    CalibrationLine,
    CeilingsLine,
    Counted,
    Dram,
    End,
    Energy,
    Line,
    Measurement,
    PassName,
    Run,
    StepProfile,
)
from sparq_perf.report.energies import why_no_energy
from sparq_perf.report.evidence import build_evidence
from sparq_perf.report.provenance import Provenance
from sparq_perf.report.reasons import NO_RECORD, merged, why_no_line, why_no_record
from sparq_perf.report.setups import latest
from sparq_perf.report.step_bytes import why_no_dram
from sparq_perf.report.throttling import throttling_caution
from sparq_perf.report.wording import count, listed, percent

# Bandwidth that moves more than this between the start and the end of a run makes its timings doubtful.
DRIFT_LIMIT = 0.05


def not_measured(lines: list[Line], measurements: list[Measurement]) -> tuple[tuple[str, str], ...]:
    """Pairs of what is absent and why; empty where everything is there."""
    absent = []
    absent += _by_pass(lines, measurements)
    told = {reason for _, reason in absent}
    for instrument in build_evidence(lines).instruments:
        if instrument.reason is not None and instrument.reason not in told:
            absent.append((instrument.name, instrument.reason))
    kinds = {type(line) for line in lines}
    for kind, what in (
        (Run, "Device, versions and command"),
        (CeilingsLine, "Device ceilings"),
        (CalibrationLine, "Calibrated time models"),
    ):
        if kind not in kinds:
            absent.append((what, NO_RECORD))
    if StepProfile not in kinds:
        absent.append(("Time per step", why_no_record(lines, "profile")))
    fitted = {line.implementation for line in lines if isinstance(line, CalibrationLine)}
    unfitted = sorted({m.implementation for m in measurements} - fitted)
    if fitted and unfitted:
        absent.append((f"Time model of {listed(unfitted)}", "no calibration was recorded for it"))
    missing = _configurations_missing(lines)
    if missing:
        absent.append((f"{count(missing, 'planned configuration')}", "the run ended before they were measured"))
    return tuple(absent)


def _by_pass(lines: list[Line], measurements: list[Measurement]) -> list[tuple[str, str]]:
    """What each instrument's pass left out, the same reason once with how many measurements it is of."""
    energies = {key: why_no_energy(line) for key, line in latest(lines, Energy).items()}
    dram = {key: why_no_dram(line.dram) for key, line in latest(lines, Dram).items()}
    counted = {key: str(line.absence) if line.absence else None for key, line in latest(lines, Counted).items()}
    passes: tuple[tuple[str, PassName, dict[str, str | None]], ...] = (
        ("Energy", "nvml", energies),
        ("DRAM bytes", "counters", dram),
        ("Counted bytes", "counted", counted),
    )
    absent = []
    for what, name, said in passes:
        without = why_no_record(lines, name)
        unsaid = {m.key: why_no_line(m) if said else without for m in measurements if m.key not in said}
        reasons = {key: why for key, why in (said | unsaid).items() if why is not None}
        for reason in merged(reasons):
            of = count(len(said | unsaid), "measurement")
            absent.append((f"{what} ({len(reason.keys)} of {of})", reason.text))
    return absent


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
    throttled = throttling_caution(measurements)
    if throttled is not None:
        found.append(throttled)
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
