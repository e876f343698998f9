"""The sentences of the verdict, each from the points that were compared."""

from collections import Counter
from collections.abc import Mapping

from sparq_perf.report.settings import where
from sparq_perf.report.speedups import SpeedupPoint, pays_from_length
from sparq_perf.report.wording import count, listed, significant, span, times_faster, token_range
from sparq_profiles.shape import SparqConfig
from sparq_roofline.traffic import kv_cache_bytes


def headline(points: list[SpeedupPoint]) -> str:
    """The verdict in one line: where every comparison pays, or how many do."""
    lengths = sorted({point.seq_len for point in points})
    everywhere = pays_from_length(points)
    if all(point.outcome != "faster" for point in points):
        return "SparQ does not pay in anything measured here"
    if everywhere == lengths[0]:
        return f"SparQ pays in every configuration compared ({token_range(lengths)} tokens)"
    if everywhere is not None:
        reach = token_range(length for length in lengths if length >= everywhere)
        return f"SparQ pays in every configuration compared at {reach} tokens, but not in all shorter ones"
    faster = sum(point.outcome == "faster" for point in points)
    return f"SparQ pays in {faster} of {count(len(points), 'configuration')} compared"


def tally_sentence(points: list[SpeedupPoint]) -> str:
    """How many comparisons were faster, slower and undecided."""
    outcomes = Counter(point.outcome for point in points)
    shares = [f"{word} in {outcomes[word]}" for word in ("faster", "slower") if outcomes[word]]
    unclear = outcomes["unclear"]
    doubt = f"no clear difference in {unclear}, where the speedup's interval straddles 1" if unclear else ""
    shown = f"SparQ was {listed(shares)}" if shares else ""
    compared = count(len(points), "configuration")
    return f"Of {compared} with a valid dense baseline: {'; '.join(filter(None, (shown, doubt)))}."


def best_sentence(best: SpeedupPoint, names: Mapping[SparqConfig | None, str]) -> str:
    """The largest speedup, what it was of and what was predicted."""
    predicted = best.best.predicted_speedup
    beside = f"predicted {times_faster(predicted.expected)}" if predicted else "no prediction was recorded"
    return (
        f"The largest speedup is {times_faster(best.speedup.expected)} "
        f"({span(best.speedup, times_faster)}; {beside}): "
        f"{where(best.best.sparq, names)}, against {best.best.dense.implementation}."
    )


def baseline_sentence(points: list[SpeedupPoint]) -> str:
    """Which dense implementation the comparisons are against."""
    won = Counter(point.best.dense.implementation for point in points)
    if len(won) == 1:
        name = next(iter(won))
        return f"The dense baseline is always the fastest valid one measured; here that was {name} throughout."
    shares = listed(f"{name} in {n}" for name, n in won.most_common())
    return f"The dense baseline is always the fastest valid one measured: {shares} of these comparisons."


def memory_sentence(points: list[SpeedupPoint]) -> str:
    """What the K layouts cost in KV-cache memory; empty where they cost none."""
    ratios: dict[str, float] = {}
    for point in points:
        sparq = point.best.sparq
        assert sparq.config is not None
        ratio = kv_cache_bytes(sparq.shape, sparq.config) / kv_cache_bytes(sparq.shape, None)
        ratios[sparq.config.k_layout] = max(ratio, ratios.get(sparq.config.k_layout, 0))
    parts = listed(f"{layout} needs {significant(ratio, 2)} times" for layout, ratio in ratios.items() if ratio > 1.005)
    return f"Not part of a speedup: the K layout {parts} the KV-cache memory of dense attention." if parts else ""
