"""One profiled configuration in numbers: its steps, the gaps between its kernels, and the kernels themselves."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sparq_perf.records.schema import ProfiledKernel, StepProfile
from sparq_perf.report.step_names import OTHER, in_order
from sparq_perf.report.wording import count
from sparq_roofline.prediction import TimePrediction

# A call in plain torch operations has dozens of kernels; those that take the most time are listed.
MOST_KERNELS = 12


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step; times are None where the profiler, or the prediction, has no step of that name."""

    name: str
    time_s: float | None
    launches: float | None
    predicted_s: float | None


@dataclass(frozen=True, slots=True)
class StepDetail:
    """One configuration.

    Attributes:
        implementation: for sentences about all its configurations.
        total_s: sum of the call's kernels on a GPU, the host's time on a CPU; which of the two, ``total_name`` says.
        span_s: from the start of the first kernel to the end of the last; None on a CPU and where nobody told.
        predicted: whether there is a prediction at all.
        launches: of the whole call; None where nobody counted.
        n_more, more_s: kernels that are not listed, and their time.
    """

    label: str
    implementation: str
    rows: tuple[StepRow, ...]
    total_name: str
    total_s: float
    launches: float | None
    predicted_total_s: float | None
    span_s: float | None
    predicted: bool
    kernels: tuple[ProfiledKernel, ...]
    n_more: int
    more_s: float

    @property
    def gap_s(self) -> float | None:
        """Time of the span in which no kernel ran; negative where kernels ran side by side."""
        return None if self.span_s is None else self.span_s - self.total_s


def build_detail(
    label: str, profile: StepProfile, prediction: TimePrediction | None, device_kind: Literal["cpu", "gpu"] | None
) -> StepDetail:
    """The profile's numbers beside the prediction's, which is the measurement's or else the profile's own."""
    predicted = {s.name: s.predicted_s for s in profile.steps if s.predicted_s is not None}
    if prediction is not None:
        predicted = {s.name: s.time_s for s in prediction.steps}
    profiled = {s.name: s for s in profile.steps}
    rows = []
    for name in in_order(profiled.keys() | predicted.keys()):
        own = profiled.get(name)
        rows.append(StepRow(name, own.time_s if own else None, own.launches if own else None, predicted.get(name)))
    outside_s = profile.total_s - sum(step.time_s for step in profile.steps)
    # As in the bars: less than a thousandth is rounding.
    if outside_s > 1e-3 * profile.total_s:
        launches = sum(kernel.launches for kernel in profile.kernels if kernel.step is None)
        rows.append(StepRow(OTHER, outside_s, launches if profile.kernels else None, None))
    kernels = sorted(profile.kernels, key=lambda kernel: -kernel.time_s)
    more = kernels[MOST_KERNELS:]
    return StepDetail(
        label=label,
        implementation=profile.implementation,
        rows=tuple(rows),
        total_name={"cpu": "whole call", "gpu": "all kernels", None: "all of the call"}[device_kind],
        total_s=profile.total_s,
        launches=sum(kernel.launches for kernel in profile.kernels) if profile.kernels else None,
        predicted_total_s=prediction.time_s.expected if prediction else None,
        # A CPU's call has no gaps: all of it is the host's time.
        span_s=None if device_kind == "cpu" else profile.span_s,
        predicted=bool(predicted),
        kernels=tuple(kernels[:MOST_KERNELS]),
        n_more=len(more),
        more_s=sum(kernel.time_s for kernel in more),
    )


def odd_steps(details: Sequence[StepDetail]) -> tuple[str, ...]:
    """Sentences on steps that the profiler or the prediction alone has, each with how many configurations it is of."""
    found: Counter[tuple[str, str, str]] = Counter()
    for detail in details:
        for row in detail.rows if detail.predicted else ():
            if row.time_s is None:
                what = "is named by the prediction, and the profiler saw none of it"
            elif row.predicted_s is None and row.name != OTHER:
                what = "was profiled, and the prediction has no step of that name"
            else:
                continue
            found[detail.implementation, row.name, what] += 1
    return tuple(
        f"{implementation}: the step {name} {what} ({count(n, 'configuration')})."
        for (implementation, name, what), n in found.items()
    )
