"""The times of one workload by one implementation, or why there are none."""

from typing import Annotated, Any, Literal

from pydantic import Field, computed_field, model_validator

from sparq_perf.records.line import NonNegative, Positive, Share, Subject, Text
from sparq_roofline.prediction import TimePrediction

# What timed the samples: the host's clock around a call; device events around the replay of a recorded call, or
# around the call itself where it cannot be recorded (its launches then count as far as the device waits for them);
# or somebody else, who told a time and its standard error.
Timer = Literal["perf_counter", "cuda_graph", "cuda_events", "third_party"]

# Begins the reason of a measurement whose median is not known well by its own samples.
NOISY = "noisy: "


class Measurement(Subject):
    """One workload measured by one implementation.

    Attributes:
        status: ``ok``; ``invalid``: measured, but not to be trusted; ``failed``: no time at all.
        reasons: why it is invalid or failed.
        samples_s: every kept iteration's time, in the order measured, one decode call each.
        timer: what timed them.
        median_ci_s: 95 % confidence interval of the median (order statistics), lower and upper.
        relative_noise: half of the interval's width over the median.
        stop_reason: why sampling ended: the target ``noise`` was reached, ``timeout``, or ``interrupted``; ``imported``
            where somebody else sampled, and ``samples_s`` holds the one time that was told.
        warmups: iterations made first and thrown away.
        n_throttled: samples discarded, because the device's clock was held down in their round.
        slowdowns: what held it down, each with the share of the rounds that saw it.
        n_buffers: KV caches that the samples took in turn, so that none finds its own bytes in a cache.
        read_bandwidth_bytes_per_s: median bandwidth of the reads that flushed the caches between these samples: whether
            the machine was as fast as when its ceilings were found. None where caches were warm.
        max_error: largest absolute difference from the float64 reference; error_tolerance: what was allowed.
        prediction: made before the measurement, from ceilings and calibration points outside the suite.
    """

    record: Literal["measurement"] = "measurement"
    status: Literal["ok", "invalid", "failed"]
    reasons: tuple[Text, ...] = ()
    samples_s: tuple[Positive, ...] = ()
    timer: Timer | None = None
    median_ci_s: tuple[Positive, Positive] | None = None
    relative_noise: NonNegative | None = None
    stop_reason: Literal["noise", "timeout", "interrupted", "imported"] | None = None
    warmups: Annotated[int, Field(ge=0)] = 0
    n_throttled: Annotated[int, Field(ge=0)] = 0
    slowdowns: dict[str, Share] = Field(default_factory=dict)
    n_buffers: Annotated[int, Field(ge=1)] = 1
    read_bandwidth_bytes_per_s: Positive | None = None
    max_error: NonNegative | None = None
    error_tolerance: Positive | None = None
    prediction: TimePrediction | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def median_s(self) -> float | None:
        """Median of the samples, seconds; None where there are none."""
        if not self.samples_s:
            return None
        ordered = sorted(self.samples_s)
        middle = len(ordered) // 2
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

    @model_validator(mode="before")
    @classmethod
    def _median_is_derived(cls, data: Any) -> Any:
        # Written for readers of the file; what counts on reading are the samples.
        return {k: v for k, v in data.items() if k != "median_s"} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _status_ties_fields(self) -> "Measurement":
        if (self.status == "ok") == bool(self.reasons):
            raise ValueError("reasons must be given exactly when status is not ok")
        timed = (self.timer, self.median_ci_s, self.relative_noise, self.stop_reason)
        if self.status == "failed":
            if self.samples_s or any(field is not None for field in timed):
                raise ValueError("a failed measurement carries no times")
        elif not self.samples_s or any(field is None for field in timed):
            raise ValueError(
                "a measurement that did not fail carries its samples, timer, interval, noise and stop reason"
            )
        return self
