"""Measurements to fit to and to check against, as plain points."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf

from sparq_profiles import AttentionShape, ConfigError, SparqConfig
from sparq_profiles.shape import KLayout
from sparq_roofline.steps import Traffic
from sparq_roofline.traffic import DEFAULT_SECTOR_BYTES, dense_traffic, sparq_traffic

# Bytes and FLOPs of one call, from its shape and settings (None: dense).
TrafficOf = Callable[[AttentionShape, SparqConfig | None], Traffic]
# Those of implementations whose own steps are known, by name.
OwnTraffic = Mapping[str, TrafficOf]

APPEND = ("append",)


@dataclass(frozen=True, slots=True)
class MeasuredPoint:
    """Time of one configuration by one implementation.

    Attributes:
        config: SparQ settings; None for dense attention.
        time_stderr_s: standard error of the time, where it is known.
        footprint_bytes: size of the data read over and over where caches were warm; None where they were cold.

    Raises:
        ConfigError: a time that is not above 0 and finite.
    """

    implementation: str
    shape: AttentionShape
    config: SparqConfig | None
    time_s: float
    time_stderr_s: float | None = None
    footprint_bytes: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.time_s < inf:
            raise ConfigError(
                f"{self.implementation} at {self.shape}: time_s is {self.time_s!r}: it must be above 0 and finite"
            )

    @property
    def k_layout(self) -> KLayout | None:
        """Layout of K that was measured; None for dense attention."""
        return self.config.k_layout if self.config else None


def algorithm_traffic(
    shape: AttentionShape, config: SparqConfig | None, *, sector_bytes: int = DEFAULT_SECTOR_BYTES
) -> Traffic:
    """The algorithm's minimum without the append, for implementations whose own steps are not known.

    What an unfused implementation adds grows with the same amounts: passes over the scores with the elements, copies
    of the channels with the FLOPs of scoring, a materialised gather with the gathered bytes. Its costs say how much.
    """
    if config is None:
        return dense_traffic(shape).without(APPEND)
    return sparq_traffic(shape, config, sector_bytes=sector_bytes).without(APPEND)
