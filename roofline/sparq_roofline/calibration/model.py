"""The calibrated time model of one implementation on one device and layout of K: costs, factors, and what was seen."""

from dataclasses import dataclass, field
from math import inf
from typing import Any, ClassVar

from sparq_roofline.calibration.cost import LEAST
from sparq_roofline.calibration.factors import Factors
from sparq_roofline.calibration.place import Ranges

# Fewer could not tell the costs apart.
MINIMUM_POINTS = 6


@dataclass(frozen=True, slots=True)
class TimeModel:
    """Fitted costs (see `cost`), the factors that vary them, and the sizes they were seen at.

    Attributes:
        host_s: floor of a call, in which the host launches the work.
        overlap: how far the floor hides the device's work: 1 adds them, a large number takes the longer.
        launch_s, piece_s: device time of a launch, and of starting one piece's memory streams.
        stream_slowdown, gather_slowdown: time over the ceiling's time, at least 1.
        element_s: one score through softmax and selection.
        compute_share: time of the arithmetic that memory time does not hide, over its time at the peak.
        position_s: one position of one head's own chain of work, which other heads' work does not hide.
        left_out_error: 90th percentile of |predicted / measured − 1|, each point left out in turn.
        n_points: measurements fitted to, those of the other layouts included.
        ranges: smallest and largest of each size seen (`place.Place`); empty where that is not known.
        factors: tables of the factors, and of how far off a prediction may be.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    host_s: float
    overlap: float
    launch_s: float
    stream_slowdown: float
    gather_slowdown: float
    element_s: float
    compute_share: float
    piece_s: float
    position_s: float
    left_out_error: float
    n_points: int
    ranges: Ranges = field(default_factory=dict)
    factors: Factors = field(default_factory=Factors.none)

    def __post_init__(self) -> None:
        for name, least in (*LEAST.items(), ("host_s", 0.0), ("overlap", 1.0)):
            value = getattr(self, name)
            if not least <= value < inf:
                raise ValueError(f"{name} is {value!r}: it must be a number of at least {least:g}")
