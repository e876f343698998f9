"""How strict the gate is: `[tool.sparq-perf.gate]`, with thresholds by configuration and metric."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparq_perf.gate.metrics import METRICS, Metric
from sparq_perf.gate.verdicts import Verdict
from sparq_profiles.quantity import Frozen

Fraction = Annotated[float, Field(gt=0, lt=1, strict=True)]
Floor = Annotated[float, Field(gt=0, le=10, strict=True)]
Noise = Annotated[float, Field(ge=0, lt=1, strict=True)]
Count = Annotated[int, Field(strict=True)]
Glob = Annotated[str, Field(min_length=1)]
# What may be waved through; a regression may not.
Forgivable = Literal["AMBIGUOUS", "INVALID"]


class Limits(Frozen):
    """What holds for one configuration and metric.

    Attributes:
        floor: the smallest relative worsening that counts; raised to a multiple of the A/A spread where that is larger.
        largest_floor: where the spread raises the floor above this, a pass must exclude a worsening of this much.
        stored_floor: the same as floor for records that were not measured in turn with each other.
        stored_excluded: what SAME excludes for those.
    """

    floor: Floor = 0.02
    largest_floor: Floor = 0.10
    stored_floor: Floor = 0.10
    stored_excluded: Floor = 0.20


class Threshold(Frozen):
    """Other limits for some configurations and metrics; what is left out stays as it was.

    Attributes:
        key: which configurations: a pattern such as ``llama-*/*/cold/*``, where ``*`` stands for any text.
        metrics: which metrics.
    """

    key: Glob = "*"
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)] = METRICS
    floor: Floor | None = None
    largest_floor: Floor | None = None
    stored_floor: Floor | None = None
    stored_excluded: Floor | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> "Threshold":
        if not self.changes:
            raise ValueError("a threshold must give a limit: floor, largest_floor, stored_floor or stored_excluded")
        return self

    @property
    def changes(self) -> dict[str, float]:
        """The limits that it gives."""
        given = {name: getattr(self, name) for name in Limits.model_fields}
        return {name: value for name, value in given.items() if value is not None}

    def is_for(self, key: str, metric: Metric) -> bool:
        """Whether it holds there."""
        return metric in self.metrics and fnmatchcase(key, self.key)


class GateSettings(Limits):
    """Everything that a verdict depends on besides the measurements.

    Attributes:
        pairs: of processes, of the first look; what is there beyond them confirms.
        min_pairs: with fewer valid ones there is no verdict.
        false_discovery_rate: share of false ones allowed among all alarms of a comparison.
        confidence: of each end of an interval.
        spread_multiple: of the A/A spread, below which no effect counts.
        confirm: red needs fresh pairs that show it again.
        job_noise, process_noise: relative standard deviations between jobs and between processes of one job, assumed
            of stored records, which cannot show them.
        metrics: those compared, where they were measured.
        exclude: patterns of configurations that are not judged.
        may_differ: patterns of environment settings that may differ between base and candidate.
        allow: verdicts besides SAME and IMPROVED that do not fail the gate.
        thresholds: the last that fits a configuration and metric wins, limit by limit.
    """

    pairs: Annotated[Count, Field(ge=3)] = 8
    min_pairs: Annotated[Count, Field(ge=3)] = 6
    false_discovery_rate: Fraction = 0.05
    confidence: Annotated[float, Field(ge=0.5, lt=1, strict=True)] = 0.95
    spread_multiple: Annotated[float, Field(ge=0, strict=True)] = 3.0
    confirm: bool = True
    job_noise: Noise = 0.03
    process_noise: Noise = 0.008
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)] = METRICS
    exclude: tuple[Glob, ...] = ()
    may_differ: tuple[Glob, ...] = ()
    allow: tuple[Forgivable, ...] = ()
    thresholds: tuple[Threshold, ...] = ()

    @model_validator(mode="after")
    def _pairs_suffice(self) -> "GateSettings":
        if self.pairs < self.min_pairs:
            raise ValueError(f"pairs is {self.pairs} and min_pairs {self.min_pairs}: no verdict could ever be given")
        return self

    @property
    def green(self) -> tuple[Verdict, ...]:
        """Verdicts that do not fail the gate."""
        return ("SAME", "IMPROVED", *self.allow)

    def limits(self, key: str, metric: Metric) -> Limits:
        """What holds for one configuration and metric."""
        fields: dict[str, float] = {name: getattr(self, name) for name in Limits.model_fields}
        for threshold in self.thresholds:
            if threshold.is_for(key, metric):
                fields |= threshold.changes
        # Who raises a floor means the ends above it too.
        fields["largest_floor"] = max(fields["largest_floor"], fields["floor"])
        fields["stored_excluded"] = max(fields["stored_excluded"], fields["stored_floor"])
        return Limits(**fields)

    def excludes(self, key: str) -> bool:
        """Whether a configuration is not to be judged."""
        return any(fnmatchcase(key, pattern) for pattern in self.exclude)

    def idle_patterns(self, keys: Iterable[str]) -> list[str]:
        """Patterns of thresholds and exclusions that fit none of the keys: likely misspelt."""
        known = list(keys)
        patterns = dict.fromkeys([*(threshold.key for threshold in self.thresholds), *self.exclude])
        return [pattern for pattern in patterns if not any(fnmatchcase(key, pattern) for key in known)]
