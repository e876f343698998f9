"""A number that an instrument gave, or the typed reason why it gave none."""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field, model_validator

from sparq_profiles.quantity import Frozen

Text = Annotated[str, Field(min_length=1)]

# Each asks for another mend: install something, run elsewhere, ask for permission, measure for longer.
AbsenceKind = Literal[
    "library_missing",  # a Python package or a program is not installed
    "driver_missing",  # no kernel driver, or not its library
    "no_device",  # the instrument answers and sees no device
    "not_supported",  # this device, driver or version has no such thing
    "no_permission",  # it is there, and this user may not read it
    "gpu_lost",  # the device fell off the bus while it was watched
    "mig",  # a slice of a partitioned GPU has none of its own
    "no_change",  # a counter that should have risen did not
    "not_asked",  # this run, suite or implementation does not ask for it
    "failed",  # anything else; the detail says what
]


class Absence(Frozen):
    """Why there is no value.

    Attributes:
        detail: one line for people: what was asked and what it answered.
    """

    kind: AbsenceKind
    detail: Text

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')}: {self.detail}"


T = TypeVar("T")


class Reading(Frozen, Generic[T]):
    """A value, or the reason for its absence; exactly one of the two."""

    value: T | None = None
    absence: Absence | None = None

    @model_validator(mode="after")
    def _one_of_the_two(self) -> "Reading[T]":
        if (self.value is None) == (self.absence is None):
            raise ValueError("a reading carries its value or the absence of one, and not both")
        return self

    @classmethod
    def of(cls, value: T) -> "Reading[T]":
        """What was read."""
        return cls(value=value)

    @classmethod
    def missing(cls, kind: AbsenceKind, detail: str) -> "Reading[T]":
        """Why nothing was read."""
        return cls(absence=Absence(kind=kind, detail=detail))
