"""What the child does around each subject's call, in which order."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from sparq_perf.measure.dram import DramSubject, child
from sparq_perf.measure.dram.child import Stage, call_subjects, main
from sparq_perf.measure.dram.exchange import ChildOutcomes, ChildPlan
from sparq_perf.measure.dram.ncu_failures import last_words
from sparq_profiles import AttentionShape, SparqPerfError

Make = Callable[..., DramSubject]


class Stages:
    """A stage on the CPU; ``done`` is what happened, in order, with the ranges it happened in."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.open: list[str] = []
        self.queries: list[torch.Tensor] = []
        self.uuid: str | None = "GPU-1"

    def note(self, what: str) -> None:
        self.done.append("/".join([*self.open, what]))

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        self.open.append(name)
        try:
            yield
        finally:
            self.open.pop()

    def __call__(self) -> Stage:
        return Stage(
            device=torch.device("cpu"),
            uuid=self.uuid,
            span=self.span,
            mark=lambda: self.note("mark"),
            flush=lambda: self.note("flush"),
            wait=lambda: self.note("wait"),
            release=lambda: self.note("release"),
        )


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    stages = Stages()
    decode, build = child.decode, child.build_cache

    def noted_decode(query: torch.Tensor, cache: Any, config: Any, implementation: str) -> torch.Tensor:
        stages.note("call")
        stages.queries.append(query.clone())
        return decode(query, cache, config, implementation)

    def noted_build(*arguments: Any) -> Any:
        stages.note("build")
        return build(*arguments)

    monkeypatch.setattr(child, "decode", noted_decode)
    monkeypatch.setattr(child, "build_cache", noted_build)
    return stages


def told(stages: Stages, *subjects: DramSubject) -> ChildOutcomes:
    """Run a plan; what was told last."""
    heard: list[ChildOutcomes] = []
    call_subjects(ChildPlan(seed=0, subjects=subjects, outcomes="nowhere"), stages(), heard.append)
    assert [len(one.subjects) for one in heard] == list(range(1, len(subjects) + 1))
    return heard[-1]


WATCHED = "sparq-dram"


def test_a_cold_call(stages: Stages, subject: Make) -> None:
    (outcome,) = told(stages, subject()).subjects
    assert (outcome.steps, outcome.failure) == ({}, None)
    assert stages.done == [
        f"{WATCHED}/mark",
        "release",
        "build",
        "call",
        "flush",
        "wait",
        f"{WATCHED}/sparq-dram-subject-0/call",
        "wait",
    ]
    warm_up, watched = stages.queries
    assert not torch.equal(warm_up, watched)


def test_a_warm_call_follows_another_with_another_query(stages: Stages, subject: Make) -> None:
    told(stages, subject(cache_state="warm"))
    assert stages.done[3:] == ["call", "call", "wait", f"{WATCHED}/sparq-dram-subject-0/call", "wait"]
    _, before, watched = stages.queries
    assert not torch.equal(before, watched)


def test_subjects_of_one_shape_share_their_cache(stages: Stages, subject: Make) -> None:
    other = AttentionShape(1, 64, 4, 2, 32, "float32")
    told(stages, subject(), subject(config=None, implementation="dense-sdpa"), subject(shape=other), subject())
    assert stages.done.count("build") == 3
    assert [line for line in stages.done if line.endswith("/call")] == [
        f"{WATCHED}/sparq-dram-subject-{index}/call" for index in range(4)
    ]
    assert [line for line in stages.done if "mark" in line] == 4 * [f"{WATCHED}/mark"]


def test_a_subject_that_fails_does_not_take_the_others_down(
    stages: Stages, subject: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80 GiB\nmore of it")

    monkeypatch.setattr(child, "build_cache", full)
    first, second = told(stages, subject(), subject(implementation="nothing")).subjects
    assert first.failure == "OutOfMemoryError: CUDA out of memory. Tried to allocate 80 GiB"
    assert second.failure is not None
    # Every subject has its marker, so that markers can be counted.
    assert [line for line in stages.done if "mark" in line] == 2 * [f"{WATCHED}/mark"]
    assert not any(line.endswith("call") for line in stages.done)


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="TRITON_INTERPRET=1 is not set")
def test_steps_of_triton_kernels(stages: Stages, subject: Make) -> None:
    dense = subject(config=None, implementation="dense-triton", shape=AttentionShape(1, 96, 4, 2, 32, "float16"))
    sparq = subject(implementation="sparq-triton", shape=dense.shape)
    first, second = told(stages, dense, sparq).subjects
    assert (first.failure, second.failure) == (None, None)
    assert first.steps == {"attend": "attend"}
    assert second.steps == {"score": "score", "select": "select", "attend": "gather"}


def test_main_leaves_outcomes(stages: Stages, subject: Make, tmp_path: Path) -> None:
    plan = ChildPlan(seed=0, uuid="GPU-1", subjects=(subject(),), outcomes=str(tmp_path / "outcomes.json"))
    (tmp_path / "plan.json").write_text(plan.model_dump_json())
    main([str(tmp_path / "plan.json")], stages)
    found = ChildOutcomes.model_validate_json((tmp_path / "outcomes.json").read_text())
    assert [one.failure for one in found.subjects] == [None]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outcomes.json", "plan.json"]


def test_another_gpu_is_refused(stages: Stages, subject: Make, tmp_path: Path) -> None:
    plan = ChildPlan(seed=0, uuid="GPU-1", subjects=(subject(),), outcomes=str(tmp_path / "outcomes.json"))
    (tmp_path / "plan.json").write_text(plan.model_dump_json())
    stages.uuid = "GPU-2"
    with pytest.raises(SparqPerfError, match="is on GPU GPU-2 and the run on GPU-1: let CUDA_VISIBLE_DEVICES"):
        main([str(tmp_path / "plan.json")], stages)
    assert stages.done == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: the child would use it")
def test_the_program_fails_where_there_is_no_gpu(subject: Make, tmp_path: Path) -> None:
    plan = ChildPlan(seed=0, subjects=(subject(),), outcomes=str(tmp_path / "outcomes.json"))
    (tmp_path / "plan.json").write_text(plan.model_dump_json())
    done = subprocess.run(
        [sys.executable, "-m", "sparq_perf.measure.dram.child", str(tmp_path / "plan.json")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Error" in last_words(done.stderr)
    assert not (tmp_path / "outcomes.json").exists()
