"""Prints counted and analytic bytes: a table for each shape, what each K layout costs, and what does not agree."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sparq_perf.measure.counted_traffic import CountedStep, LayoutCost, layout_costs

# Column → width: the tables stand one below the other and should line up, in 80 characters.
FIRST = 27
STEPS = {"counted\nKB": 8, "analytic\nKB": 8, "differs\n%": 7, "sectors\nKB": 8, "ratio": 6, "moved\nKB": 8}
LAYOUTS = {"counted\nKB": 8, "requests\nKB": 8, "": 7, "sectors\nKB": 8, "ratio": 6}
LEGEND = """\
counted   what lanes read and write; analytic: the same by the formulas
sectors   distinct ones of 32 bytes, each launch: what must move at least once
requests  sectors as often as a program's instructions ask for them
ratio     sectors to counted bytes; of a layout, its sectors to two_copies'
moved     what the formulas expect DRAM to move"""

Row = tuple[str, ...]


def print_steps(steps: Sequence[CountedStep], tolerance: float) -> None:
    """All of it, on stdout; steps of one shape must follow each other."""
    console = Console(highlight=False)
    for title, group in groupby(steps, lambda step: step.case.title):
        its = list(group)
        console.print(_table("", STEPS, _step_rows(its), title))
        costs = layout_costs(its)
        if len(costs) > 1:
            console.print(_table("SparQ, all steps", LAYOUTS, map(_cost_row, costs)))
    console.print(LEGEND, style="dim", markup=False)
    for line in verdict(steps, tolerance):
        console.print(line, markup=False, soft_wrap=True)  # one line each, for who searches them


def verdict(steps: Sequence[CountedStep], tolerance: float) -> list[str]:
    """What does not agree, a line each, and how many steps do."""
    lines = []
    for step in steps:
        where = f"{step.implementation} {step.step}, {step.k_layout}, {step.case.title}"
        if step.difference is None or abs(step.difference) > tolerance:
            stated = f"{step.analytic_bytes:,.0f} bytes stated, {step.counted_bytes:,} counted"
            lines.append(f"DIFFERS        {where}: {stated}")
        lines += [f"OUT OF BOUNDS  {where}: {report}" for report in step.out_of_bounds]
    agreeing = sum(step.holds(tolerance) for step in steps)
    return [*lines, f"{agreeing} of {len(steps)} steps agree within {tolerance:.3g} of the counted bytes, in bounds"]


def _table(first: str, columns: Mapping[str, int], rows: Iterable[Row], title: str | None = None) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=0, title=title, title_justify="left")
    table.add_column(first, min_width=FIRST, no_wrap=True, vertical="bottom")
    for column, width in columns.items():
        table.add_column(column, justify="right", min_width=width, no_wrap=True, vertical="bottom")
    for row in rows:
        table.add_row(*row)
    return table


def _step_rows(steps: Iterable[CountedStep]) -> Iterable[Row]:
    """A heading for each implementation and layout, and below it its steps."""
    for (name, k_layout), its in groupby(steps, lambda step: (step.implementation, step.k_layout)):
        yield (f"{name} {k_layout}",)
        for step in its:
            yield (
                f"  {step.step}",
                _kb(step.counted_bytes),
                "not named" if step.analytic is None else _kb(step.analytic_bytes),
                "" if step.difference is None else f"{step.difference * 100:+.2f}",
                _kb(step.unique_sector_bytes),
                "" if step.sector_ratio is None else f"{step.sector_ratio:.2f}×",
                _kb(step.moved_bytes),
            )


def _cost_row(cost: LayoutCost) -> Row:
    return (
        f"{cost.implementation} {cost.k_layout}",
        _kb(cost.counted_bytes),
        _kb(cost.requested_bytes),
        "",
        _kb(cost.unique_sector_bytes),
        "" if cost.ratio is None else f"{cost.ratio:.2f}×",
    )


def _kb(size_bytes: float) -> str:
    return f"{size_bytes / 1e3:,.{1 if size_bytes < 1e7 else 0}f}"
