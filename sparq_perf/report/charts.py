"""Every plotly figure of the page, each with a description for readers who cannot see it."""

from dataclasses import dataclass
from math import log2

from sparq_perf.report.accuracy import Accuracy
from sparq_perf.report.bandwidth_chart import bandwidth_figure
from sparq_perf.report.chart import Chart
from sparq_perf.report.energies import Energies
from sparq_perf.report.energy_chart import energy_figure
from sparq_perf.report.heatmap_chart import heatmap_figure
from sparq_perf.report.heatmaps import Heatmap
from sparq_perf.report.parity_chart import parity_figure
from sparq_perf.report.provenance import Provenance
from sparq_perf.report.roofline_chart import roofline_figure
from sparq_perf.report.speedup_chart import speedup_figure, speedup_range
from sparq_perf.report.speedups import Panel
from sparq_perf.report.step_chart import step_figure
from sparq_perf.report.step_times import StepTimes
from sparq_perf.report.timeline_chart import timeline_figure
from sparq_perf.report.timelines import Timeline, Timelines
from sparq_perf.report.view import ReportView
from sparq_perf.report.wording import count, listed, token_range


@dataclass(frozen=True, slots=True)
class Charts:
    """Every chart of the page; None or empty where the view says why there is nothing."""

    speedups: tuple[tuple[Panel, Chart | None], ...]
    parity: Chart | None
    roofline: Chart | None
    steps: tuple[Chart, ...]
    energies: tuple[Chart, ...]
    timelines: tuple[Chart, ...]
    heatmaps: tuple[Chart, ...]
    bandwidth: Chart | None

    @property
    def every(self) -> tuple[Chart, ...]:
        """All charts that exist."""
        panels = (chart for _, chart in self.speedups)
        chosen = (*self.steps, *self.energies, *self.timelines, *self.heatmaps)
        charts = (*panels, *chosen, self.parity, self.roofline, self.bandwidth)
        return tuple(chart for chart in charts if chart is not None)


def build_charts(view: ReportView) -> Charts:
    """The figures of a view."""
    return Charts(
        speedups=_speedups(view),
        parity=_parity(view.accuracy, view.implementations),
        roofline=_roofline(view),
        steps=_steps(view.step_times),
        energies=_energies(view.energies),
        timelines=_timelines(view.timelines),
        heatmaps=_heatmaps(view.heatmaps),
        bandwidth=_bandwidth(view.provenance),
    )


def _speedups(view: ReportView) -> tuple[tuple[Panel, Chart | None], ...]:
    charts: list[tuple[Panel, Chart | None]] = []
    for index, panel in enumerate(view.panels):
        lengths = [point.seq_len for series in panel.series for point in series.points]
        if not lengths:
            charts.append((panel, None))
            continue
        # One scale for all panels of a geometry: they are compared by eye.
        scale = speedup_range(p for p in view.panels if p.geometry == panel.geometry)
        name = f"{panel.config_name}, batch {panel.batch}"
        description = f"Speedup over dense at {token_range(lengths)} tokens: {panel.geometry.model}, {name}"
        charts.append((panel, Chart(f"speedup-{index}", name, description, speedup_figure(panel, scale))))
    return tuple(charts)


def _parity(accuracy: Accuracy, implementations: tuple[str, ...]) -> Chart | None:
    if not accuracy.points:
        return None
    description = f"Predicted against measured time of {count(len(accuracy.points), 'configuration')}"
    return Chart("parity", "Parity", description, parity_figure(accuracy.points, implementations))


def _roofline(view: ReportView) -> Chart | None:
    if not view.roofline.points:
        return None
    description = f"Roofline with {count(len(view.roofline.points), 'measured point')}"
    return Chart("roofline", "Roofline", description, roofline_figure(view.roofline, view.implementations))


def _steps(step_times: StepTimes) -> tuple[Chart, ...]:
    return tuple(
        Chart(f"steps-{i}", g.name, f"Time per step: {g.name}", step_figure(g, step_times.step_names))
        for i, g in enumerate(step_times.groups)
    )


def _energies(energies: Energies) -> tuple[Chart, ...]:
    return tuple(
        Chart(f"energy-{i}", g.name, f"Energy of one decode step: {g.name}", energy_figure(g))
        for i, g in enumerate(energies.groups)
        if any(row.per_token_j is not None for row in g.rows)
    )


def _timelines(timelines: Timelines) -> tuple[Chart, ...]:
    def chart(index: int, item: Timeline) -> Chart:
        what = listed(track.title for track in item.tracks)
        return Chart(f"timeline-{index}", item.name, f"{what} over time: {item.name}", timeline_figure(item))

    return tuple(chart(index, item) for index, item in enumerate(timelines.items))


def _heatmaps(heatmaps: tuple[Heatmap, ...]) -> tuple[Chart, ...]:
    found = [abs(log2(cell.speedup)) for heatmap in heatmaps for cell in heatmap.cells if cell.speedup]
    # One colour scale for every choice, at least from half to twice the speed.
    reach = max([1.0, *found])
    return tuple(
        Chart(
            f"heatmap-{i}",
            h.name,
            f"Speedup by sequence length and batch: {h.name}",
            heatmap_figure(h, reach),
        )
        for i, h in enumerate(heatmaps)
    )


def _bandwidth(provenance: Provenance) -> Chart | None:
    if not provenance.bandwidth_start and not provenance.bandwidth_end:
        return None
    figure = bandwidth_figure(provenance)
    return Chart("bandwidth", "Read bandwidth", "Read bandwidth by buffer size", figure)
