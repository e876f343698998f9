"""Everything the page says, as plain data."""

from dataclasses import dataclass
from itertools import groupby

from sparq_perf.report.wording import significant, span, times_faster
from sparq_perf.sizing_report.studies import Study, build_studies
from sparq_profiles import HardwareProfile
from sparq_profiles.quantity import Quantity
from sparq_roofline.deployment.choosing import Recommendation
from sparq_roofline.deployment.question import Question
from sparq_roofline.deployment.rows import Row
from sparq_roofline.deployment.sizing import Sizing
from sparq_roofline.interval import Interval


@dataclass(frozen=True, slots=True)
class Tile:
    """One number of the answer."""

    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class DeviceRows:
    """A device's part of the table.

    Attributes:
        reason: why it has no row at all; None where any attention is served.
        absent: reasons of single rows, by attention.
    """

    hardware: str
    title: str
    rows: tuple[Row, ...]
    recommendation: Recommendation | None
    reason: str | None
    absent: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Source:
    """One number of a device, with where it came from; ``value`` None where it is not stated."""

    device: str
    what: str
    value: float | None
    unit: str
    kind: str
    source: str


@dataclass(frozen=True, slots=True)
class SizingView:
    """The page's content.

    Attributes:
        no_sparq: why no row has SparQ, where none does.
        unpriced: devices whose cost is unknown.
    """

    sizing: Sizing
    title: str
    asked: str
    headline: str
    why: str | None
    tiles: tuple[Tile, ...]
    devices: tuple[DeviceRows, ...]
    studies: tuple[Study, ...]
    no_sparq: str | None
    unpriced: tuple[str, ...]
    sources: tuple[Source, ...]


def build_view(question: Question, sizing: Sizing) -> SizingView:
    """The view of a sizing."""
    devices = tuple(_device(sizing, name, tuple(rows)) for name, rows in groupby(sizing.rows, lambda row: row.hardware))
    best = next((item for item in sizing.recommendations if item.hardware == sizing.best), None)
    row = _row_of(sizing, best) if best else None
    return SizingView(
        sizing=sizing,
        title=question.model.title,
        asked=_asked(sizing),
        headline=_headline(sizing, best, row),
        why=_sentence(best.why) if best else None,
        tiles=_tiles(row) if row else (),
        devices=devices,
        studies=build_studies(question, sizing),
        no_sparq=sizing.setting_reason,
        unpriced=tuple(
            device.hardware
            for device in devices
            if any(row.batch is not None and row.usd_per_mtok is None for row in device.rows)
        ),
        sources=tuple(source for profile in question.hardware for source in _sources(question, profile)),
    )


def _asked(sizing: Sizing) -> str:
    demand = sizing.demand
    batch = f"batch {demand.batch:,}" if demand.batch else "the largest batch that fits"
    latency = f", at most {demand.tpot_s * 1e3:g} ms a token" if demand.tpot_s else ""
    return (
        f"{demand.context:,} tokens of context and {demand.output:,} of output, {batch}{latency}; weights "
        f"{sizing.weights}, KV cache {sizing.kv}, at most {demand.most_gpus} GPUs"
    )


def _device(sizing: Sizing, name: str, rows: tuple[Row, ...]) -> DeviceRows:
    absent = [
        (row.k_layout or "dense", row.reasons["batch"])
        for row in rows
        if row.batch is None and (row.k_layout is None or row.rank is not None)
    ]
    recommendation = next((item for item in sizing.recommendations if item.hardware == name), None)
    return DeviceRows(
        hardware=name,
        title=rows[0].title,
        rows=rows,
        recommendation=recommendation,
        reason=absent[0][1] if recommendation is None and absent else None,
        absent=tuple(absent) if recommendation else (),
    )


def _row_of(sizing: Sizing, item: Recommendation) -> Row | None:
    """The recommendation's row; None where it was recommended on more GPUs than the row has."""
    rows = (row for row in sizing.rows if row.hardware == item.hardware and row.k_layout == item.k_layout)
    return next((row for row in rows if row.n_gpus == item.n_gpus), None)


