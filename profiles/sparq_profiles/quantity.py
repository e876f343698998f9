"""A number and where it came from."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SourceKind = Literal["measured", "counted", "calibrated", "datasheet", "assumed"]

# Strict: pydantic would otherwise read true as 1, "32" as 32 and "yes" as true.
Whole = Annotated[int, Field(ge=1, strict=True)]
Positive = Annotated[float, Field(gt=0, strict=True)]
Flag = Annotated[bool, Field(strict=True)]


class Frozen(BaseModel):
    """A validated, immutable value object that refuses unknown keys and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Quantity(Frozen):
    """A positive number in SI units with its evidence.

    Attributes:
        value: the number, in the unit that the field's name carries.
        kind: what sort of evidence stands behind it.
        source: the document, address or measurement it was taken from.
        note: what a reader should know, such as sources that conflict.
    """

    value: Positive
    kind: SourceKind
    source: Annotated[str, Field(min_length=3)]
    note: str | None = None
