"""From numbers to verdicts: every test judged together, suspicions confirmed by pairs that did not raise them."""

from collections.abc import Sequence
from math import isfinite

from sparq_perf.gate.looking import Look, find, look_at, significance_level, told
from sparq_perf.gate.series import Series
from sparq_perf.gate.settings import GateSettings
from sparq_perf.gate.verdicts import Judgement, Method, Verdict
from sparq_perf.report.wording import percent


def judge(series: Sequence[Series], settings: GateSettings, method: Method = "paired") -> tuple[Judgement, ...]:
    """The verdict on each series, in their order.

    The first `settings.pairs` pairs are looked at first. Where they show a worsening, or cannot exclude one, the pairs
    beyond them decide; until there are enough of those, the verdict is AMBIGUOUS, and `wanting` names it. Where neither
    shows a worsening and neither excludes one, all of them together may exclude it.
    """
    faults = {index: why for index, one in enumerate(series) if (why := _unfit(one, settings, method))}
    fit = [index for index in range(len(series)) if index not in faults]
    n_first = settings.pairs if settings.confirm and method == "paired" else None
    first = look_at({index: series[index] for index in fit}, settings, method, slice(n_first))
    again = {index: series[index] for index in fit if _needs_confirming(first[index], series[index], settings, method)}
    fresh = look_at(again, settings, method, slice(settings.pairs, None))
    every = look_at(again, settings, method, slice(None))
    verdicts = []
    for index, one in enumerate(series):
        if index in faults:
            verdicts.append(Judgement(key=one.key, metric=one.metric, verdict="INVALID", reasons=faults[index]))
        else:
            verdicts.append(_conclude(one, first[index], fresh.get(index), every.get(index), settings))
    return tuple(verdicts)


def wanting(judgements: Sequence[Judgement]) -> tuple[str, ...]:
    """Configurations that fresh pairs could still decide, each once."""
    open_ones = (one for one in judgements if one.verdict == "AMBIGUOUS" and one.fresh is None)
    return tuple(dict.fromkeys(one.key for one in open_ones if one.first and one.first.method == "paired"))


def _unfit(one: Series, settings: GateSettings, method: Method) -> tuple[str, ...]:
    """Why a series cannot be judged; empty where it can."""
    if one.invalid:
        return one.invalid
    if not all(isfinite(value) and value > 0 for value in (*one.base, *one.candidate)):
        return ("holds values that are no positive numbers",)
    n_base, n_candidate = len(one.base), len(one.candidate)
    if method == "stored":
        return () if n_base and n_candidate else ("too few samples: no valid value in base or candidate",)
    if n_base != n_candidate:
        return (f"{n_base} base and {n_candidate} candidate processes are no pairs",)
    if n_base < settings.min_pairs:
        return (f"too few samples: {n_base} valid pairs of processes, at least {settings.min_pairs} are needed",)
    return ()


def _needs_confirming(first: Look, one: Series, settings: GateSettings, method: Method) -> bool:
    if method == "stored" or not settings.confirm or find(first, settings) in ("same", "better"):
        return False
    return len(one.base) - settings.pairs >= settings.min_pairs


def _conclude(one: Series, first: Look, fresh: Look | None, every: Look | None, settings: GateSettings) -> Judgement:
    deciding, together = fresh or first, None
    if fresh is None:
        verdict, reasons = _first_verdict(first, settings)
    else:
        verdict, reasons = _confirmed(first, fresh, settings)
    if every is not None and _undecided(first, fresh, settings) and every.excludes(settings):
        deciding, together = every, every.evidence
        verdict, reasons = "SAME", ("by the first and the fresh pairs together: neither decides alone",)
    if verdict == "SAME" and deciding.noisy:
        excluded, spread = percent(deciding.evidence.excluded), percent(deciding.evidence.spread)
        reasons = (*reasons, f"noisy: only a worsening of {excluded} is excluded (A/A spread {spread})")
    return Judgement(
        key=one.key,
        metric=one.metric,
        verdict=verdict,
        reasons=(*reasons, *one.remarks),
        first=first.evidence,
        fresh=None if fresh is None else fresh.evidence,
        together=together,
    )


def _undecided(first: Look, fresh: Look | None, settings: GateSettings) -> bool:
    """Neither look shows a difference, and neither excludes a worsening."""
    return fresh is not None and find(first, settings) == "open" and find(fresh, settings) == "open"


def _first_verdict(look: Look, settings: GateSettings) -> tuple[Verdict, tuple[str, ...]]:
    """Without fresh pairs."""
    finding = find(look, settings)
    if finding == "worse":
        if look.evidence.method == "stored":
            return "REGRESSED", ("not confirmed by fresh pairs: stored records have none",)
        if not settings.confirm:
            return "REGRESSED", ()
        return "AMBIGUOUS", ("suspected, and not confirmed by fresh pairs yet",)
    if finding == "open":
        return "AMBIGUOUS", (_why_open(look, settings),)
    return ("IMPROVED" if finding == "better" else "SAME"), ()


def _confirmed(first: Look, fresh: Look, settings: GateSettings) -> tuple[Verdict, tuple[str, ...]]:
    """What fresh pairs make of a first look that was not plainly harmless."""
    finding, suspicion = find(fresh, settings), find(first, settings)
    before = f"the first pairs showed {told(first.evidence)}"
    if finding == "worse":
        # Twice the same: raw significance is enough for the look that only could not exclude it.
        if suspicion == "worse" or first.evidence.p_worse <= settings.false_discovery_rate:
            return "REGRESSED", ()
        return "AMBIGUOUS", (f"the fresh pairs show {told(fresh.evidence)}; {before}",)
    if finding == "same":
        return "SAME", (f"not confirmed by fresh pairs: {before}",) if suspicion == "worse" else ()
    if finding == "better" and suspicion != "worse":
        return "IMPROVED", ()
    if finding == "better":
        return "AMBIGUOUS", (f"fresh pairs contradict the first ones: {told(fresh.evidence)}; {before}",)
    return "AMBIGUOUS", (f"not decided by fresh pairs either: {_why_open(fresh, settings)}; {before}",)


def _why_open(look: Look, settings: GateSettings) -> str:
    evidence = look.evidence
    why = f"a worsening of {percent(evidence.excluded)} is not excluded"
    if look.noisy:
        return (
            f"too noisy: {why}, and only differences above {percent(evidence.floor)} could be told "
            f"(A/A spread {percent(evidence.spread)})"
        )
    if evidence.effect >= evidence.floor:
        level = significance_level(evidence.method, settings)
        why += f", and one of {percent(evidence.effect)} not significant: q is {evidence.q_worse:.2g}, not {level:g}"
    return why
