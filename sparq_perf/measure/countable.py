"""What can be counted, by name; needs neither torch nor triton."""

from collections.abc import Sequence

from sparq_kernels.registry import IMPLEMENTATIONS, find_implementation
from sparq_profiles import ConfigError

APPEND = "append-triton"  # the cache's own kernel, which dense and SparQ attention share


def countable(names: Sequence[str] = ()) -> list[str]:
    """Those of these names that have Triton kernels, which must be all; without names, everything that has.

    Raises:
        ConfigError: an unknown name, or an implementation that is not written in Triton.
    """
    known = [*(name for name, entry in IMPLEMENTATIONS.items() if entry.interpretable), APPEND]
    for name in names:
        if name not in known:
            what = find_implementation(name).name
            raise ConfigError(f"implementation is {what!r}, which has no Triton kernel: choose of {', '.join(known)}")
    return list(dict.fromkeys(names)) or known


def needs_settings(names: Sequence[str]) -> bool:
    """Whether SparQ's settings matter to any of these."""
    return any(name in IMPLEMENTATIONS and IMPLEMENTATIONS[name].sparse for name in names)
