"""Lower end, expected value and upper end of many numbers at once."""

from dataclasses import dataclass
from typing import Any

from sparq_roofline.interval import Interval

# A float, or a numpy array of floats.
Amount = Any


@dataclass(frozen=True, slots=True)
class Span:
    """`Interval` over numbers or arrays of one shape, in one unit."""

    lower: Amount
    expected: Amount
    upper: Amount

    @classmethod
    def exactly(cls, value: Amount) -> "Span":
        """A number without doubt."""
        return cls(value, value, value)

    def __add__(self, other: "Span") -> "Span":
        """Ends added to like ends: one device is slow or fast in all its parts."""
        return Span(self.lower + other.lower, self.expected + other.expected, self.upper + other.upper)

    def times(self, factor: Amount) -> "Span":
        """Multiplied by a positive number."""
        return Span(self.lower * factor, self.expected * factor, self.upper * factor)

    def into(self, amount: Amount) -> "Span":
        """``amount`` divided by this: the ends change places."""
        return Span(amount / self.upper, amount / self.expected, amount / self.lower)

    def over(self, other: "Span") -> "Span":
        """Quotient self / other, ends taken at their worst against each other, as `Interval.over`."""
        return Span(self.lower / other.upper, self.expected / other.expected, self.upper / other.lower)

    def interval(self, index: int | None = None) -> Interval:
        """One element as plain numbers; without an index the only one."""
        ends = (self.lower, self.expected, self.upper)
        return Interval(*(float(end if index is None else end[index]) for end in ends))
