"""A run as one page of Markdown: what was found, in tables that need no browser, and how to measure it again."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence

from sparq_perf.comparison import Comparison, compare, workload_of
from sparq_perf.expectations import Verdict, rows
from sparq_perf.markdown import escape, table
from sparq_perf.records.schema import Dram, Line, Measurement, Run
from sparq_perf.records.store import latest_measurements
from sparq_perf.report.bytes_rows import BytesRow, bytes_rows
from sparq_profiles.suite import Workload

Unit = tuple[str, float]
EXPECTED = ("workload", "asked", "measured", "", "by")
PLACE = ("model", "batch", "tokens", "caches")
MEGA = 1e6
# A decode step's unit by kind of device.
UNITS = {"cpu": ("ms", 1e-3), "gpu": ("µs", 1e-6)}
COUNTERS = {"ncu": "Nsight Compute", "cupti": "CUPTI PM sampling", "gpm": "NVML GPM"}


def summary_page(lines: list[Line], summary: Sequence[str], verdicts: Sequence[Verdict]) -> str:
    """The page; a section that a run has nothing for is left out.

    Args:
        lines: of the run.
        summary: the run in some lines of text.
        verdicts: the suite's expectations against it.
    """
    titles = [line.suite_title for line in lines if isinstance(line, Run)]
    parts = [f"# {escape(titles[-1] if titles else 'Measurements')}", "\n".join(f"    {line}" for line in summary)]
    if verdicts:
        sources = dict.fromkeys(verdict.expectation.source for verdict in verdicts)
        cells = [[escape(cell) for cell in row] for row in rows(verdicts)]
        parts += [table(EXPECTED, cells), f"Expected by: {escape('; '.join(sources))}."]
    unit = UNITS[next((line.environment.device_kind for line in lines if isinstance(line, Run)), "cpu")]
    for section in (_bought(compare(lines), unit), _dense(lines, unit), _dram(lines), _made(lines)):
        parts += section
    return "\n\n".join(parts) + "\n"


def _bought(comparisons: list[Comparison], unit: Unit) -> list[str]:
    """Each setting by the fastest SparQ implementation, beside the fastest dense one."""
    fastest: dict[Workload, Comparison] = {}
    for comparison in comparisons:
        workload = workload_of(comparison.sparq)
        best = fastest.get(workload)
        if best is None or comparison.speedup.expected > best.speedup.expected:
            fastest[workload] = comparison
    if not fastest:
        return []
    head = [*PLACE, "r / k", "K", f"dense, {unit[0]}", f"SparQ, {unit[0]}", "speedup", "predicted"]
    cells = []
    for comparison in fastest.values():
        sparq, dense, speedup = comparison.sparq, comparison.dense, comparison.speedup
        config, predicted = sparq.config, comparison.predicted_speedup
        assert config is not None
        cells.append(
            [
                *_place(sparq),
                f"{config.rank} / {config.top_k}",
                escape(config.k_layout),
                f"{_time(dense, unit)} ({escape(dense.implementation)})",
                f"{_time(sparq, unit)} ({escape(sparq.implementation)})",
                f"{speedup.expected:.2f}× [{speedup.lower:.2f}, {speedup.upper:.2f}]",
                f"{predicted.expected:.2f}×" if predicted else "",
            ]
        )
    told = (
        "Medians of interleaved rounds; dense is the fastest valid one of its place; [95 % interval of both medians]."
    )
    return ["## What SparQ bought", told, table(head, cells, (1, 2))]


def _dense(lines: list[Line], unit: Unit) -> list[str]:
    """Every dense implementation where at least two were measured, and where each won."""
    places: dict[tuple[str, ...], dict[str, Measurement]] = {}
    for m in latest_measurements(lines).values():
        if m.config is None:
            places.setdefault(_place(m), {})[m.implementation] = m
    names = list(dict.fromkeys(name for found in places.values() for name in found))
    if len(names) < 2:
        return []
    won: Counter[str] = Counter()
    cells = []
    for place, found in places.items():
        valid = {name: m.median_s for name, m in found.items() if m.status == "ok" and m.median_s}
        best = min(valid, key=lambda name: valid[name]) if valid else None
        if best is not None:
            won[best] += 1
        cells.append([*place, *(_dense_cell(found.get(name), name == best, unit) for name in names)])
    told = ", ".join(f"{escape(name)} at {times}" for name, times in won.most_common())
    head = [*PLACE, *(f"{escape(name)}, {unit[0]}" for name in names)]
    numbers = (1, 2, *range(len(PLACE), len(head)))
    return ["## Which dense implementation won", f"Fastest: {told or 'none was valid'}.", table(head, cells, numbers)]


def _dense_cell(m: Measurement | None, best: bool, unit: Unit) -> str:
    if m is None:
        return ""
    if m.median_s is None or m.status == "failed":
        return "failed"
    told = _time(m, unit)
    return f"**{told}**" if best else told if m.status == "ok" else f"{told} (invalid)"


def _dram(lines: list[Line]) -> list[str]:
    """Bytes by the formulas beside those that a counter saw, step by step, where one did."""
    seen = {line.key: line for line in lines if isinstance(line, Dram) and line.dram.source is not None}
    if not seen:
        return []
    measurements = latest_measurements(lines)
    cells = []
    for key, line in seen.items():
        for row in bytes_rows(measurements.get(key), None, line.dram, None):
            if row.dram is not None:
                cells.append([*_place(line), _what(line), escape(row.name), *_bytes(row)])
    by = ", ".join(dict.fromkeys(COUNTERS[line.dram.source] for line in seen.values() if line.dram.source))
    head = [*PLACE, "what", "step", "formula, MB", "DRAM, MB", "formula / DRAM − 1"]
    told = f"Counted by {by}, one call on cold caches. Lines still dirty in the L2 when a call ends are in no count."
    return ["## DRAM bytes", told, table(head, cells, (1, 2, 6, 7, 8))]


def _bytes(row: BytesRow) -> list[str]:
    assert row.dram is not None
    stated = "" if row.moved is None else f"{row.moved.total_bytes / MEGA:.3f}"
    difference = "" if row.dram_difference is None else f"{row.dram_difference:+.1%}"
    return [stated, f"{row.dram.total_bytes / MEGA:.3f}", difference]


def _made(lines: Iterable[Line]) -> list[str]:
    """How to do it again."""
    runs = [line for line in lines if isinstance(line, Run)]
    if not runs:
        return []
    commands = dict.fromkeys(" ".join(shlex.join(run.command).splitlines()) for run in runs)
    last = runs[-1]
    environment = last.environment
    facts = [
        f"{last.time:%Y-%m-%d}, sparq-perf {last.package_version}, commit {environment.commit or 'unknown'}",
        f"{environment.device}; host: {environment.n_cores} cores, {environment.memory_bytes / 1e9:.0f} GB, "
        f"{environment.operating_system}, Python {environment.python}",
    ]
    if environment.gpu is not None:
        gpu = environment.gpu
        facts.append(
            f"driver {gpu.driver or 'not told'}, CUDA {gpu.cuda or 'not told'}, {gpu.n_multiprocessors} "
            f"multiprocessors, {gpu.memory_bytes / 2**30:.0f} GiB"
        )
    facts.append(", ".join(f"{name} {version}" for name, version in environment.versions.items()))
    told = "\n".join(f"- {escape(fact)}" for fact in facts)
    return ["## How it was measured", "\n".join(f"    {command}" for command in commands), told]


def _place(m: Measurement | Dram) -> tuple[str, ...]:
    return escape(m.model), str(m.shape.batch), f"{m.shape.seq_len:,}", m.cache_state


def _what(line: Dram) -> str:
    config = line.config
    settings = "" if config is None else f", r={config.rank} k={config.top_k}"
    layout = "" if config is None or config.k_layout == "two_copies" else f", {escape(config.k_layout)}"
    return f"{escape(line.implementation)}{settings}{layout}"


def _time(m: Measurement, unit: Unit) -> str:
    """Three digits at least."""
    assert m.median_s is not None
    value = m.median_s / unit[1]
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"
