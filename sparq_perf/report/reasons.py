"""Reasons for absent numbers, each told once: with how many it is of, and numbered for the cells of a table."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sparq_perf.records.schema import Line, Measurement, PassName, Run

# Numbers that stand by themselves; those inside names, such as sm_90 or GPU-12, tell things apart.
_NUMBER = re.compile(r"(?<![\w.,-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w-])")
# The instrument that a pass reads, as environments name it.
_INSTRUMENTS: dict[PassName, str] = {"nvml": "nvml", "profile": "torch.profiler", "counters": "dram_counters"}

NO_RECORD = "this run holds no such record"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is absent, and what of: ``keys`` in the order given."""

    text: str
    keys: tuple[str, ...]


def merged(reasons: Mapping[str, str]) -> tuple[Reason, ...]:
    """Equal reasons together, the most frequent first.

    Those that differ in numbers only become one, with the range of each number: ``a cache of 67 to 1,074 MB``.

    Args:
        reasons: by what is absent.
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    for key, text in reasons.items():
        alike.setdefault(tuple(_NUMBER.split(text)), []).append(key)
    together = [Reason(_spanned([reasons[key] for key in keys]), tuple(keys)) for keys in alike.values()]
    return tuple(sorted(together, key=lambda reason: -len(reason.keys)))


def _spanned(texts: list[str]) -> str:
    """One text for some that differ in numbers only."""
    columns = list(zip(*(_NUMBER.findall(text) for text in texts), strict=True))
    spans = iter([_span(column) for column in columns])
    return _NUMBER.sub(lambda _: next(spans), texts[0])


def _span(numbers: tuple[str, ...]) -> str:
    ordered = sorted(numbers, key=lambda number: float(number.replace(",", "")))
    return ordered[0] if ordered[0] == ordered[-1] else f"{ordered[0]} to {ordered[-1]}"


@dataclass(frozen=True, slots=True)
class Footnote:
    """One reason under its number.

    Attributes:
        what: the quantity that is absent.
        n: how often.
    """

    number: int
    what: str
    text: str
    n: int


class Footnotes:
    """Collects reasons by quantity and cell, then numbers them."""

    def __init__(self) -> None:
        self._reasons: dict[str, dict[str, str]] = {}

    def add(self, what: str, key: str, text: object) -> None:
        """``text`` is why ``what`` is absent for ``key``."""
        self._reasons.setdefault(what, {})[key] = str(text)

    def numbered(self) -> tuple[tuple[Footnote, ...], Callable[[str, str], int | None]]:
        """The notes, and what finds the number of one for a quantity and key."""
        notes: list[Footnote] = []
        numbers: dict[tuple[str, str], int] = {}
        for what, reasons in self._reasons.items():
            for reason in merged(reasons):
                notes.append(Footnote(len(notes) + 1, what, reason.text, len(reason.keys)))
                numbers |= {(what, key): len(notes) for key in reason.keys}
        return tuple(notes), lambda what, key: numbers.get((what, key))


def why_no_record(lines: Iterable[Line], name: PassName) -> str:
    """Why a run holds no record of a pass: as planned, as its instrument said, or nobody knows."""
    runs = [line for line in lines if isinstance(line, Run)]
    if not runs:
        return NO_RECORD
    for planned in runs[-1].passes:
        if planned.name == name and planned.reason is not None:
            return planned.reason
    for instrument in runs[-1].environment.instruments:
        if instrument.name == _INSTRUMENTS.get(name) and instrument.reason is not None:
            return instrument.reason
    return NO_RECORD


def why_no_line(measurement: Measurement) -> str:
    """Why a pass that was made left no line about a measurement."""
    return "its measurement failed" if measurement.status == "failed" else NO_RECORD
