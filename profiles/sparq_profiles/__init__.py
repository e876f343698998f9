"""What a machine, a model and a workload are. Importing this never imports torch."""

from typing import TYPE_CHECKING, Any

from sparq_profiles.errors import ConfigError, ProfileError, SparqPerfError
from sparq_profiles.shape import AttentionShape, SparqConfig

if TYPE_CHECKING:
    from sparq_profiles.hardware import HardwareProfile
    from sparq_profiles.load import load_hardware, load_model, load_suite
    from sparq_profiles.model import ModelProfile
    from sparq_profiles.suite import Suite, Workload

__all__ = [
    "AttentionShape",
    "ConfigError",
    "HardwareProfile",
    "ModelProfile",
    "ProfileError",
    "SparqConfig",
    "SparqPerfError",
    "Suite",
    "Workload",
    "load_hardware",
    "load_model",
    "load_suite",
]

# Loaded on first use: validation pulls in pydantic, which a bare `import sparq_perf` need not pay for.
_HOME = {
    "HardwareProfile": "hardware",
    "ModelProfile": "model",
    "Suite": "suite",
    "Workload": "suite",
    "load_hardware": "load",
    "load_model": "load",
    "load_suite": "load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sparq_profiles' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"sparq_profiles.{_HOME[name]}"), name)
