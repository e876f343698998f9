"""Reading what earlier versions wrote, as the current version would have written it."""

from typing import Any

from sparq_perf.records.schema import SCHEMA_VERSION

READABLE_VERSIONS = (1, 2, SCHEMA_VERSION)


def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
    """A line of a readable version in the current one.

    Version 1 knew CPUs only, timed by the host's clock: a measurement with samples and no timer was timed by
    `time.perf_counter`. Up to version 2 a measurement said that it had no energy, for no version measured any. What
    they say besides holds as it is.
    """
    if fields["schema_version"] == SCHEMA_VERSION:
        return fields
    upgraded = {**fields, "schema_version": SCHEMA_VERSION}
    if fields["record"] == "measurement":
        if fields.get("samples_s"):
            upgraded.setdefault("timer", "perf_counter")
        if upgraded.pop("energy_j", None) is None:
            upgraded.pop("energy_reason", None)
    return upgraded
