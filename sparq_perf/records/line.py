"""What every line of a record file carries."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from sparq_profiles.quantity import Frozen
from sparq_profiles.shape import AttentionShape, SparqConfig
from sparq_profiles.suite import CacheState

# Version 2 added the timer of a measurement and the GPU of an environment. Version 3 gave every pass lines of its own:
# energy left the measurement, and a step profile has its kernels. Version 4 added the factors of a time model and what
# a prediction extrapolates. `upgrading` reads the earlier ones.
SCHEMA_VERSION: Literal[4] = 4

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1)]


class Line(Frozen):
    """What every line carries."""

    schema_version: Literal[4] = SCHEMA_VERSION
    run_id: Text
    time: datetime


class Subject(Line):
    """A line about one workload and implementation.

    Attributes:
        key: identifies the two, the same in every pass and every run of a suite.
        model: label of the head geometry.
        config: SparQ's settings; None for dense attention.
    """

    key: Text
    model: Text
    shape: AttentionShape
    config: SparqConfig | None
    cache_state: CacheState
    implementation: Text
