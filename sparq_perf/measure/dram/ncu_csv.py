"""Reads the CSV that Nsight Compute prints, in the layouts of its versions 2021 to 2026.

``--page raw`` is wide: a header, a row of units, a row for each kernel. ``--page details``, the default, is long: a row
for each kernel and metric. Around the table are ncu's own lines, which begin with ``==``, and what the profiled
program printed.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

KERNEL_NAME = "Kernel Name"
METRIC_NAME = "Metric Name"
# Of the default domain's column: "thread Domain:Push/Pop_Range:PL_Type:PL_Value:CLR_Type:Color:Msg_Type:Msg".
RANGES = "Push/Pop_Range"

# ncu scales bytes by factors of 1000 (its guide, "Metrics and Units").
PREFIXES = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
UNIT = re.compile(r"([KMGT]?)(byte|sector)")
# Thousands are separated by commas. A comma elsewhere would be the decimal sign of another locale.
NUMBER = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?|\d+(\.\d+)?([eE][+-]?\d+)?")


class NcuFormatError(Exception):
    """A table that is not as ncu prints it; counts read from it could be wrong."""


@dataclass(frozen=True, slots=True)
class KernelRow:
    """One profiled launch.

    Attributes:
        name: of the kernel, as printed.
        ranges: text of the NVTX ranges around it; None where the table has no such column.
        metrics: values in bytes or sectors; those that ncu gave as n/a are not in it.
    """

    name: str
    ranges: str | None
    metrics: Mapping[str, float]


def read_kernels(text: str, wanted: Iterable[str]) -> tuple[KernelRow, ...]:
    """Every profiled launch in order; empty where there is no table.

    Args:
        text: all that ncu printed.
        wanted: full names of the metrics to keep.

    Raises:
        NcuFormatError: a row of another length than the header, an unknown unit, or a value that is no number.
    """
    table = _table(text)
    header = next(table, None)
    if header is None:
        return ()
    return tuple((_long if METRIC_NAME in header else _wide)(header, table, frozenset(wanted)))


def _table(text: str) -> Iterator[list[str]]:
    """Header and rows; every field is quoted, which ncu's own lines and a program's output are not."""
    quoted = [line for line in text.splitlines() if line.startswith('"')]
    starts = [n for n, line in enumerate(quoted) if line.startswith('"ID",') and f'"{KERNEL_NAME}"' in line]
    if not starts:
        return
    if len(starts) > 1:
        raise NcuFormatError(f"ncu's output has {len(starts)} tables where one was asked for")
    rows = csv.reader(quoted[starts[0] :])
    header = next(rows)
    yield header
    for row in rows:
        if len(row) != len(header):
            raise NcuFormatError(f"ncu's table has {len(header)} columns and a row of {len(row)}: {row[:2]}")
        yield row


def _wide(header: Sequence[str], rows: Iterator[list[str]], wanted: frozenset[str]) -> Iterator[KernelRow]:
    units = next(rows, None)
    if units is None:
        return
    if units[0]:
        raise NcuFormatError("ncu's raw table has no row of units below its header")
    scales = {n: _scale(name, units[n]) for n, name in enumerate(header) if name in wanted}
    for row in rows:
        values = ((header[n], _number(header[n], row[n]), scale) for n, scale in scales.items())
        metrics = {name: value * scale for name, value, scale in values if value is not None}
        yield KernelRow(row[header.index(KERNEL_NAME)], _ranges(header, row), metrics)


@dataclass(slots=True)
class _Launch:
    name: str
    ranges: str | None
    metrics: dict[str, float] = field(default_factory=dict)


def _long(header: Sequence[str], rows: Iterator[list[str]], wanted: frozenset[str]) -> Iterator[KernelRow]:
    launches: dict[tuple[str, ...], _Launch] = {}
    identity = [n for n, name in enumerate(header) if name in ("ID", "Process ID")]
    name_at, unit_at, value_at = (header.index(f"Metric {part}") for part in ("Name", "Unit", "Value"))
    for row in rows:
        key = tuple(row[n] for n in identity)
        launch = launches.setdefault(key, _Launch(row[header.index(KERNEL_NAME)], _ranges(header, row)))
        metric = row[name_at]
        if metric in wanted and (value := _number(metric, row[value_at])) is not None:
            launch.metrics[metric] = value * _scale(metric, row[unit_at])
    for launch in launches.values():
        yield KernelRow(launch.name, launch.ranges, launch.metrics)


def _ranges(header: Sequence[str], row: Sequence[str]) -> str | None:
    columns = [text for name, text in zip(header, row, strict=True) if RANGES in name]
    return " ".join(columns) if columns else None


def _scale(metric: str, unit: str) -> float:
    if not unit:
        return 1.0  # base units are asked for, and some versions leave their names out
    found = UNIT.fullmatch(unit)
    if found is None:
        raise NcuFormatError(f"ncu gives {metric} in {unit!r}: only bytes and sectors are known")
    return PREFIXES[found[1]]


def _number(metric: str, text: str) -> float | None:
    if not text or text.endswith("n/a"):
        return None
    if NUMBER.fullmatch(text) is None:
        raise NcuFormatError(f"ncu gives {metric} as {text!r}: not a number with thousands separated by commas")
    return float(text.replace(",", ""))
