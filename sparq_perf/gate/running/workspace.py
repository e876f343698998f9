"""The folder of a gate run: what was asked for, the lock, the trees; and going on after a kill."""

import fcntl
import hashlib
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.outputs.writing import write_text
from sparq_perf.gate.running.arms import Arm, open_arm
from sparq_perf.gate.running.pairs import ARMS
from sparq_perf.gate.running.revisions import Revision, resolve
from sparq_perf.gate.running.settings import Measuring
from sparq_perf.gate.running.trees import build_tree, check_same, remove_tree
from sparq_profiles.load import describe
from sparq_profiles.quantity import Frozen

ASKED_NAME = "asked.json"
SUITE_NAME = "suite.toml"
TREES_NAME = "trees"
ENVIRONMENTS_NAME = "environments"
LOCK_NAME = ".lock"


class Side(Frozen):
    """A revision, as far as it decides what is measured."""

    commit: str
    digest: str | None


class Asked(Frozen):
    """What a folder's records are of: they are gone on with for exactly this, and nothing else."""

    schema_version: Literal[1] = 1
    base: Side
    candidate: Side
    suite_sha256: str
    pairs: Annotated[int, Field(ge=1)]
    measuring: Measuring

    def unlike(self, other: "Asked") -> str | None:
        """The first field that differs, in words."""
        before, after = self.model_dump(), other.model_dump()
        for name in before:
            if before[name] != after[name]:
                return f"{name} is {_short(before[name])} there and {_short(after[name])} here"
        return None


def asked_for(base: Revision, candidate: Revision, suite: str, pairs: int, measuring: Measuring) -> Asked:
    """What is asked for now."""
    return Asked(
        base=Side(commit=base.commit, digest=base.digest),
        candidate=Side(commit=candidate.commit, digest=candidate.digest),
        suite_sha256=hashlib.sha256(suite.encode()).hexdigest(),
        pairs=pairs,
        measuring=measuring,
    )


@contextmanager
def workspace(out: Path, asked: Asked, suite: str, *, resume: bool) -> Iterator[None]:
    """Hold a folder while it is filled; what an earlier run left there is gone on with, or kept aside.

    Raises:
        GateError: another gate run fills it, or what is to be resumed is of something else.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = os.open(out / LOCK_NAME, os.O_WRONLY | os.O_CREAT, 0o644)
    except OSError as error:
        raise GateError(f"{out}: cannot be written: {error.strerror}") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise GateError(f"{out}: another gate run fills it: wait for it, or name another --out") from None
        before = _read(out / ASKED_NAME)
        if before is not None and resume:
            unlike = before.unlike(asked)
            if unlike:
                raise GateError(f"{out}: cannot be resumed: {unlike}: name another --out, or leave out --resume")
        elif before is not None:
            _keep_aside(out)
        write_text(out / ASKED_NAME, asked.model_dump_json(indent=2) + "\n")
        write_text(out / SUITE_NAME, suite)
        with terminate_as_interrupt():
            yield
    finally:
        os.close(lock)


@contextmanager
def open_arms(
    repository: Path, revisions: Mapping[str, Revision], out: Path, measuring: Measuring, *, keep: bool = False
) -> Iterator[dict[str, Arm]]:
    """Both arms, each in a tree of its own, which is removed at the end unless it is to be kept or the user stops.

    Raises:
        GateError: a tree that cannot be made, or an arm that does not start.
    """
    # Names of the same length: where a process lies in memory depends on the length of its paths, and so do times.
    trees = {name: out.resolve() / TREES_NAME / short for name, short in zip(ARMS, ("base", "cand"), strict=True)}
    environments = out.resolve() / ENVIRONMENTS_NAME if measuring.install else None
    try:
        for name in ARMS:
            build_tree(repository, revisions[name], trees[name])
            check_same(repository, revisions[name], resolve(repository, revisions[name].label))
        yield {name: open_arm(name, trees[name], environments) for name in ARMS}
    except KeyboardInterrupt:
        keep = True  # for --resume
        raise
    finally:
        if not keep:
            for tree in trees.values():
                remove_tree(repository, tree)
            shutil.rmtree(out / TREES_NAME, ignore_errors=True)


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """A CI system that cancels a job ends it by SIGTERM: the process that measures must not live on."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _read(path: Path) -> Asked | None:
    try:
        return Asked.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise GateError(describe(error, str(path))) from None
    except (OSError, ValueError) as error:
        raise GateError(f"{path}: cannot be read: {error}") from None


def _keep_aside(out: Path) -> None:
    """Rename an earlier run's folder, which a new one must not overwrite."""
    stamp = datetime.fromtimestamp((out / ASKED_NAME).stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%SZ")
    kept, n = out.with_name(f"{out.name}-{stamp}"), 1
    while kept.exists():
        n += 1
        kept = out.with_name(f"{out.name}-{stamp}-{n}")
    for name in (TREES_NAME, ENVIRONMENTS_NAME):  # of a run that was killed: they are made again from git
        shutil.rmtree(out / name, ignore_errors=True)
    kept.mkdir()
    for path in out.iterdir():
        if path.name != LOCK_NAME:
            path.rename(kept / path.name)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
