"""A setting's speedups as one cell of the table."""

from collections.abc import Sequence
from dataclasses import dataclass

from sparq_perf.fidelity_report.joining import Speedup
from sparq_perf.report.wording import count, times_faster


@dataclass(frozen=True, slots=True)
class SpeedCell:
    """The measured number or range, where it was found, and the prediction beside it; None where there is none."""

    measured: str | None
    where: str | None
    predicted: str | None


def speed_cell(speedups: Sequence[Speedup]) -> SpeedCell:
    """Every place's speedup in few words; predictions are those of the same places, else of their own."""
    measured = [one for one in speedups if one.measured is not None]
    shown = measured or list(speedups)
    predicted = [one.predicted for one in shown if one.predicted is not None]
    by = list(dict.fromkeys(one.predicted_by for one in shown if one.predicted is not None))
    told = f"{_reach(predicted)} predicted {', '.join(by)}" if predicted else None
    if not measured:
        return SpeedCell(None, None, told)
    where = measured[0].place.words if len(measured) == 1 else count(len(measured), "place")
    span = measured[0].span
    if len(measured) == 1 and span is not None:
        where = f"{times_faster(span[0])} to {times_faster(span[1])}, {where}"
    return SpeedCell(_reach([one.measured for one in measured if one.measured is not None]), where, told)


def _reach(values: Sequence[float]) -> str:
    low, high = times_faster(min(values)), times_faster(max(values))
    return low if low == high else f"{low} to {high}"
