"""Says what every launch is, and compiles the kernels whose digest is not known, in a process that compiles.

Reads ``{"triton": …, "known": {name: digest}, "compile": …, "renew": …}``, see `compiled_facts`; prints ``{"triton": …,
"launches": […], "kernels": […]}``, a kernel's ``needs`` being null where it was not compiled.
"""

import hashlib
import importlib
import json
import os
import pkgutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sparq_kernels
from sparq_kernels.gpu.compiling.building import Job, build, load_cases, plan
from sparq_kernels.gpu.compiling.targets import TARGETS, find_target
from sparq_kernels.gpu.launching import Launch
from sparq_perf.gate.deterministic.compiled import IDENTITY

CASES = "sparq_kernels.gpu.variants"


def main() -> int:
    """Answer; 2 with a line on stderr where a kernel does not compile."""
    question = json.load(sys.stdin)
    from sparq_kernels.gpu.compiling.compiler import triton_version

    forget_line_numbers()
    jobs = plan(CASES, list(TARGETS))
    codes = {title(job): digest(job) for job in jobs}
    needs, failed = compiled([job for job in jobs if wanted(title(job), codes[title(job)], question, triton_version())])
    for line in failed:
        print(line, file=sys.stderr)
    if failed:
        return 2
    answer = {
        "triton": triton_version(),
        "launches": list(launches()),
        "kernels": [{"name": name, "code": code, "needs": needs.get(name)} for name, code in codes.items()],
    }
    print(json.dumps(answer))
    return 0


def wanted(name: str, code: str, question: Mapping[str, Any], triton: str) -> bool:
    """Whether a kernel is to be compiled."""
    known, which = question["known"], question["compile"]
    if known and question["triton"] != triton:
        # Every kernel is another one to another Triton: unless that is accepted, the baseline is refused for it.
        return bool(question["renew"])
    return which == "all" or bool(which == "changed" and known.get(name) != code)


def title(job: Job) -> str:
    """Which kernel, as in the table of compiled kernels."""
    return f"{job.kernel} [{job.variant}] {job.target}"


def digest(job: Job) -> str:
    """Of what the launcher would compile."""
    from sparq_kernels.gpu.compiling.compiler import specialise

    launch = load_cases(job.module)[job.case].record(job.target)[job.launch]
    key = specialise(launch, find_target(job.target)).key
    return hashlib.sha256(f"{key} {launch.num_stages}".encode()).hexdigest()[:16]


def forget_line_numbers() -> None:
    """Triton's digest of a kernel has the line where it stands, which another line above it changes."""
    for module in pkgutil.walk_packages(sparq_kernels.__path__, "sparq_kernels."):
        if module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if hasattr(value, "starting_line_number"):
                value.starting_line_number = 0


def compiled(jobs: Sequence[Job]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What each kernel needs by its title, and the compilers' complaints, a line each."""
    if not jobs:
        return {}, []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRITON_CACHE_DIR"] = folder
        built = list(build(jobs))
    needs, failed = {}, []
    for one in built:
        if one.record is None:
            failed.append(f"{title(one.job)}: {' '.join(one.error.split())}")
        else:
            needs[title(one.job)] = {k: v for k, v in asdict(one.record).items() if k not in IDENTITY}
    return needs, failed


def launches() -> Iterator[dict[str, Any]]:
    """What each case starts on each architecture."""
    for target in TARGETS:
        for case in load_cases(CASES):
            for position, launch in enumerate(case.record(target)):
                yield {"name": f"{case.label} · {position} {launch.step} · {target}", **_row(launch)}


def _row(launch: Launch) -> dict[str, Any]:
    return {
        "kernel": launch.name,
        "grid": "×".join(map(str, launch.grid)),
        "num_warps": launch.num_warps,
        "num_stages": launch.num_stages,
        "max_registers": launch.max_registers,
        **{name: value for name, value in launch.constants.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
