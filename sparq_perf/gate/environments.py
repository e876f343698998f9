"""Which settings of a machine a time depends on: to compare two runs, and to tell stretches of history apart."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from sparq_perf.records.environment import Environment

# Packages that generate or run the timed code. A new pydantic makes no kernel slower.
TIMED_PACKAGES = ("torch", "triton", "numba", "numpy")
# Settings that somebody makes, among what NVML tells of the moment.
GPU_STATE_SETTINGS = ("power_limit_w", "ecc_enabled", "mig_enabled")
GIB = 2**30
# Tells one board from the next of its kind. Pairs must share it; a history goes on over a fleet of equal boards.
BOARD = "gpu.uuid"


def settings_of(environment: Environment) -> dict[str, str]:
    """What a time on this machine depends on, by dotted name; not its load, nor the commit that was measured."""
    versions = environment.versions
    found: dict[str, object] = {
        "device": environment.device,
        "n_cores": environment.n_cores,
        "n_threads": environment.n_threads,
        # The kernel's figure differs by some MB from boot to boot.
        "memory_gib": round(environment.memory_bytes / GIB),
        "operating_system": environment.operating_system,
        "python": environment.python,
        **{f"versions.{name}": versions.get(name, "not recorded") for name in TIMED_PACKAGES},
    }
    if environment.gpu is not None:
        fields = environment.gpu.model_dump(exclude={"memory_bytes"})
        found |= {f"gpu.{name}": value for name, value in fields.items()}
        found["gpu.memory_gib"] = round(environment.gpu.memory_bytes / GIB)
    if environment.gpu is not None and environment.gpu_state is not None:
        for name in GPU_STATE_SETTINGS:
            found[f"gpu_state.{name}"] = getattr(environment.gpu_state, name).value
    return {name: "not known" if value is None else str(value) for name, value in found.items()}


def fingerprint(environment: Environment) -> str:
    """Twelve hexadecimal digits, the same for machines on which the same code should take the same time."""
    settings = {name: value for name, value in settings_of(environment).items() if name != BOARD}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def differences(
    base: Mapping[str, str],
    candidate: Mapping[str, str],
    may_differ: Iterable[str] = (),
    *,
    names: tuple[str, str] = ("base", "candidate"),
) -> tuple[str, ...]:
    """Settings that are not the same, in words; none where the two are alike.

    ``may_differ`` has patterns of settings that need not be the same, ``names`` what the two are called.
    """
    patterns = list(may_differ)
    unlike = [
        setting
        for setting in dict.fromkeys([*base, *candidate])
        if base.get(setting) != candidate.get(setting) and not any(fnmatchcase(setting, one) for one in patterns)
    ]
    unknown = "not recorded"
    return tuple(
        f"{setting} is {base.get(setting, unknown)} in {names[0]} and {candidate.get(setting, unknown)} in {names[1]}"
        for setting in unlike
    )
