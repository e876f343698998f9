"""Why Nsight Compute counted nothing, from what it and the profiled program printed."""

from sparq_perf.records.reading import Absence, AbsenceKind

LONGEST_DETAIL = 300

# Looked for in this order: an application that fails is often the consequence of another error.
KNOWN: tuple[tuple[str, AbsenceKind, str], ...] = (
    ("ERR_NVGPUCTRPERM", "no_permission", "run as administrator, or load the driver with profiling for all users"),
    ("Profiling is not supported on device", "not_supported", "a newer ncu may know this GPU"),
    ("LibraryNotLoaded", "driver_missing", "ncu does not fit the driver, or a container hides part of it"),
    ("failed to connect to the CUDA driver", "driver_missing", "ncu does not fit the driver"),
    ("driver resource was unavailable", "failed", "another tool holds the counters, such as DCGM"),
    ("Failed to find metric", "not_supported", "this GPU has no DRAM counters that ncu knows"),
    ("Failed to access the following", "not_supported", "this GPU has no DRAM counters that ncu knows"),
    ("nrecognised option", "not_supported", "this ncu is too old"),
    ("nrecognized option", "not_supported", "this ncu is too old"),
)
UNKNOWN_METRIC = ("Failed to find metric", "Failed to access the following")
PROGRAM_FAILED = "The application returned an error code"
NOTHING_PROFILED = "No kernels were profiled"


def explain(stdout: str, stderr: str) -> Absence:
    """The absence behind an output without counts."""
    lines = [*stdout.splitlines(), *stderr.splitlines()]
    for needle, kind, mend in KNOWN:
        line = _first(lines, needle)
        if line is not None:
            return absence(kind, f"{_bare(line)} ({mend})")
    code = _first(lines, PROGRAM_FAILED)
    if code is not None:
        return absence("failed", f"{_bare(code)} {last_words(stderr)}")
    error = _first(lines, "==ERROR==")
    if error is not None:
        return absence("failed", _bare(error))
    nothing = _first(lines, NOTHING_PROFILED)
    if nothing is not None:
        return absence("failed", f"{_bare(nothing)} ncu saw none of the kernels in the child's ranges")
    return absence("failed", f"ncu printed no table: {last_words(stderr)}")


def unknown_metric(stdout: str, stderr: str) -> bool:
    """Whether ncu stopped at the name of a metric."""
    return any(needle in stdout or needle in stderr for needle in UNKNOWN_METRIC)


def last_words(stderr: str) -> str:
    """The last line that a program wrote of its errors."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith("==")]
    return lines[-1] if lines else "it wrote no error"


def absence(kind: AbsenceKind, detail: str) -> Absence:
    """An absence of one line that is not too long."""
    line = " ".join(detail.split())
    return Absence(kind=kind, detail=line if len(line) <= LONGEST_DETAIL else f"{line[: LONGEST_DETAIL - 1]}…")


def _first(lines: list[str], needle: str) -> str | None:
    return next((line for line in lines if needle in line), None)


def _bare(line: str) -> str:
    return line.removeprefix("==ERROR==").removeprefix("==WARNING==").strip()
