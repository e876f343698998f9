"""The program that ncu profiles: one decode call of each subject of a plan, inside a range that names it.

Run as ``python -m sparq_perf.measure.dram.child PLAN``. What compiles, allocates or chooses an algorithm happens in a
call before, outside the range; so does what prepares the caches.
"""

import gc
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from sparq_kernels import KVCache, decode
from sparq_kernels.gpu.launching import Launch, observing
from sparq_perf.measure.cuda_driver import CudaDriver
from sparq_perf.measure.cuda_flush import CudaFlush
from sparq_perf.measure.dram.exchange import WATCHED, ChildOutcomes, ChildPlan, SubjectOutcome, subject_range
from sparq_perf.measure.dram.subjects import DramSubject
from sparq_perf.measure.inputs import Queries, build_cache
from sparq_profiles import SparqPerfError


@dataclass(frozen=True, slots=True)
class Stage:
    """The device that calls are made on, and what only a GPU has; tests bring their own.

    Attributes:
        uuid: of the device, as `DeviceFacts` has it.
        span: a range that the profiler sees.
        mark: launches `MARKER_KERNEL`.
        flush: cools the caches, and waits.
        wait: until the device has done all.
        release: gives unused memory back.
    """

    device: torch.device
    uuid: str | None
    span: Callable[[str], AbstractContextManager[object]]
    mark: Callable[[], object]
    flush: Callable[[], object]
    wait: Callable[[], None]
    release: Callable[[], None]


def gpu_stage() -> Stage:
    """Torch's current CUDA device."""
    driver = CudaDriver()
    return Stage(
        device=driver.device,
        uuid=driver.facts().uuid,
        span=torch.cuda.nvtx.range,
        mark=lambda: torch.cuda._sleep(1),  # type: ignore[no-untyped-call]
        flush=CudaFlush(driver),
        wait=driver.synchronize,
        release=driver.empty_cache,
    )


def call_subjects(plan: ChildPlan, stage: Stage, tell: Callable[[ChildOutcomes], None]) -> None:
    """Make every subject's call; ``tell`` hears of all outcomes after each."""
    caches = Caches(plan.seed, stage)
    outcomes: list[SubjectOutcome] = []
    for index, subject in enumerate(plan.subjects):
        try:
            # First of all, so that the n-th marker is the n-th subject's even where one before failed.
            with stage.span(WATCHED):
                stage.mark()
            outcome = SubjectOutcome(steps=call_watched(index, subject, caches.of(subject), plan.seed, stage))
        except Exception as error:  # whatever one subject dies of, the others are called, and it is told
            outcome = SubjectOutcome(failure=f"{type(error).__name__}: {error}".splitlines()[0])
        outcomes.append(outcome)
        tell(ChildOutcomes(subjects=tuple(outcomes)))


class Caches:
    """Builds KV caches, and keeps the last for subjects that share it; never two at once."""

    def __init__(self, seed: int, stage: Stage) -> None:
        self._seed, self._stage = seed, stage
        self._cache: KVCache | None = None
        self._made_for: object = None

    def of(self, subject: DramSubject) -> KVCache:
        """The cache that a subject attends over."""
        wanted = (subject.shape, subject.k_layout)
        if self._cache is None or self._made_for != wanted:
            self._cache = None
            gc.collect()
            self._stage.release()
            self._cache = build_cache(subject.shape, subject.k_layout, self._seed, self._stage.device)
            self._made_for = wanted
        return self._cache


def call_watched(index: int, subject: DramSubject, cache: KVCache, seed: int, stage: Stage) -> dict[str, str]:
    """One call inside the subject's range, its caches prepared; returns steps by kernel name."""
    queries = Queries(subject.shape, seed + 1, stage.device)
    query = queries.draw()
    steps: dict[str, str] = {}

    def call() -> None:
        decode(query, cache, subject.config, subject.implementation)

    def note(launch: Launch) -> None:
        steps[launch.name] = launch.step
        launch.run()

    with observing(note):
        call()
    fresh = queries.draw()
    if subject.cache_state == "cold":
        stage.flush()
    else:
        query.copy_(queries.draw())
        call()
    query.copy_(fresh)  # after the flush: the projection before attention has just written it, too
    stage.wait()
    with stage.span(WATCHED), stage.span(subject_range(index)):
        call()
    stage.wait()
    return steps


def main(arguments: Sequence[str], stage: Callable[[], Stage] = gpu_stage) -> None:
    """Run a plan; outcomes go to the file that it names.

    Raises:
        SparqPerfError: another GPU than the plan's.
    """
    (path,) = arguments
    plan = ChildPlan.model_validate_json(Path(path).read_text(encoding="utf-8"))
    target, chosen = Path(plan.outcomes), stage()
    if plan.uuid is not None and chosen.uuid != plan.uuid:
        raise SparqPerfError(
            f"the child under ncu is on GPU {chosen.uuid} and the run on {plan.uuid}: let CUDA_VISIBLE_DEVICES name one"
        )
    call_subjects(plan, chosen, lambda told: _replace(target, told.model_dump_json()))


def _replace(target: Path, text: str) -> None:
    """Never half a file, should the next call take the process down."""
    beside = target.with_name(f"{target.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(target)


if __name__ == "__main__":
    main(sys.argv[1:])
