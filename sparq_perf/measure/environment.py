"""Where and with what a run is made."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

from sparq_perf.measure.instruments import ask_instruments
from sparq_perf.measure.nvml import first_gpu_state
from sparq_perf.records.schema import Environment

VERSIONED = ("torch", "triton", "numba", "numpy", "scipy", "pydantic", "nvidia-ml-py")
# Recorded where installed: what some dense baselines call.
BASELINES = ("flash-attn", "flash-attn-3", "flashinfer-python")


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name as the kernel reports it."""
    try:
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Hardware", "cpu model") and value.strip():
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown CPU"


def usable_cores() -> int:
    """Cores this process may run on: a container or taskset may allow fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_sizes(root: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> dict[int, int]:
    """Bytes of the data or unified cache at each level that the first core sees; empty where unknown.

    A virtual machine reports the host's whole last-level cache, of which it may get a part only.
    """
    sizes: dict[int, int] = {}
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    for folder in sorted(root.glob("index*")):
        try:
            kind = (folder / "type").read_text().strip()
            level = int((folder / "level").read_text())
            size = (folder / "size").read_text().strip()
            if kind in ("Data", "Unified"):
                sizes[level] = int(size[:-1]) * units[size[-1]] if size[-1] in units else int(size)
        except (OSError, ValueError, IndexError):
            continue
    return sizes


def memory_limit_bytes() -> int:
    """Memory that this process could have: the machine's, or its control group's if that is less."""
    total = int(psutil.virtual_memory().total)
    limit = _number(Path("/sys/fs/cgroup/memory.max"))
    return min(total, limit) if limit else total


def memory_available_bytes() -> int:
    """Memory that could be taken now without swapping, within the control group's limit."""
    available = int(psutil.virtual_memory().available)
    limit, used = _number(Path("/sys/fs/cgroup/memory.max")), _number(Path("/sys/fs/cgroup/memory.current"))
    return min(available, limit - used) if limit and used is not None else available


def source_commit(folder: Path | None = None) -> str | None:
    """Commit of the source tree this package runs from, ``+changes`` where it has any; None outside a checkout."""
    where = folder or Path(__file__).resolve().parents[2]
    if not (where / ".git").exists():
        return None
    try:
        commit = _git(where, "rev-parse", "--short=12", "HEAD")
        changed = _git(where, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changed else "")


def probe_environment(n_threads: int) -> Environment:
    """What this machine is and what it can be asked, for the first record of a run on its CPU."""
    return Environment(
        device=cpu_name(),
        device_kind="cpu",
        instruments=ask_instruments(),
        gpu_state=first_gpu_state(),
        **host_fields(n_threads),
    )


def host_fields(n_threads: int) -> dict[str, Any]:
    """What an `Environment` says of the host, whatever device is measured."""
    versions = {}
    for package in VERSIONED + BASELINES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            if package in VERSIONED:
                versions[package] = "not installed"
    try:
        load = os.getloadavg()[0]
    except OSError:
        load = None
    return {
        "n_cores": usable_cores(),
        "n_threads": n_threads,
        "memory_bytes": memory_limit_bytes(),
        "load_average": load,
        "operating_system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
        "commit": source_commit(),
    }


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
        return int(text) if text.isdigit() else None
    except OSError:
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
