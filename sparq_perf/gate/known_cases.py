"""A gate that has been broken may not pass anything: before every verdict it judges cases whose verdicts are known."""

from collections.abc import Callable
from typing import Any

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.outcome import Outcome, Side
from sparq_perf.gate.series import Series
from sparq_perf.gate.settings import GateSettings
from sparq_perf.gate.verdicts import Judgement, Method, Verdict

# Log ratios of a quiet machine, ±0.5 % around none: their mean is 0.
_NOISE = (0.005, -0.004, 0.002, -0.003, 0.004, -0.005, 0.003, -0.002)
_BASE = tuple(1.0 + noise / 2 for noise in _NOISE) * 2
# The case whose candidate scatters this many times as much.
NOISY, MULTIPLE = "5 % slower, noisy", 30
# Candidate over base, the pairs that there are, and what must be said of them.
_PAIRED: dict[str, tuple[float, int, Verdict]] = {
    "twice as slow": (2.0, 16, "REGRESSED"),
    "5 % slower": (1.05, 16, "REGRESSED"),
    "5 % slower, not confirmed": (1.05, 8, "AMBIGUOUS"),
    "the same": (1.0, 8, "SAME"),
    "5 % faster": (0.95, 8, "IMPROVED"),
    "measured twice": (1.0, 2, "INVALID"),
    NOISY: (1.05, 16, "AMBIGUOUS"),
}
# The same of single runs from different jobs.
_STORED: dict[str, tuple[float, int, Verdict]] = {
    "twice as slow": (2.0, 1, "REGRESSED"),
    "13 % slower": (1.13, 1, "AMBIGUOUS"),
    "the same": (1.0, 1, "SAME"),
    "half as slow": (0.5, 1, "IMPROVED"),
    "not measured": (1.0, 0, "INVALID"),
}
# What makes the exit codes 1, 2 and 0.
_EXIT_CODES: tuple[tuple[tuple[Verdict, ...], int], ...] = (
    (("REGRESSED", "AMBIGUOUS", "INVALID", "IMPROVED", "SAME"), 1),
    (("REGRESSED",), 1),
    (("AMBIGUOUS", "SAME"), 2),
    (("INVALID", "SAME"), 2),
    ((), 2),
    (("IMPROVED", "SAME"), 0),
)
Judge = Callable[[list[Series], GateSettings, Method], tuple[Judgement, ...]]


def check_known_cases(judge: Judge, conclude: type[Outcome]) -> None:
    """Have known slowdowns, gains, neither of them and too little to tell judged and concluded from.

    Raises:
        GateError: a verdict or an exit code is not what it must be.
    """
    settings = GateSettings()
    methods: tuple[tuple[Method, dict[str, tuple[float, int, Verdict]]], ...] = (
        ("paired", _PAIRED),
        ("stored", _STORED),
    )
    by_verdict: dict[Verdict, Judgement] = {}
    for method, cases in methods:
        said = {one.key: one for one in judge([_series(name, *case) for name, case in cases.items()], settings, method)}
        for name, (_, _, verdict) in cases.items():
            found = said[name].verdict if name in said else None
            _expect(found, verdict, f"{name}, {method}")
            by_verdict[verdict] = said[name]
    side = Side(label="known", n_runs=8)
    for verdicts, code in _EXIT_CODES:
        judgements = tuple(by_verdict[verdict].model_copy(update={"key": verdict}) for verdict in verdicts)
        outcome = conclude(method="paired", base=side, candidate=side, green=settings.green, judgements=judgements)
        _expect(outcome.exit_code, code, f"exit code of {', '.join(verdicts) or 'nothing'}")


def _series(name: str, ratio: float, n: int, _: Verdict) -> Series:
    scatter = MULTIPLE if name == NOISY else 1
    candidate = tuple(ratio * (1 + scatter * noise) for noise in (*_NOISE, *_NOISE)[:n])
    return Series(key=name, metric="time", base=_BASE[:n], candidate=candidate)


def _expect(found: Any, known: Any, what: str) -> None:
    if found != known:
        raise GateError(
            f"the gate is broken: it says {found} of a known case ({what}), which is {known}: nothing it says can be "
            "trusted; install sparq-perf anew"
        )
