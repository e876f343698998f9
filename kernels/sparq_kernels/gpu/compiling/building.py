"""Compiles the launches of many cases, each different kernel once, over several processes."""

import importlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from sparq_kernels.gpu.compiling.record import CompiledKernel
from sparq_kernels.gpu.compiling.targets import Target, find_target
from sparq_kernels.gpu.launching import Launch
from sparq_profiles import ConfigError
from sparq_profiles.errors import SparqPerfError


class Case(Protocol):
    """Something whose launches are compiled."""

    @property
    def label(self) -> str:
        """A name that no other case has."""
        ...

    def record(self, target: str) -> list[Launch]:
        """The launches it makes on such a device; nothing runs."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """One launch to compile. A worker records the case again, since a jitted function cannot be sent to it."""

    module: str
    case: int
    launch: int
    target: str
    kernel: str
    variant: str


@dataclass(frozen=True, slots=True)
class Built:
    """What became of a job: the record and the machine code's text, or the compilers' complaint."""

    job: Job
    record: CompiledKernel | None
    listing: str
    error: str


def load_cases(module: str) -> Sequence[Case]:
    """The cases that a module names in ``CASES``.

    Raises:
        ConfigError: no such module, or it has no cases.
    """
    try:
        return importlib.import_module(module).CASES  # type: ignore[no-any-return]
    except (ModuleNotFoundError, AttributeError) as error:
        raise ConfigError(f"cases: {module!r}: {error}: name a module that holds CASES") from error


def plan(module: str, targets: Sequence[str], kernel: str | None = None) -> list[Job]:
    """The launches of a module's cases, each different machine code once, under the first case that runs it.

    Args:
        module: holds ``CASES``.
        targets: names of targets.
        kernel: only kernels of this name; None takes all.

    Raises:
        ConfigError: an unknown target, or nothing to compile.
        CompilationError: arguments that Triton's launcher refuses.
    """
    from sparq_kernels.gpu.compiling.compiler import specialise

    jobs: list[Job] = []
    for name in targets:
        target = find_target(name)
        known: set[str] = set()
        for index, case in enumerate(load_cases(module)):
            names: dict[str, int] = {}
            for position, launch in enumerate(_recorded(module, index, name)):
                if kernel not in (None, launch.name):
                    continue
                names[launch.name] = names.get(launch.name, 0) + 1
                again = f" #{names[launch.name]}" if names[launch.name] > 1 else ""
                key = specialise(launch, target).key
                if key not in known:
                    known.add(key)
                    jobs.append(Job(module, index, position, name, launch.name, f"{case.label}{again}"))
    if not jobs:
        raise ConfigError(
            f"cases: {module!r} launches no kernel named {kernel!r}" if kernel else f"{module!r}: no cases"
        )
    return jobs


def build(jobs: Sequence[Job], workers: int | None = None, *, listing: bool = True) -> Iterator[Built]:
    """Compile jobs as they finish; a refusal is a result, not an error.

    Args:
        jobs: from `plan`.
        workers: processes; None takes one a core, and 1 this one.
        listing: whether the machine code is wanted as text, see `compile_launch`.

    Raises:
        BuildError: a compiler that took its process down.
    """
    count = min(workers or len(os.sched_getaffinity(0)), len(jobs))
    if count == 1:
        yield from (run_job(job, listing) for job in jobs)
        return
    # Spawned, not forked: torch and LLVM have started threads by now.
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(run_job, job, listing) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise BuildError("a compiler ended its process: run again with --workers 1 to see where") from error


class BuildError(SparqPerfError):
    """A compiler that crashed instead of complaining."""


def run_job(job: Job, listing: bool = True) -> Built:
    """Compile one job in this process."""
    from sparq_kernels.gpu.compiling.compiler import CompilationError, compile_launch

    target: Target = find_target(job.target)
    launch = _recorded(job.module, job.case, job.target)[job.launch]
    try:
        record, text = compile_launch(launch, target, job.variant, listing=listing)
    except CompilationError as error:
        return Built(job, None, "", str(error))
    return Built(job, record, text, "")


@cache
def _recorded(module: str, case: int, target: str) -> list[Launch]:
    return load_cases(module)[case].record(target)
