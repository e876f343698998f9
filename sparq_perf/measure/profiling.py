"""Time and launches per kernel and named step, with torch.profiler attached; never a source of latencies."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sparq_perf.measure.observing import Loop, Place, Watched
from sparq_perf.measure.progress import Tell
from sparq_perf.measure.traced_calls import Piece, kernel_shares, step_shares, usual_call
from sparq_perf.measure.tracing import CallTracer
from sparq_perf.records.reading import Absence
from sparq_perf.records.schema import ProfiledKernel, ProfiledStep, Slice, StepProfile, Subject
from sparq_roofline.prediction import TimePrediction

ITERATIONS = 5
# A call in plain torch operations can have hundreds, most of them too short to be seen in a timeline.
MOST_SLICES = 60


class ProfileObserver:
    """Sees each call's kernels, matched to the steps that the prediction names.

    Args:
        tracer: the machine's.
        predict: what is expected of a contender; None where nothing is.
        note: told where the profiler saw nothing, such as a GPU's kernels where it may not watch them.
    """

    line: type[Subject] = StepProfile
    loop = Loop(calls=ITERATIONS, flushed=True)
    on_request = False

    def __init__(self, tracer: CallTracer, predict: Callable[[Place], TimePrediction | None], note: Tell) -> None:
        self._tracer, self._predict, self._note = tracer, predict, note

    def refusal(self) -> Absence | None:
        """None: torch brings its profiler along."""
        return None

    def absent(self, why: Absence) -> None:
        """No record: what the profiler did not see has no steps."""

    def before(self, place: Place) -> None:
        """Attach the profiler."""
        self._place = place
        self._tracer.start()
        self._began = datetime.now(UTC)

    def during(self) -> None:
        """Nothing: the profiler watches by itself."""

    def after(self, watched: Watched) -> Mapping[str, Any] | None:
        """The call of median time: what one that something disturbed took is not told as the mean of five."""
        calls = [call for call in self._tracer.stop() if call.total_s > 0]
        if not calls:
            self._note(f"torch.profiler saw nothing of {self._place.contender.implementation}: no time per step")
            return None
        usual = usual_call(calls)
        prediction = self._predict(self._place)
        predicted = {step.name: step.time_s for step in prediction.steps} if prediction is not None else {}
        return {
            "iterations": len(calls),
            "total_s": usual.total_s,
            "span_s": usual.span_s,
            "steps": tuple(
                ProfiledStep(name=s.name, time_s=s.time_s, launches=s.launches, predicted_s=predicted.get(s.name))
                for s in step_shares([usual])
            ),
            "kernels": tuple(
                ProfiledKernel(name=s.name, step=s.step, launches=s.launches, time_s=s.time_s)
                for s in kernel_shares([usual])
            ),
            "began": self._began + timedelta(seconds=usual.began_s - calls[0].began_s),
            "call": tuple(_slice(piece) for piece in _longest(usual.pieces)),
        }


def _longest(pieces: Sequence[Piece]) -> list[Piece]:
    """The named ranges and the longest of the rest, in the order they began."""
    longest = sorted(pieces, key=lambda piece: (piece.is_range, piece.duration_s), reverse=True)[:MOST_SLICES]
    return [piece for piece in pieces if piece in longest]


def _slice(piece: Piece) -> Slice:
    return Slice(
        name=piece.name,
        step=piece.step,
        start_s=piece.start_s,
        duration_s=piece.duration_s,
        is_range=piece.is_range,
    )
