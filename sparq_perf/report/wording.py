"""How numbers read on the page: three significant digits, SI prefixes, tokens in k = 1,024."""

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from sparq_roofline.interval import Interval

_SI = (
    (1e15, "P"),
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
    (1e-12, "p"),
)


def significant(value: float, digits: int = 3) -> str:
    """At least some significant digits, never in exponent form: 1234.5 reads 1,234 and 0.01234 0.0123."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    rounded = round(value, decimals)
    # Rounding may have carried into a new digit: 9.996 is 10.0, not 10.00.
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(decimals, 0)}f}"


def mean_number(value: float) -> str:
    """A mean of whole numbers: whole where it is one, else with three significant digits."""
    return f"{value:,.0f}" if value == round(value) else significant(value)


def si(value: float, unit: str) -> str:
    """A value with an SI prefix: 19.6 GB/s, 532 µs."""
    for scale, prefix in _SI:
        # 0.9995 and more would be printed as 1,000 of the next smaller prefix.
        if abs(value) >= scale * 0.9995:
            return f"{significant(value / scale)} {prefix}{unit}"
    return f"{significant(value / 1e-12)} p{unit}" if value else f"0 {unit}"


def rounded_si(value: float, unit: str) -> str:
    """A round value, such as an axis tick, with an SI prefix and no trailing zeros: 10 ms."""
    for scale, prefix in _SI:
        if abs(value) >= scale * 0.9995:
            return f"{value / scale:,.4g} {prefix}{unit}"
    return f"{value / 1e-12:,.4g} p{unit}" if value else f"0 {unit}"


def seconds(value: float) -> str:
    """A duration of one call."""
    return si(value, "s")


def duration(value: float) -> str:
    """How long a run took, as people say it: 45 s, 5 min 12 s, 2 h 3 min."""
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def data_size(value: float) -> str:
    """Bytes in binary units: 64 MiB."""
    for scale, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= scale:
            scaled = value / scale
            return f"{int(scaled):,} {unit}" if scaled == int(scaled) else f"{significant(scaled)} {unit}"
    return f"{value:,.0f} B"


def tokens(count: int) -> str:
    """A sequence length as axes and lists show it: 4k for 4,096 (k = 1,024 tokens), else in full."""
    return f"{count // 1024}k" if count % 1024 == 0 else f"{count:,}"


def token_range(lengths: Iterable[int]) -> str:
    """The span of some sequence lengths: ``4k`` or ``1k to 64k``."""
    ordered = sorted(set(lengths))
    return tokens(ordered[0]) if len(ordered) == 1 else f"{tokens(ordered[0])} to {tokens(ordered[-1])}"


def times_faster(value: float) -> str:
    """A speedup: 3.02×."""
    return f"{significant(value)}×"


def percent(fraction: float, *, signed: bool = False) -> str:
    """A fraction as a percentage with one decimal, with its sign where asked."""
    shown = f"{fraction * 100:+.1f} %" if signed else f"{fraction * 100:.1f} %"
    return shown.replace("-", "−")


def span(interval: Interval, show: Callable[[float], str]) -> str:
    """The two ends of an interval: ``2.90× to 3.11×``."""
    return f"{show(interval.lower)} to {show(interval.upper)}"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: 1 measurement, 12 measurements."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(items: Iterable[str], joint: str = "and") -> str:
    """Items as a phrase: a, b and c."""
    words = list(items)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {joint} {words[-1]}" if words else ""


def moment(value: datetime) -> str:
    """A time of day in UTC; one recorded without a zone says so."""
    if value.tzinfo is None:
        return f"{value:%Y-%m-%d %H:%M:%S} (no time zone recorded)"
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
