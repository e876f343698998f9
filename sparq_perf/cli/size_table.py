"""A sizing as lines for a terminal."""

from itertools import groupby
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from sparq_perf.report.wording import significant
from sparq_roofline.deployment.choosing import Recommendation
from sparq_roofline.deployment.rows import Row, Setting
from sparq_roofline.deployment.sizing import Sizing
from sparq_roofline.interval import Interval

COLUMNS = (
    "",
    "GPUs",
    "batch",
    "ms/token",
    "range",
    "tok/s/GPU",
    "$/Mtok",
    "J/token",
    "attention",
    "step",
    "range",
    "wins from S",
    "from B",
)


def print_sizing(sizing: Sizing, page: Path | None) -> None:
    """Print the table, what is recommended and why, and what was assumed."""
    table, console = _table(sizing), Console()
    # A narrower terminal wraps lines, but no number is cut off.
    wide = Console(width=1000)
    needed = Measurement.get(wide, wide.options, table).maximum
    console = Console(width=max(console.width, needed), highlight=False)
    demand = sizing.demand
    wanted = [f"batch {demand.batch:,}" if demand.batch else "the largest batch that fits"]
    wanted += [f"{demand.tpot_s * 1e3:g} ms a token at most"] if demand.tpot_s else []
    console.print(
        f"{sizing.model}, weights {sizing.weights}, KV cache {sizing.kv}: {demand.context:,} tokens of context and "
        f"{demand.output:,} of output, steps of {demand.seq_len:,} tokens on average; {', '.join(wanted)}"
    )
    for line in _settings(sizing):
        console.print(line, soft_wrap=True)
    console.print(table)
    for line in (*_absences(sizing), *_recommendations(sizing), *_notes(sizing, page)):
        console.print(escape(line), soft_wrap=True)


def _settings(sizing: Sizing) -> list[str]:
    if sizing.setting is None:
        return [f"no SparQ: {sizing.setting_reason}"]
    measured = sizing.measured
    if measured is None:
        return [f"SparQ {_setting(sizing.setting)}"]
    return [
        f"SparQ: {len(measured.within)} of {measured.n_measured} measured settings are within {measured.tolerance}; "
        "each device and layout takes its fastest",
        *(f"  {_setting(taken)}, sum of {taken.group_score}; {taken.loss}" for taken in sizing.taken),
    ]


def _setting(setting: Setting) -> str:
    return (
        f"r={setting.rank} k={setting.top_k} l={setting.local_window}, mean of V "
        f"{'on' if setting.mean_value else 'off'}: {setting.transfer_ratio:.3f} of the dense transfers"
    )


def _table(sizing: Sizing) -> Table:
    chosen = {item.hardware: item for item in sizing.recommendations}
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for name, rows in groupby(sizing.rows, key=lambda row: row.hardware):
        table.add_row(name, style="bold")
        item = chosen.get(name)
        for row in rows if item else ():
            mark = "*" if item and item.k_layout == row.k_layout else " "
            own = f" r={row.rank} k={row.top_k}" if sizing.measured and row.rank else ""
            table.add_row(f" {mark}{row.k_layout or 'dense'}{own}", *_cells(row))
    return table


def _cells(row: Row) -> list[str]:
    if row.tpot_s is None or row.tokens_per_s_per_gpu is None:
        return ["–"] * (len(COLUMNS) - 1)
    sparq = row.attention == "sparq"
    assert row.attention_speedup is not None
    assert row.step_speedup is not None
    return [
        str(row.n_gpus),
        f"{row.batch:,}",
        f"{row.tpot_s.expected * 1e3:,.2f}",
        f"{row.tpot_s.lower * 1e3:,.1f}–{row.tpot_s.upper * 1e3:,.1f}",
        f"{row.tokens_per_s_per_gpu.expected:,.0f}",
        _known(row.usd_per_mtok),
        _known(row.energy_per_token_j),
        f"{row.attention_speedup.expected:.2f}×" if sparq else "",
        f"{row.step_speedup.expected:.2f}×" if sparq else "",
        f"{row.step_speedup.lower:.2f}–{row.step_speedup.upper:.2f}" if sparq else "",
        _whole(row.crossover_seq_len) if sparq else "",
        _whole(row.crossover_batch) if sparq else "",
    ]


def _known(value: Interval | None) -> str:
    return "?" if value is None else significant(value.expected)


def _whole(number: int | None) -> str:
    return "never" if number is None else f"{number:,}"


def _absences(sizing: Sizing) -> list[str]:
    """Why rows are empty, one line for each reason of a device."""
    lines, unpriced = [], []
    for name, group in groupby(sizing.rows, key=lambda row: row.hardware):
        rows = list(group)
        by_reason: dict[str, list[str]] = {}
        for row in rows:
            # Without a setting no SparQ row can be filled: that is said once, above the table.
            if row.batch is None and (row.rank is not None or row.k_layout is None):
                by_reason.setdefault(row.reasons["batch"], []).append(row.k_layout or "dense")
        for reason, names in by_reason.items():
            which = "" if len(names) == len(rows) else f" {', '.join(names)}"
            lines.append(f"{name}{which}: {reason}")
        unpriced += [name] if _unpriced(rows) else []
    if unpriced:
        lines.append(f"? no price is known for {', '.join(unpriced)}: give --price NAME=USD_PER_H")
    return lines


def _unpriced(rows: list[Row]) -> bool:
    return any(row.batch is not None and row.usd_per_mtok is None for row in rows)


def _recommendations(sizing: Sizing) -> list[str]:
    if not sizing.recommendations:
        return ["nothing fits: try more GPUs, fewer bytes a weight, a smaller batch or a shorter context"]
    lines = ["* recommended: the most tokens a second and GPU"]
    lines += [_recommendation(item) for item in sizing.recommendations]
    if len(sizing.recommendations) > 1:
        by_cost = sizing.ranked_by == "usd_per_mtok"
        rank = "cost a token" if by_cost else "tokens a second and GPU, since not all prices are known"
        lines.append(f"best by {rank}: {sizing.best}")
    return lines


def _recommendation(item: Recommendation) -> str:
    where = f"on {item.n_gpus} GPU{'s' if item.n_gpus > 1 else ''}"
    if item.attention == "dense":
        return f"  {item.hardware}: dense {where}: {item.why}"
    doubt = "" if item.certain else "; the lower end of the step's speedup is below 1"
    return f"  {item.hardware}: {item.k_layout} r={item.rank} k={item.top_k} {where}: {item.why}{doubt}"


def _notes(sizing: Sizing, page: Path | None) -> list[str]:
    lines = [f"note: {warning}" for warning in sizing.warnings]
    lines.append("predicted, not measured; assumed (docs/sizing.md):")
    lines += [f"  {item.name}: {item.value}" for item in sizing.assumptions]
    return [*lines, f"page: {page}"] if page else lines
