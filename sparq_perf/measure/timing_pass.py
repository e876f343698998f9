"""The timing pass: a group's contenders interleaved, with nothing attached, each judged and recorded at once."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from sparq_kernels import KVCache
from sparq_perf.measure.checking import Checker
from sparq_perf.measure.correctness import TOLERANCE
from sparq_perf.measure.judging import reasons_against
from sparq_perf.measure.observing import Place
from sparq_perf.measure.passes import Site
from sparq_perf.measure.plan import Group
from sparq_perf.measure.stopping import median_interval, relative_noise
from sparq_perf.measure.timing import WARMUPS, Rounds, Timing
from sparq_perf.records.schema import Measurement, PassName
from sparq_profiles.hardware import HardwareProfile
from sparq_roofline.calibration import bandwidth_at
from sparq_roofline.prediction import TimePrediction


@dataclass(frozen=True, slots=True)
class TimingPass:
    """Times what the records do not have yet.

    Attributes:
        checker: knows each contender's error.
        hardware: the ceilings that the machine's speed is held against; None where they were not looked for.
        predict: what is expected of a contender; None where nothing is.
        timeout_s: the user's wish for a group's rounds; None leaves it to the machine.
    """

    site: Site
    checker: Checker
    hardware: HardwareProfile | None
    predict: Callable[[Place], TimePrediction | None]
    timeout_s: float | None
    name: PassName = "timing"

    def make(self, group: Group, cache: KVCache) -> None:
        """Time a group's contenders, round by round."""
        places = self.site.state.lacking(self.name, group)
        if not places:
            return
        rounds = Rounds(self.site.machine, cache, group.shape, group.cache_state, self.site.seed)
        pace = self.site.machine.pace
        timings = rounds.time([place.contender for place in places], lambda: pace.rule(self.timeout_s))
        for place, timing in zip(places, timings, strict=True):
            self._record(place, timing)

    def finish(self) -> None:
        """Nothing waits."""

    def _record(self, place: Place, timing: Timing) -> None:
        samples = timing.samples_s
        noise = relative_noise(samples)
        error = self.checker.error(place)
        tolerance = TOLERANCE[place.group.shape.dtype]
        flush_ceiling = None
        if self.hardware is not None:
            flush_ceiling = bandwidth_at(self.hardware, self.site.machine.flush.flush_bytes)
        reasons = reasons_against(timing, noise, error, tolerance, flush_ceiling)
        fields = {
            "status": "invalid" if reasons else "ok",
            "reasons": reasons,
            "samples_s": samples,
            "median_ci_s": median_interval(samples),
            "relative_noise": noise,
            "stop_reason": timing.stop_reason,
            "warmups": WARMUPS,
            "timer": timing.timer,
            "n_throttled": timing.n_throttled,
            "slowdowns": dict(timing.slowdowns),
            "n_buffers": timing.n_buffers,
            "read_bandwidth_bytes_per_s": timing.read_bandwidth_bytes_per_s,
            "max_error": error if math.isfinite(error) else None,
            "error_tolerance": tolerance,
            "prediction": self.predict(place),
        }
        self.site.record(self.name, Measurement, place, fields)
