"""One configuration's bytes, step by step: what the formulas say beside what was counted."""

from dataclasses import dataclass
from typing import Literal

from sparq_perf.records.dram import DramReading
from sparq_perf.records.schema import Counted, Measurement, StepProfile
from sparq_perf.report.step_names import in_order


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes to and from DRAM; reads and writes are None where they were counted together."""

    total_bytes: float
    read_bytes: float | None = None
    write_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Accessed:
    """Bytes that lanes read and write, counted, beside the formula's figure for the same."""

    counted_bytes: float
    analytic_bytes: float
    sector_bytes: float

    @property
    def difference(self) -> float | None:
        """Formula over counted, less 1."""
        return _difference(self.analytic_bytes, self.counted_bytes)


@dataclass(frozen=True, slots=True)
class BytesRow:
    """One step, a kernel outside all steps, or the whole call.

    Attributes:
        moved: by the formulas; None where they name no such step.
        rate_bytes_per_s: DRAM bytes over measured time; None without either.
    """

    name: str
    kind: Literal["step", "outside", "whole"]
    moved: Moved | None
    accessed: Accessed | None
    dram: Moved | None
    rate_bytes_per_s: float | None

    @property
    def dram_difference(self) -> float | None:
        """Formula over counters, less 1."""
        return _difference(self.moved.total_bytes, self.dram.total_bytes) if self.moved and self.dram else None


def bytes_rows(
    measurement: Measurement | None, counted: Counted | None, dram: DramReading | None, profile: StepProfile | None
) -> list[BytesRow]:
    """A row for each step that anybody names, for each kernel outside all steps, and for the whole call."""
    prediction = measurement.prediction if measurement else None
    stated = {step.name: step for step in prediction.steps} if prediction else {}
    moved = {name: _moved(step.read_bytes, step.write_bytes) for name, step in stated.items()}
    accessed = {step.step: step for step in counted.steps} if counted else {}
    by_step: dict[str, Moved] = {}
    outside: dict[str, Moved] = {}
    for kernel in dram.kernels if dram else ():
        parts, name = (by_step, kernel.step) if kernel.step is not None else (outside, kernel.name)
        before = parts.get(name, Moved(0, 0, 0))
        parts[name] = _moved(
            (before.read_bytes or 0) + kernel.read_bytes, (before.write_bytes or 0) + kernel.write_bytes
        )
    times = {step.name: step.time_s for step in profile.steps} if profile else {}
    rows = []
    for name in in_order(moved.keys() | accessed.keys() | by_step.keys()):
        own, bytes_ = accessed.get(name), by_step.get(name)
        counts = Accessed(own.counted_bytes, own.analytic_bytes, own.sector_bytes) if own else None
        rows.append(BytesRow(name, "step", moved.get(name), counts, bytes_, _rate(bytes_, times.get(name))))
    rows += [BytesRow(name, "outside", None, None, bytes_, None) for name, bytes_ in outside.items()]
    rows.append(_whole(measurement, counted, dram))
    return rows


def _whole(measurement: Measurement | None, counted: Counted | None, dram: DramReading | None) -> BytesRow:
    prediction = measurement.prediction if measurement else None
    steps = counted.steps if counted else ()
    total = dram.total_bytes.value if dram else None
    bytes_ = Moved(total, dram.read_bytes.value, dram.write_bytes.value) if dram and total is not None else None
    valid = measurement is not None and measurement.status == "ok"
    return BytesRow(
        "whole call",
        "whole",
        _moved(prediction.read_bytes, prediction.write_bytes) if prediction else None,
        Accessed(
            sum(step.counted_bytes for step in steps),
            sum(step.analytic_bytes for step in steps),
            sum(step.sector_bytes for step in steps),
        )
        if steps
        else None,
        bytes_,
        _rate(bytes_, measurement.median_s if measurement and valid else None),
    )


def _moved(read_bytes: float, write_bytes: float) -> Moved:
    return Moved(read_bytes + write_bytes, read_bytes, write_bytes)


def _rate(moved: Moved | None, time_s: float | None) -> float | None:
    return moved.total_bytes / time_s if moved is not None and time_s else None


def _difference(analytic: float, counted: float) -> float | None:
    return analytic / counted - 1 if counted else None
