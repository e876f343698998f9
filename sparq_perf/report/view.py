"""Everything the report says, as plain data: no HTML, no plotly."""

from dataclasses import dataclass

from sparq_perf.comparison import compare
from sparq_perf.records.schema import CalibrationLine, Imported, Line, Run, Subject
from sparq_perf.records.store import latest_measurements
from sparq_perf.report.absences import cautions, not_measured
from sparq_perf.report.accuracy import Accuracy, build_accuracy
from sparq_perf.report.energies import Energies, build_energies
from sparq_perf.report.evidence import Evidence, build_evidence
from sparq_perf.report.heatmaps import Heatmap, build_heatmaps
from sparq_perf.report.provenance import Provenance, build_provenance, starting_hardware
from sparq_perf.report.rooflines import Roofline, build_roofline
from sparq_perf.report.rows import Row, build_rows
from sparq_perf.report.settings import name_configs, where
from sparq_perf.report.speedups import Panel, build_panels, build_series, why_no_comparison
from sparq_perf.report.step_bytes import StepBytes, build_step_bytes
from sparq_perf.report.step_times import StepTimes, build_step_times
from sparq_perf.report.timelines import Timelines, build_timelines
from sparq_perf.report.verdict import Verdict, build_verdict
from sparq_perf.report.wording import listed, moment

UNKNOWN_DEVICE = "an unknown device"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A measurement that is invalid or failed, with its reasons."""

    name: str
    status: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportView:
    """The page's content, section by section.

    Attributes:
        device: the name in title and headline.
        suite: what was asked for; None where no run line says.
        measured_at: when the first run began; None where no run line says.
        implementations: in the order first measured: a stable order for colours.
        no_speedup: why neither speedups nor heatmaps exist, where they do not.
    """

    device: str
    suite: str | None
    measured_at: str | None
    implementations: tuple[str, ...]
    verdict: Verdict
    cautions: tuple[str, ...]
    panels: tuple[Panel, ...]
    no_speedup: str | None
    accuracy: Accuracy
    roofline: Roofline
    step_times: StepTimes
    step_bytes: StepBytes
    energies: Energies
    timelines: Timelines
    heatmaps: tuple[Heatmap, ...]
    rows: tuple[Row, ...]
    provenance: Provenance
    evidence: Evidence
    rejected: tuple[Rejected, ...]
    not_measured: tuple[tuple[str, str], ...]


def build_view(lines: list[Line]) -> ReportView:
    """The view of some record lines, whole or partial; of a configuration measured twice the later counts."""
    by_key = latest_measurements(lines)
    measurements = list(by_key.values())
    comparisons = {c.sparq.key: c for c in compare(lines)}
    fits = [line for line in lines if isinstance(line, CalibrationLine)]
    names = name_configs(
        [line.config for line in lines if isinstance(line, Subject)]
        + [point.config for fit in fits for point in fit.points]
    )
    series = build_series(lines)
    no_speedup = None if comparisons else why_no_comparison(measurements)
    accuracy = build_accuracy(measurements, names)
    provenance = build_provenance(lines, names)
    hardware = starting_hardware(lines)
    runs = [line for line in lines if isinstance(line, Run)]
    devices = dict.fromkeys(run.environment.device for run in runs)
    devices |= dict.fromkeys(line.device for line in lines if isinstance(line, Imported))
    return ReportView(
        device=listed(devices) or (hardware.title if hardware else UNKNOWN_DEVICE),
        suite=f"{runs[0].suite} ({runs[0].suite_title})" if runs else None,
        measured_at=moment(runs[0].time) if runs else None,
        implementations=tuple(dict.fromkeys(m.implementation for m in measurements)),
        verdict=build_verdict(series, names, accuracy, no_speedup),
        cautions=cautions(lines, measurements, provenance),
        panels=build_panels(series, names),
        no_speedup=no_speedup,
        accuracy=accuracy,
        roofline=build_roofline(measurements, hardware, names),
        step_times=build_step_times(lines, by_key, names),
        step_bytes=build_step_bytes(lines, by_key, names),
        energies=build_energies(lines, by_key, names),
        timelines=build_timelines(lines, names),
        heatmaps=build_heatmaps(lines, names),
        rows=build_rows(measurements, comparisons),
        provenance=provenance,
        evidence=build_evidence(lines),
        rejected=tuple(Rejected(where(m, names), m.status, m.reasons) for m in measurements if m.status != "ok"),
        not_measured=not_measured(lines, measurements),
    )
