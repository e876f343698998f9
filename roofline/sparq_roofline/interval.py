"""A number that is not known exactly."""

from dataclasses import dataclass
from typing import Literal

# What a prediction rests on, weakest last.
Evidence = Literal["calibrated", "measured", "datasheet"]
Bound = Literal["memory", "compute", "latency"]


@dataclass(frozen=True, slots=True)
class Interval:
    """Lower end, expected value and upper end, in one unit."""

    lower: float
    expected: float
    upper: float

    def over(self, other: "Interval") -> "Interval":
        """Interval of the quotient self / other, ends taken at their worst against each other."""
        return Interval(self.lower / other.upper, self.expected / other.expected, self.upper / other.lower)
