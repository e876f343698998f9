"""What telemetry may not say."""

from typing import Any

import pytest
from pydantic import ValidationError

from sparq_perf.records.telemetry import SERIES, Telemetry

REASON = {"kind": "not_supported", "detail": "temperature: Not Supported"}


def fields(**changes: Any) -> dict[str, Any]:
    """Two samples of power; the other series are absent."""
    return {
        "began": "2026-11-21T12:00:00Z",
        "interval_s": 0.1,
        "times_s": (0.0, 0.1),
        "series": {"power_instant_w": (400.0, 410.0)},
        "slowdowns": ((), ("software power cap",)),
        "absences": {name: REASON for name in SERIES if name != "power_instant_w"},
        **changes,
    }


def absent(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, REASON)


def test_what_may_be_said() -> None:
    telemetry = Telemetry.model_validate(fields())
    assert Telemetry.model_validate_json(telemetry.model_dump_json()) == telemetry
    # Ended early, or never had a sample.
    Telemetry.model_validate(fields(series={"power_instant_w": (400.0, None)}, absences=absent(*SERIES, "slowdowns")))
    Telemetry.model_validate(fields(times_s=(), series={}, slowdowns=(), absences=absent(*SERIES)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"times_s": (0.1, 0.2)}, r"times_s begins at 0\.1"),
        ({"times_s": (0.0, 0.0)}, "times_s must ascend"),
        ({"times_s": (0.0,)}, "power_instant_w has 2 values for 1 times"),
        ({"slowdowns": ((),)}, "slowdowns has 1 values for 2 times"),
        ({"series": {"power_instant_w": (None, None)}}, "power_instant_w has no value"),
        ({"series": {"power_instant_w": (1.0, float("nan"))}}, "finite"),
        ({"times_s": (0.0, float("inf"))}, "finite"),
        ({"absences": absent(*SERIES)}, "power_instant_w has values to the end, and an absence"),
        ({"absences": {}}, "neither values nor an absence"),
        ({"series": {"volts": (1.0, 1.0)}}, "volts"),
        ({"interval_s": 0.0}, "greater than 0"),
        ({"began": "2026-11-21T12:00:00"}, "timezone"),
    ],
)
def test_what_may_not(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Telemetry.model_validate(fields(**changes))
