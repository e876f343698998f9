"""A number that is not known exactly."""

from math import exp, hypot, log
from typing import Literal

from sparq_roofline.frozen import frozen

# What a prediction rests on, weakest last.
Evidence = Literal["calibrated", "measured", "datasheet"]
Bound = Literal["memory", "compute", "latency"]


@frozen
class Interval:
    """Lower end, expected value and upper end, in one unit."""

    lower: float
    expected: float
    upper: float

    def over(self, other: "Interval") -> "Interval":
        """Interval of the quotient self / other, ends taken at their worst against each other."""
        return Interval(self.lower / other.upper, self.expected / other.expected, self.upper / other.lower)

    def over_independent(self, other: "Interval") -> "Interval":
        """Interval of the quotient self / other of the same coverage, where the two err independently of each other.

        Their distances to each end add up as squares do, in logarithms.
        """
        expected = self.expected / other.expected
        down = hypot(log(self.expected / self.lower), log(other.upper / other.expected))
        up = hypot(log(self.upper / self.expected), log(other.expected / other.lower))
        return Interval(expected * exp(-down), expected, expected * exp(up))
