"""Whether this process may read a GPU's performance counters, as far as Linux tells without trying."""

from pathlib import Path

from sparq_perf.records.reading import Absence

# Bits of CapEff in /proc/self/status (linux/capability.h). The driver asks for the first; newer ones may take the
# second instead.
CAP_SYS_ADMIN, CAP_PERFMON = 21, 38


def counters_refused(proc: Path = Path("/proc")) -> Absence | None:
    """Why the driver would refuse; None where it would not, or where nobody knows before trying.

    The driver's module parameter NVreg_RestrictProfilingToAdminUsers shows as RmProfilingAdminOnly; root in a container
    lacks the capability as a rule, and is refused too.
    """
    restricted = _field(proc / "driver/nvidia/params", "RmProfilingAdminOnly")
    capabilities = _field(proc / "self/status", "CapEff")
    if restricted != "1" or capabilities is None:
        return None
    held = int(capabilities, 16)
    if held >> CAP_SYS_ADMIN & 1 or held >> CAP_PERFMON & 1:
        return None
    return Absence(
        kind="no_permission",
        detail="the driver keeps performance counters for administrators (RmProfilingAdminOnly: 1), and this process "
        "lacks CAP_SYS_ADMIN",
    )


def _field(path: Path, name: str) -> str | None:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in found if key.strip() == name), None)
