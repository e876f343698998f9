"""What was expected of each profiled call: its predicted steps, laid end to end from the moment it began."""

from collections.abc import Iterable, Iterator
from typing import Any

from sparq_perf.timeline.calls import Call
from sparq_perf.timeline.spans import Span, Track, to_ns, to_us

TRACK = "predicted steps"


def predicted_steps(call: Call) -> tuple[tuple[str, float, str | None], ...]:
    """Name, expected seconds and bound of each step, in order; empty where nothing was predicted.

    From the measurement's prediction; without one, what the profile was told, which has only the steps that it saw.
    """
    prediction = call.measurement.prediction if call.measurement else None
    if prediction is not None:
        return tuple((step.name, step.time_s, step.bound) for step in prediction.steps)
    seen = call.profile.steps
    return tuple((step.name, step.predicted_s, None) for step in seen if step.predicted_s is not None)


def predicted_ns(call: Call) -> int:
    """Length of all predicted steps together."""
    return sum(to_ns(time_s) for _, time_s, _ in predicted_steps(call))


def predictions_track(calls: Iterable[Call]) -> Track:
    """The steps of each call, under its prediction as a whole; without spans where nothing was predicted."""
    return Track(TRACK, tuple(span for call in calls for span in _prediction(call)))


def _prediction(call: Call) -> Iterator[Span]:
    steps = predicted_steps(call)
    if not steps:
        return
    yield Span(f"predicted {call.name}", call.began_ns, predicted_ns(call), _whole(call))
    profiled = {step.name: step for step in call.profile.steps}
    evidence = _evidence(call)
    now_ns = call.began_ns
    for name, time_s, bound in steps:
        seen = profiled.get(name)
        args = {
            "predicted_us": to_us(time_s),
            "profiled_us": to_us(seen.time_s) if seen else "absent: the profile saw no step of this name",
            "profiled_over_predicted": round(seen.time_s / time_s, 4) if seen and time_s else None,
            "launches": seen.launches if seen else None,
            "bound": bound,
            "evidence": evidence,
            "configuration": call.name,
        }
        yield Span(name, now_ns, to_ns(time_s), args)
        now_ns += to_ns(time_s)


def _whole(call: Call) -> dict[str, Any]:
    measurement, prediction = call.measurement, call.measurement.prediction if call.measurement else None
    if measurement is None or prediction is None:
        return {"evidence": _evidence(call)}
    expected_s, median_s = prediction.time_s.expected, measurement.median_s
    return {
        "lower_us": to_us(prediction.time_s.lower),
        "expected_us": to_us(expected_s),
        "upper_us": to_us(prediction.time_s.upper),
        "timed_median_us": to_us(median_s),
        "timed_over_expected": round(median_s / expected_s, 4) if median_s and expected_s else None,
        "bound": prediction.bound,
        "evidence": prediction.evidence,
        "read_bytes": prediction.read_bytes,
        "write_bytes": prediction.write_bytes,
    }


def _evidence(call: Call) -> str:
    prediction = call.measurement.prediction if call.measurement else None
    return prediction.evidence if prediction else "not recorded: the records hold no prediction of the whole call"
