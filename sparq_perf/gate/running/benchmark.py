"""A user's callable against another, or against its stored past, by the gate's own statistics."""

from collections import Counter
from collections.abc import Sequence
from statistics import median

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.judging import judge, wanting
from sparq_perf.gate.known_cases import check_known_cases
from sparq_perf.gate.outcome import Outcome
from sparq_perf.gate.running.callables import Block, Blocks
from sparq_perf.gate.running.pairs import BASE, CANDIDATE, order
from sparq_perf.gate.series import Series
from sparq_perf.gate.settings import GateSettings
from sparq_perf.gate.verdicts import Judgement

Pair = tuple[Block, Block]


def compare_callables(key: str, blocks: Blocks, settings: GateSettings) -> Judgement:
    """Base and candidate in turn, pair by pair, with fresh pairs for what looks suspicious.

    Args:
        key: what the comparison is called; thresholds in the settings may name it.
        blocks: makes blocks of ``base`` and ``candidate``.
        settings: as of `sparq-perf gate`.

    Raises:
        GateError: a block cannot be made, or the gate itself is broken.
    """
    check_known_cases(judge, Outcome)
    pairs = _measure(blocks, 0, settings.pairs)
    judgement = _judge(key, pairs, settings)
    if wanting([judgement]) and settings.confirm:
        pairs += _measure(blocks, settings.pairs, 2 * settings.pairs)
        judgement = _judge(key, pairs, settings)
    return judgement


def compare_with_stored(
    key: str, stored_s: Sequence[float], blocks: Sequence[Block], differences: Sequence[str], settings: GateSettings
) -> Judgement:
    """A callable's blocks, made in one process now, against medians of earlier processes.

    Only large differences can be told: jobs differ by some per cent. ``differences`` of the environment forbid it.
    """
    check_known_cases(judge, Outcome)
    good = _good(blocks)
    invalid = tuple(f"different environment: {one}" for one in differences) or _too_few(blocks, len(good), settings)
    here = (median(good),) if good else ()  # one process, so one number
    (judgement,) = judge([Series(key, "time", tuple(stored_s), here, invalid=invalid)], settings, "stored")
    return judgement


def usual_median(blocks: Sequence[Block], settings: GateSettings) -> float:
    """The one number that a process leaves of a callable.

    Raises:
        GateError: too few of its blocks can be trusted.
    """
    good = _good(blocks)
    refusals = _too_few(blocks, len(good), settings)
    if refusals:
        raise GateError(refusals[0])
    return median(good)


def _good(blocks: Sequence[Block]) -> list[float]:
    return [block.median_s for block in blocks if block.refusal is None]


def _measure(blocks: Blocks, first: int, last: int) -> list[Pair]:
    pairs = []
    for index in range(first, last):
        pair = {name: blocks.block(name) for name in order(index)}
        pairs.append((pair[BASE], pair[CANDIDATE]))
    return pairs


def _judge(key: str, pairs: Sequence[Pair], settings: GateSettings) -> Judgement:
    good = [(base, candidate) for base, candidate in pairs if base.refusal is None and candidate.refusal is None]
    every = [block for pair in pairs for block in pair]
    series = Series(
        key,
        "time",
        tuple(base.median_s for base, _ in good),
        tuple(candidate.median_s for _, candidate in good),
        invalid=_too_few(every, len(good), settings),
    )
    (judgement,) = judge([series], settings)
    return judgement


def _too_few(blocks: Sequence[Block], n_good: int, settings: GateSettings) -> tuple[str, ...]:
    if n_good >= settings.min_pairs:
        return ()
    reasons = Counter(block.refusal for block in blocks if block.refusal is not None).most_common(1)
    why = f": {reasons[0][0]}" if reasons else ""
    return (f"too few samples: {n_good} valid, at least {settings.min_pairs} are needed{why}",)
