"""Before anything is measured: the machine's ceilings and each implementation's calibration, found undisturbed."""

from dataclasses import dataclass
from statistics import median
from typing import Literal

from sparq_perf.measure.calibrating import calibrate
from sparq_perf.measure.machine import Machine
from sparq_perf.measure.passes import Append
from sparq_perf.measure.progress import Progress
from sparq_perf.measure.resume import RunState
from sparq_perf.records.schema import CalibrationLine, CeilingsLine, PassName
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.suite import Suite
from sparq_roofline.calibration import bandwidth_at

CALIBRATION_DRIFT = 0.12
LARGEST_LEFT_OUT_ERROR = 0.4


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What to measure and how: see `RunOptions`."""

    suite: Suite
    seed: int
    timeout_s: float | None
    command: tuple[str, ...]
    predict: bool = True
    skipped: frozenset[PassName] = frozenset()
    subtract_idle: bool = False


class Preparation:
    """Finds ceilings and calibration, or takes them from the records of the run that is resumed."""

    def __init__(
        self, machine: Machine, options: SessionOptions, state: RunState, progress: Progress, append: Append
    ) -> None:
        self._machine, self._options, self._state = machine, options, state
        self._progress, self._append = progress, append

    def find(self, uncalibrated: list[str]) -> HardwareProfile:
        """Ceilings and calibration, as the records have them or found now; again where something disturbed them."""
        hardware = self._state.hardware or self.find_ceilings("start")
        attempts = self._machine.pace.attempts
        for attempt in range(1, attempts + 1):
            if uncalibrated:
                self._machine.flush.seen.clear()
                self._calibrate(uncalibrated, hardware)
            trouble = None if self._state.hardware else self._disturbed(hardware)
            if trouble is None or attempt == attempts:
                break
            self._progress.note(f"{trouble}: finding ceilings and calibration again")
            hardware = self.find_ceilings("start")
        return hardware

    def _disturbed(self, hardware: HardwareProfile) -> str | None:
        """Why ceilings and calibration found just now cannot stand: other work came or went meanwhile."""
        flush = self._machine.flush
        if flush.seen:
            before = bandwidth_at(hardware, flush.flush_bytes)
            during = median(flush.seen)
            if abs(during / before - 1) > CALIBRATION_DRIFT:
                return (
                    f"the machine changed speed during calibration ({before / 1e9:.1f}, then {during / 1e9:.1f} GB/s)"
                )
        for name, model in self._state.models.items():
            if model.left_out_error > LARGEST_LEFT_OUT_ERROR:
                return f"the calibration of {name} is off by {model.left_out_error:.0%} at points left out in turn"
        return None

    def find_ceilings(self, phase: Literal["start", "end"]) -> HardwareProfile:
        """Probe the machine now, and write down what was found."""

        def tell(what: str) -> None:
            self._progress.stage(f"ceilings: {what}")

        hardware = self._machine.find_ceilings(tell)
        self._append(CeilingsLine, phase=phase, hardware=hardware)
        self._progress.advance(self._machine.pace.ceilings_s)
        return hardware

    def _calibrate(self, implementations: list[str], hardware: HardwareProfile) -> None:
        def tell(what: str) -> None:
            self._progress.stage(f"calibration: {what}")
            self._progress.advance(self._machine.pace.calibration_shape_s)

        calibrated = calibrate(
            self._machine,
            implementations,
            hardware,
            self._options.suite.dtype,
            seed=self._options.seed + 1,
            progress=tell,
        )
        for name, result in calibrated.items():
            self._state.models[name] = result.model
            self._append(CalibrationLine, implementation=name, model=result.model, points=result.points)

    def usual_s(self, uncalibrated: list[str]) -> float:
        """Seconds for ceilings and calibration, roughly: for the progress bar only."""
        if not self._options.predict:
            return 0.0
        pace, needs_ceilings = self._machine.pace, self._state.hardware is None
        calibration_s = pace.calibration_shape_s * len(self._machine.calibration.shapes)
        return pace.ceilings_s * (1 + needs_ceilings) + (calibration_s if uncalibrated else 0.0)
