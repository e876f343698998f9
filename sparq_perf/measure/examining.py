"""What this machine can measure, and what is missing for the rest: every instrument is asked, most of them tried."""

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, supported_activities

from sparq_kernels.registry import IMPLEMENTATIONS, INTERPRET
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.dram import DramLadder, cpu_rungs
from sparq_perf.measure.environment import cpu_name, usable_cores
from sparq_perf.measure.machine import sees_gpu
from sparq_perf.measure.nvml import first_gpu_state
from sparq_perf.records.dram import Rung
from sparq_perf.records.gpu_state import GpuState
from sparq_perf.records.reading import Absence, AbsenceKind
from sparq_profiles import AttentionShape, SparqConfig

TRIAL_TIMEOUT_S = 60.0
GPU_MEND = "run on a machine with an NVIDIA GPU, its driver, and a torch build for CUDA"
NVML_MENDS: dict[AbsenceKind, str] = {
    "library_missing": "pip install nvidia-ml-py",
    "driver_missing": "where there is a GPU: install its driver; in a container, start that with --gpus all",
    "no_device": "make the GPU visible to this container or virtual machine",
    "no_permission": "ask the machine's owner for permission to read the GPU",
    "mig": "measure on a GPU that is not partitioned",
}
COUNTER_MENDS: dict[AbsenceKind, str] = {
    "library_missing": "install Nsight Compute (ncu), or pip install cupti-python",
    "no_permission": "load the driver with NVreg_RestrictProfilingToAdminUsers=0, or run with CAP_SYS_ADMIN",
    "mig": "measure on a GPU that is not partitioned",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One instrument.

    Attributes:
        name: as ``--require`` takes it.
        tells: what it gives.
        detail: versions and devices behind it, where it is available.
        absence: why it is not; None where it is.
        mend: what would make it so; None where nothing here would.
    """

    name: str
    tells: str
    detail: str | None = None
    absence: Absence | None = None
    mend: str | None = None

    @property
    def available(self) -> bool:
        """Whether it can be used here."""
        return self.absence is None


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found.

    Attributes:
        findings: by instrument.
        gpu_state: what NVML tells of the first GPU, field by field.
        rungs: what each way of counting DRAM bytes says.
    """

    findings: tuple[Finding, ...]
    gpu_state: GpuState
    rungs: tuple[Rung, ...]


def examine() -> Examination:
    """Ask everything once; some seconds."""
    gpu = sees_gpu()
    state = first_gpu_state()
    rungs = _ladder().probe() if gpu else cpu_rungs()
    checks: list[Callable[[], Finding]] = [
        _cpu_timing,
        partial(_gpu_timing, gpu),
        _baselines,
        partial(_profiler, ProfilerActivity.CPU, "profiler-cpu", "time and launches per step of a CPU run"),
        partial(_profiler, ProfilerActivity.CUDA, "profiler-gpu", "time and launches per kernel and step of a GPU run"),
        partial(_nvml, state, "power_average_w", "nvml", "clocks, power, heat and what holds the clock down"),
        partial(_nvml, state, "energy_counter_j", "energy", "energy of a decode step by the GPU's counter"),
        partial(_dram, rungs),
        _counted,
        _compiled,
        _report,
    ]
    with ThreadPoolExecutor() as pool:  # some are tried in processes of their own
        findings = tuple(done.result() for done in [pool.submit(check) for check in checks])
    return Examination(findings, state, rungs)


def _cpu_timing() -> Finding:
    numba = importlib.metadata.version("numba")
    detail = f"{cpu_name()}, {usable_cores()} cores, numba {numba}, torch {torch.__version__}"
    return Finding("cpu", "times of attention on this CPU", detail)


def _gpu_timing(gpu: bool) -> Finding:
    tells = "times of attention on a GPU, Triton kernels included"
    if gpu:
        name = torch.cuda.get_device_name()
        return Finding("gpu", tells, f"{name}, torch {torch.__version__}, triton {_version('triton')}")
    if torch.version.cuda is None and torch.version.hip is None:
        why = Absence(kind="library_missing", detail=f"torch {torch.__version__} is built without CUDA")
    else:
        why = Absence(kind="no_device", detail=f"torch {torch.__version__} sees no CUDA device")
    return Finding("gpu", tells, absence=why, mend=GPU_MEND)


def _baselines() -> Finding:
    tells = "dense decode kernels of serving engines, to compare with on a GPU"
    wanted = [entry for entry in IMPLEMENTATIONS.values() if entry.needs is not None]
    found = [entry.name for entry in wanted if entry.installed]
    if found:
        return Finding("baselines", tells, ", ".join(found))
    mends = dict.fromkeys(mend for _, mend in filter(None, (entry.needs for entry in wanted)))
    why = Absence(kind="library_missing", detail=f"none of {', '.join(entry.name for entry in wanted)} is installed")
    return Finding("baselines", tells, absence=why, mend="; or ".join(mends))


def _profiler(activity: ProfilerActivity, name: str, tells: str) -> Finding:
    if activity in supported_activities():  # type: ignore[no-untyped-call]
        return Finding(name, tells, f"torch {torch.__version__}")
    detail = f"torch {torch.__version__} is built without CUPTI"
    return Finding(name, tells, absence=Absence(kind="library_missing", detail=detail), mend=GPU_MEND)


def _nvml(state: GpuState, field: str, name: str, tells: str) -> Finding:
    reading = getattr(state, field)
    if reading.absence is None:
        return Finding(name, tells, f"nvidia-ml-py {_version('nvidia-ml-py')}")
    return Finding(name, tells, absence=reading.absence, mend=NVML_MENDS.get(reading.absence.kind))


def _dram(rungs: tuple[Rung, ...]) -> Finding:
    tells = "bytes that really move to and from a GPU's memory"
    ready = [f"{rung.name} {rung.detail or ''}".strip() for rung in rungs if rung.absence is None]
    if ready:
        return Finding("dram", tells, f"would try {', then '.join(ready)}")
    first = rungs[0].absence
    assert first is not None
    same = len({str(rung.absence) for rung in rungs}) == 1
    detail = first.detail if same else "; ".join(f"{rung.name}: {rung.absence}" for rung in rungs)
    mend = GPU_MEND if same else COUNTER_MENDS.get(first.kind)
    return Finding("dram", tells, absence=Absence(kind=first.kind, detail=detail), mend=mend)


def _counted() -> Finding:
    """Tried on the smallest case: whether Triton's interpreter works depends on the versions of triton and numpy."""
    tells = "bytes that the Triton kernels' code accesses, without a GPU ('sparq-perf traffic')"
    if find_spec("triton") is None:
        why = Absence(kind="library_missing", detail="triton is not installed")
        return Finding("counted", tells, absence=why, mend="pip install triton")
    versions = f"triton {_version('triton')}, numpy {_version('numpy')}"
    settings = SparqConfig(8, 8)
    shape = AttentionShape(1, 64, 2, 1, 64)
    contender = Contender("sparq-triton", settings)
    trial = {
        "implementation": contender.implementation,
        "shape": asdict(shape),
        "config": asdict(settings),
        "k_layout": settings.k_layout,
    }
    failure = _failure_of_trial(json.dumps([trial]))
    if failure is None:
        return Finding("counted", tells, versions)
    why = Absence(kind="failed", detail=f"{versions}: {failure}")
    return Finding("counted", tells, absence=why, mend="pip install --upgrade triton numpy")


def _failure_of_trial(plan: str) -> str | None:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "sparq_perf.measure.counted_child", "sm_90", "132"],
            input=plan,
            env={**os.environ, INTERPRET: "1", "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
            timeout=TRIAL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"a small trial took more than {TRIAL_TIMEOUT_S:g} s"
    if done.returncode or not done.stdout:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    answer = json.loads(done.stdout.splitlines()[0])
    steps = answer.get("steps", ())
    wrong = [step["step"] for step in steps if step["counted_bytes"] != step["analytic_bytes"]]
    return answer.get("error") or (f"counts of {', '.join(wrong)} differ from the formulas" if wrong else None)


def _compiled() -> Finding:
    tells = "registers, shared memory and occupancy of the Triton kernels, without a GPU ('make compiled')"
    spec = find_spec("triton")
    if spec is None or spec.origin is None:
        why = Absence(kind="library_missing", detail="triton is not installed")
        return Finding("compiled", tells, absence=why, mend="pip install triton")
    tools = list((Path(spec.origin).parent / "backends" / "nvidia" / "bin").glob("ptxas*"))
    if not tools:
        why = Absence(kind="not_supported", detail=f"this triton {_version('triton')} brings no ptxas")
        return Finding("compiled", tells, absence=why, mend="install triton from its published wheels")
    return Finding("compiled", tells, f"triton {_version('triton')}")


def _report() -> Finding:
    tells = "the HTML report"
    if find_spec("plotly") is None:
        why = Absence(kind="library_missing", detail="plotly is not installed")
        return Finding("report", tells, absence=why, mend="pip install plotly, here or where reports are read")
    return Finding("report", tells, f"plotly {_version('plotly')}, jinja2 {_version('jinja2')}")


def _ladder() -> DramLadder:
    from sparq_perf.measure.cuda_driver import CudaDriver

    driver = CudaDriver()
    return DramLadder(driver.facts().uuid, 0, device_index=driver.device.index or 0)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def missing(examination: Examination, required: tuple[str, ...]) -> Iterator[Finding]:
    """Findings of these names that are not available."""
    return (finding for finding in examination.findings if finding.name in required and not finding.available)