def _headline(sizing: Sizing, best: Recommendation | None, row: Row | None) -> str:
    if best is None:
        return f"{sizing.model} fits on none of the candidates as asked."
    title = next(row.title for row in sizing.rows if row.hardware == best.hardware)
    gpus = f"{best.n_gpus} × {title}" if best.n_gpus > 1 else title
    rate = f"{significant(best.tokens_per_s_per_gpu)} tokens/s a GPU"
    rank = "the cheapest a token" if sizing.ranked_by == "usd_per_mtok" else "the fastest a GPU"
    alone = len(sizing.recommendations) == 1
    if best.attention == "dense":
        return f"{gpus}, dense attention: {rate}{'' if alone else f', {rank}'}"
    gain = "" if row is None or row.step_speedup is None else f"step {times_faster(row.step_speedup.expected)} faster, "
    how = f"SparQ {best.k_layout}, r = {best.rank}, k = {best.top_k}"
    return f"{gpus}, {how}: {gain}{rate}{'' if alone else f', {rank}'}"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _tiles(row: Row) -> tuple[Tile, ...]:
    assert row.tpot_s is not None
    assert row.tokens_per_s_per_gpu is not None
    tiles = []
    if row.attention == "sparq" and row.step_speedup and row.attention_speedup:
        tiles += [
            Tile("Step speedup", times_faster(row.step_speedup.expected), span(row.step_speedup, times_faster)),
            Tile(
                "Attention speedup",
                times_faster(row.attention_speedup.expected),
                f"{span(row.attention_speedup, times_faster)}, of attention alone",
            ),
        ]
    tiles += [
        Tile("Time per token", f"{significant(row.tpot_s.expected * 1e3)} ms", _range(row.tpot_s, 1e3, " ms")),
        Tile(
            "Tokens/s per GPU",
            significant(row.tokens_per_s_per_gpu.expected),
            f"{_range(row.tokens_per_s_per_gpu, 1, '')}, batch {row.batch:,}",
        ),
        Tile("$ per million tokens", *_or_unknown(row.usd_per_mtok, row, "usd_per_mtok")),
        Tile("J per token", *_or_unknown(row.energy_per_token_j, row, "energy_per_token_j")),
    ]
    return tuple(tiles)


def _or_unknown(value: Interval | None, row: Row, field: str) -> tuple[str, str]:
    if value is None:
        return "unknown", row.reasons[field]
    assumed = "; power assumed" if field == "energy_per_token_j" else ""
    return significant(value.expected), f"{_range(value, 1, '')}{assumed}"


def _range(value: Interval, factor: float, unit: str) -> str:
    return f"{significant(value.lower * factor)} to {significant(value.upper * factor)}{unit}"


def _sources(question: Question, profile: HardwareProfile) -> list[Source]:
    stated: list[tuple[str, Quantity | None, str]] = [
        ("memory bandwidth", profile.memory_bandwidth_bytes_per_s, "B/s"),
        ("memory", profile.memory_bytes, "B"),
        ("16-bit peak", profile.peak_for("bfloat16"), "FLOP/s"),
        ("link, one direction", profile.link_bandwidth_bytes_per_s, "B/s"),
        ("power limit", profile.power_limit_w, "W"),
        ("launch", profile.launch_latency_s, "s"),
    ]
    found = [_source(profile.title, what, quantity, unit) for what, quantity, unit in stated]
    given = question.prices_usd_per_h.get(profile.name)
    if given is None:
        return [*found, _source(profile.title, "price of an hour", profile.price_usd_per_h, "$")]
    return [*found, Source(profile.title, "price of an hour", given, "$", "given", "the command line")]


def _source(device: str, what: str, quantity: Quantity | None, unit: str) -> Source:
    if quantity is None:
        return Source(device, what, None, unit, "unknown", "the profile does not state it")
    note = f" ({quantity.note})" if quantity.note else ""
    return Source(device, what, quantity.value, unit, quantity.kind, f"{quantity.source}{note}")
