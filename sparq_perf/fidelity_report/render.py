"""The fidelity page as one HTML file that needs nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sparq_perf.fidelity_report.attention_map_charts import build_map_charts, map_keys
from sparq_perf.fidelity_report.charts import speed_charts, transfer_charts
from sparq_perf.fidelity_report.heatmaps import layer_charts
from sparq_perf.fidelity_report.marks import family_keys
from sparq_perf.fidelity_report.speeds import speed_cell
from sparq_perf.fidelity_report.verdict import transfer_words
from sparq_perf.fidelity_report.view import BenchView, FidelityView
from sparq_perf.report import wording
from sparq_perf.report.chart import Chart
from sparq_perf.report.legends import Key
from sparq_perf.report.page import render_page, write_page

_FILTERS: dict[str, Callable[..., str]] = {
    "transfers": transfer_words,
    "count": wording.count,
    "data_size": lambda value: wording.si(value, "B"),
}
FRONT = Key("Pareto front: no setting is cheaper and loses less; its labels are r, k", "muted", "line")


@dataclass(frozen=True)
class BenchCharts:
    """One bench with its charts; empty tuples where there is nothing to draw."""

    view: BenchView
    keys: tuple[Key, ...]
    transfers: tuple[Chart, ...]
    steps: tuple[Chart, ...]
    attention: tuple[Chart, ...]
    layers: tuple[Chart, ...]

    @property
    def every(self) -> tuple[Chart, ...]:
        """Those that exist."""
        return (*self.transfers, *self.steps, *self.attention, *self.layers)


def write_fidelity(view: FidelityView, path: Path, *, run_report: str | None = None) -> None:
    """Write the page; a reader of ``path`` sees the old file or the new one, never half.

    ``run_report``: the name of the report of the same records' times, written beside it; None without one.
    """
    write_page(render(view, run_report=run_report), path)


def render(view: FidelityView, *, run_report: str | None = None) -> str:
    """The whole page; ``run_report`` as for `write_fidelity`."""
    benches, maps = build_charts(view), build_map_charts(view.maps)
    return render_page(
        "sparq_perf.fidelity_report",
        "fidelity.html",
        styles=["fidelity.css"],
        figures=[*(chart for bench in benches for chart in bench.every), *(c for one in maps for c in one.every)],
        filters=_FILTERS,
        view=view,
        benches=benches,
        maps=maps,
        map_keys=map_keys(),
        run_report=run_report,
        speed_cell=speed_cell,
    )


def build_charts(view: FidelityView) -> tuple[BenchCharts, ...]:
    """The figures of each bench."""
    found = []
    for bench in view.benches:
        recommended = next((answer.point for answer in bench.answers if answer.point is not None), None)
        found.append(
            BenchCharts(
                view=bench,
                keys=(*family_keys([point for point, _ in bench.settings]), FRONT),
                transfers=transfer_charts(bench, view.names, view.tolerances),
                steps=speed_charts(bench, view.names, "step"),
                attention=speed_charts(bench, view.names, "attention"),
                layers=layer_charts(bench, view.names, recommended),
            )
        )
    return tuple(found)
