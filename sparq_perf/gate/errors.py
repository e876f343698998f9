"""What the gate refuses to judge."""

from sparq_profiles import SparqPerfError


class GateError(SparqPerfError):
    """Records or settings that no verdict can rest on: exit code 2, never a pass."""
