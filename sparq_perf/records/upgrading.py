"""Reading what earlier versions wrote, as the current version would have written it."""

from dataclasses import asdict
from math import log
from typing import Any

from sparq_perf.records.schema import SCHEMA_VERSION
from sparq_roofline.calibration.factors import Factors
from sparq_roofline.calibration.predicting import NINETY_PERCENT

READABLE_VERSIONS = (1, 2, 3, SCHEMA_VERSION)


def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
    """A line of a readable version in the current one.

    Version 1 knew CPUs only, timed by the host's clock: a measurement with samples and no timer was timed by
    `time.perf_counter`. Up to version 2 a measurement said that it had no energy, for no version measured any. Up
    to version 3 time models had no host's floor, chains and factors. What they say besides holds as it is.
    """
    if fields["schema_version"] == SCHEMA_VERSION:
        return fields
    upgraded = {**fields, "schema_version": SCHEMA_VERSION}
    if fields["record"] == "measurement" and fields["schema_version"] < 3:
        if fields.get("samples_s"):
            upgraded.setdefault("timer", "perf_counter")
        if upgraded.pop("energy_j", None) is None:
            upgraded.pop("energy_reason", None)
    if fields["record"] == "calibration" and isinstance(fields.get("model"), dict):
        upgraded["model"] = _time_model(fields["model"])
    return upgraded


def _time_model(model: dict[str, Any]) -> dict[str, Any]:
    """A sum of costs, predicted within twice the fit's residual and at least 5 %, in the current terms."""
    costs = {name: value for name, value in model.items() if name != "relative_residual"}
    residual = model.get("relative_residual", 0.0)
    spread = log(1 + max(2 * residual, 0.05)) / NINETY_PERCENT
    return {
        **costs,
        "host_s": 0.0,
        "overlap": 1.0,
        "position_s": 0.0,
        "left_out_error": residual,
        "factors": asdict(Factors.none(spread)),
    }
