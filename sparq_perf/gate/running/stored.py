"""Stored medians of a user's callables, with where they were measured: a file of a test suite."""

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sparq_perf.gate.environments import TIMED_PACKAGES, differences
from sparq_perf.gate.errors import GateError
from sparq_perf.gate.outputs.writing import write_text

SCHEMA_VERSION = 1
MEND = "measure it again with --sparq-benchmark-save"
# Processes of one callable that are kept: the newest.
MOST_KEPT = 20


@dataclass(frozen=True, slots=True)
class Stored:
    """One callable's past.

    Attributes:
        environment: settings of the machine; see `environment_here`.
        medians_s: one a process.
    """

    environment: Mapping[str, str]
    medians_s: tuple[float, ...]

    def unlike(self, here: Mapping[str, str]) -> tuple[str, ...]:
        """What differs of the machine, in words."""
        return differences(self.environment, here, names=("the stored baseline", "this process"))


def environment_here() -> dict[str, str]:
    """What a time depends on in this process: processor, cores, Python, packages, and the GPU that torch drives."""
    from sparq_perf.measure.environment import cpu_name, usable_cores

    found = {
        "processor": cpu_name(),
        "n_cores": str(usable_cores()),
        "operating_system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    for package in TIMED_PACKAGES:
        try:
            found[f"versions.{package}"] = version(package)
        except PackageNotFoundError:
            found[f"versions.{package}"] = "not installed"
    import torch

    found["torch.threads"] = str(torch.get_num_threads())
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def read_stored(path: Path) -> dict[str, Stored]:
    """Every callable's past by its key; none where there is no file.

    Raises:
        GateError: a file that `write_stored` did not write.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise GateError(f"{path}: cannot be read ({error}): {MEND}") from None
    if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
        raise GateError(f"{path}: is no file of stored benchmarks of version {SCHEMA_VERSION}: {MEND}")
    rows = data.get("benchmarks")
    if not isinstance(rows, dict):
        raise GateError(f"{path}: benchmarks is {rows!r}: {MEND}")
    return {key: _checked(row, f"{path}: {key!r}") for key, row in rows.items()}


def write_stored(path: Path, key: str, environment: Mapping[str, str], median_s: float) -> Stored:
    """Add one process's median to a callable's past; a past on another machine is forgotten.

    Raises:
        GateError: a file that cannot be read or written.
    """
    every = read_stored(path)
    before = every.get(key)
    kept = before.medians_s if before is not None and not before.unlike(environment) else ()
    every[key] = Stored(environment, (*kept, median_s)[-MOST_KEPT:])
    rows = {
        name: {"environment": dict(one.environment), "medians_s": list(one.medians_s)} for name, one in every.items()
    }
    text = json.dumps({"schema_version": SCHEMA_VERSION, "benchmarks": rows}, indent=1, allow_nan=False)
    write_text(path, text + "\n")
    return every[key]


def _checked(row: Any, where: str) -> Stored:
    environment = row.get("environment") if isinstance(row, dict) else None
    medians = row.get("medians_s") if isinstance(row, dict) else None
    if not isinstance(environment, dict) or not all(isinstance(value, str) for value in environment.values()):
        raise GateError(f"{where}: environment is {environment!r}: {MEND}")
    if not isinstance(medians, list) or not medians or not all(map(_is_time, medians)):
        raise GateError(f"{where}: medians_s is {medians!r}: it must be positive numbers: {MEND}")
    return Stored(environment, tuple(map(float, medians)))


def _is_time(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0
