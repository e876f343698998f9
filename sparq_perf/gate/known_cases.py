"""A gate that has been broken may not pass anything: before every verdict it judges cases whose verdicts are known."""

from collections.abc import Callable, Sequence

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.series import Series
from sparq_perf.gate.settings import GateSettings
from sparq_perf.gate.verdicts import Judgement, Verdict

# Log ratios of a quiet machine, ±0.5 % around none: their mean is 0.
_NOISE = (0.005, -0.004, 0.002, -0.003, 0.004, -0.005, 0.003, -0.002)
_BASE = tuple(1.0 + noise / 2 for noise in _NOISE) * 2
# Candidate over base, the pairs that there are, and what must be said of them.
_CASES: dict[str, tuple[float, int, Verdict]] = {
    "twice as slow": (2.0, 16, "REGRESSED"),
    "5 % slower": (1.05, 16, "REGRESSED"),
    "5 % slower, not confirmed": (1.05, 8, "AMBIGUOUS"),
    "the same": (1.0, 8, "SAME"),
    "5 % faster": (0.95, 8, "IMPROVED"),
    "measured twice": (1.0, 2, "INVALID"),
}


def check_known_cases(judge: Callable[[Sequence[Series], GateSettings], Sequence[Judgement]]) -> None:
    """Have a slowdown, a gain, neither of them, and too little to tell judged.

    Raises:
        GateError: a verdict is not what it must be.
    """
    cases = [
        Series(
            key=name,
            metric="time",
            base=_BASE[:n_pairs],
            candidate=tuple(ratio * (1 + noise) for noise in (*_NOISE, *_NOISE)[:n_pairs]),
        )
        for name, (ratio, n_pairs, _) in _CASES.items()
    ]
    said: dict[str, Verdict] = {one.key: one.verdict for one in judge(cases, GateSettings())}
    for name, (_, _, verdict) in _CASES.items():
        if said.get(name) != verdict:
            raise GateError(
                f"the gate is broken: it says {said.get(name)} of a known case, {name}, which is {verdict}: nothing it "
                "says can be trusted; install sparq-perf anew"
            )
