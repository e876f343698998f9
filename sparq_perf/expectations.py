"""A suite's expectations against what was measured: asked, measured, met."""

from collections.abc import Sequence
from dataclasses import dataclass

from sparq_perf.comparison import compare
from sparq_perf.records.schema import CeilingsLine, Line, Measurement, Run, StepProfile
from sparq_perf.records.store import latest_measurements
from sparq_profiles.expectation import Expectation
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.suite import Suite


@dataclass(frozen=True, slots=True)
class Verdict:
    """One expectation against a run.

    Attributes:
        measured: in the unit of the expectation's target; None where it was not measured.
        by: what it was measured with, or why it was not.
    """

    expectation: Expectation
    measured: float | None
    by: str

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None where nothing was measured."""
        if self.measured is None:
            return None
        target = self.expectation.target
        return self.measured <= target if self.expectation.at_most else self.measured >= target


class _Absent(Exception):
    """Why something was not measured."""


def judge(suite: Suite, lines: list[Line]) -> list[Verdict]:
    """Every expectation that is meant for the device of these records, in the suite's order."""
    devices = [line.environment.device for line in lines if isinstance(line, Run)]
    if not devices:
        return []
    found = _Found(lines)
    meant = [e for e in suite.expectations if e.device.lower() in devices[-1].lower()]
    return [_verdict(expectation, found) for expectation in meant]


def _verdict(expectation: Expectation, found: "_Found") -> Verdict:
    try:
        value, by = found.find(expectation)
    except _Absent as reason:
        return Verdict(expectation, None, str(reason))
    return Verdict(expectation, value, by)


class _Found:
    """The lines of a run by what expectations ask for."""

    def __init__(self, lines: list[Line]) -> None:
        self._measurements = list(latest_measurements(lines).values())
        self._comparisons = compare(lines)
        self._profiles = {line.key: line for line in lines if isinstance(line, StepProfile)}
        starts = [line.hardware for line in lines if isinstance(line, CeilingsLine) and line.phase == "start"]
        self._hardware: HardwareProfile | None = starts[-1] if starts else None

    def find(self, expectation: Expectation) -> tuple[float, str]:
        measurement = self._fastest(expectation)
        if expectation.quantity == "speedup":
            for comparison in self._comparisons:
                if comparison.sparq is measurement:
                    by = f"{measurement.implementation} over {comparison.dense.implementation}"
                    return comparison.speedup.expected, by
            raise _Absent("not measured: no valid dense baseline")
        assert measurement.median_s is not None
        if expectation.step is not None:
            return self._share_of_step(measurement, expectation.step)
        bytes_moved = _bytes(measurement)
        byte_time_s = bytes_moved / self._copy_bandwidth()
        if expectation.quantity == "share_of_copy_bandwidth":
            return byte_time_s / measurement.median_s, measurement.implementation
        return measurement.median_s - byte_time_s, measurement.implementation

    def _fastest(self, expectation: Expectation) -> Measurement:
        candidates = [m for m in self._measurements if _is_of(m, expectation)]
        valid = [m for m in candidates if m.status == "ok"]
        if valid:
            return min(valid, key=lambda m: m.median_s or 0.0)
        if not candidates:
            raise _Absent("not measured")
        raise _Absent(f"not measured: {candidates[0].status}: {candidates[0].reasons[0]}")

    def _share_of_step(self, measurement: Measurement, name: str) -> tuple[float, str]:
        profile = self._profiles.get(measurement.key)
        times = {step.name: step.time_s for step in profile.steps} if profile else {}
        predicted = measurement.prediction.steps if measurement.prediction else ()
        moved = {step.name: step.read_bytes + step.write_bytes for step in predicted}
        if not times.get(name) or name not in moved:
            raise _Absent(f"not measured: the profiler's pass has no time for the step {name}")
        share = moved[name] / times[name] / self._copy_bandwidth()
        return share, f"{measurement.implementation}, predicted bytes over the profiler's time"

    def _copy_bandwidth(self) -> float:
        bandwidth = self._hardware.copy_bandwidth_bytes_per_s if self._hardware else None
        if bandwidth is None:
            raise _Absent("not measured: these records have no copy bandwidth")
        return bandwidth.value


def _is_of(measurement: Measurement, expectation: Expectation) -> bool:
    config, shape = measurement.config, measurement.shape
    # Dense attention reads no layout of K that SparQ's settings would name: its best, whichever cache it ran on.
    settings = (None, None, expectation.k_layout) if config is None else (config.rank, config.top_k, config.k_layout)
    return (
        (measurement.model, shape.batch, shape.seq_len, measurement.cache_state)
        == (expectation.model, expectation.batch, expectation.seq_len, expectation.cache_state)
        and settings == (expectation.rank, expectation.top_k, expectation.k_layout)
        and expectation.implementation in (None, measurement.implementation)
    )


def _bytes(measurement: Measurement) -> float:
    if measurement.prediction is None:
        raise _Absent("not measured: the record has no prediction, whose bytes this needs")
    return measurement.prediction.read_bytes + measurement.prediction.write_bytes


def rows(verdicts: Sequence[Verdict]) -> list[tuple[str, str, str, str, str]]:
    """What, asked, measured, met, and by what: one row of texts a verdict."""
    words = {True: "met", False: "missed", None: "–"}
    return [
        (
            _workload(verdict.expectation),
            _asked(verdict.expectation),
            verdict.by if verdict.measured is None else _show(verdict.expectation, verdict.measured),
            words[verdict.met],
            "" if verdict.measured is None else verdict.by,
        )
        for verdict in verdicts
    ]


def _workload(e: Expectation) -> str:
    settings = "dense" if e.rank is None else f"r={e.rank} k={e.top_k}"
    layout = "" if e.k_layout == "two_copies" else f" {e.k_layout}"
    return f"{e.model} B={e.batch} S={e.seq_len:,} {settings}{layout}, {e.cache_state}"


def _asked(e: Expectation) -> str:
    what = {
        "speedup": "speedup",
        "share_of_copy_bandwidth": "of copy bandwidth",
        "beyond_byte_time_s": "beyond byte time",
    }[e.quantity]
    sign = "≤" if e.at_most else "≥"
    step = f", step {e.step}" if e.step else ""
    return f"{what} {sign} {_show(e, e.target)}{step}"


def _show(e: Expectation, value: float) -> str:
    if e.quantity == "speedup":
        return f"{value:.2f}×"
    return f"{value:.0%}" if e.quantity == "share_of_copy_bandwidth" else f"{value * 1e6:.1f} µs"
