"""What a timeline is made of: spans and samples on tracks, in whole nanoseconds, checked when they are built.

Whole nanoseconds, so that two spans that touch in the records touch in the file.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sparq_profiles import SparqPerfError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TimelineError(SparqPerfError):
    """Records that make no timeline: nothing was sampled or profiled, or a number is none."""


def moment_ns(moment: datetime) -> int:
    """Nanoseconds since 1970; one recorded without a zone counts as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1) * 1000


def moment_at(time_ns: int) -> datetime:
    """The moment, in UTC, to the microsecond."""
    return EPOCH + timedelta(microseconds=time_ns // 1000)


def to_ns(time_s: float) -> int:
    """Whole nanoseconds.

    Raises:
        TimelineError: not a finite number.
    """
    if not math.isfinite(time_s):
        raise TimelineError(f"a time in the records is {time_s}: a timeline needs finite times")
    return round(time_s * 1e9)


def to_us(time_s: float | None) -> float | None:
    """Microseconds to the nanosecond, for people to read beside the times that a viewer shows."""
    return None if time_s is None else round(time_s * 1e6, 3)


@dataclass(frozen=True, slots=True)
class Span:
    """Something that began and lasted.

    Attributes:
        args: what a viewer shows of it; those that are None are left out.
        leads_to: number of an arrow that begins here; reached_by: of one that ends here.

    Raises:
        TimelineError: no name, an end before the beginning, or a number that is not finite.
    """

    name: str
    began_ns: int
    duration_ns: int
    args: Mapping[str, Any] = field(default_factory=dict)
    leads_to: int | None = None
    reached_by: int | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise TimelineError("a span of the timeline has no name")
        if self.duration_ns < 0:
            raise TimelineError(f"{self.name}: lasts {self.duration_ns} ns: it ends before it begins")
        for name, value in self.args.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise TimelineError(f"{self.name}: {name} is {value}: a timeline needs finite numbers")

    @property
    def ended_ns(self) -> int:
        """The moment of its end."""
        return self.began_ns + self.duration_ns


@dataclass(frozen=True, slots=True)
class Track:
    """Spans under one name.

    Attributes:
        nests: a span inside another is drawn below it; else it gets a lane of its own.
    """

    name: str
    spans: tuple[Span, ...]
    nests: bool = True

    @property
    def moments_ns(self) -> tuple[int, ...]:
        """Every beginning and end."""
        return tuple(edge for span in self.spans for edge in (span.began_ns, span.ended_ns))


@dataclass(frozen=True, slots=True)
class Counter:
    """Values over time.

    Attributes:
        samples: pairs of nanoseconds and a value in ``unit``; a viewer holds each until the next.

    Raises:
        TimelineError: a value that is not finite.
    """

    name: str
    unit: str
    samples: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for _, value in self.samples):
            raise TimelineError(f"{self.name}: a sample is not a finite number")


@dataclass(frozen=True, slots=True)
class Process:
    """A group of tracks, which a viewer folds together."""

    name: str
    tracks: tuple[Track, ...]
    counters: tuple[Counter, ...] = ()

    @property
    def moments_ns(self) -> tuple[int, ...]:
        """Every beginning and end, and every sample's."""
        samples = (moment for counter in self.counters for moment, _ in counter.samples)
        return (*(edge for track in self.tracks for edge in track.moments_ns), *samples)
