"""Each revision in a tree of its own, so that both can be measured in turn without touching the user's."""

import os
import shutil
from pathlib import Path

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.running.revisions import SOURCE_ROOTS, Revision, git

MARK = ".sparq-perf-gate"  # written last into a tree: what it holds


def build_tree(repository: Path, revision: Revision, tree: Path) -> None:
    """Check out a revision, with the changes of a working tree over it; a tree that is there already is kept.

    Raises:
        GateError: git cannot, or the working tree changed meanwhile.
    """
    holds = f"{revision.commit} {revision.digest or 'as committed'}\n"
    if _holds(tree) == holds:
        return
    remove_tree(repository, tree)
    tree.parent.mkdir(parents=True, exist_ok=True)
    git(repository, "worktree", "add", "--detach", "--force", str(tree), revision.commit)
    for name in revision.changed:
        _copy(repository / name, tree / name)
    (tree / MARK).write_text(holds)


def remove_tree(repository: Path, tree: Path) -> None:
    """Remove a tree, and git's memory of it."""
    try:
        git(repository, "worktree", "remove", "--force", str(tree))
    except GateError:  # it is none: half made, moved, or not there at all
        shutil.rmtree(tree, ignore_errors=True)
        git(repository, "worktree", "prune")


def import_path(tree: Path, inherited: str | None) -> str:
    """PYTHONPATH by which an interpreter imports a tree's packages before any others of their names."""
    roots = [str(tree / root) for root in SOURCE_ROOTS if (tree / root).is_dir()]
    return os.pathsep.join([*roots, *filter(None, (inherited or "").split(os.pathsep))])


def check_same(repository: Path, before: Revision, after: Revision) -> None:
    """Refuse a working tree that was edited while it was copied.

    Raises:
        GateError: it was.
    """
    if before != after:
        raise GateError(f"{repository}: the working tree changed while it was copied: start again")


def _holds(tree: Path) -> str | None:
    try:
        return (tree / MARK).read_text()
    except OSError:
        return None


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    else:
        target.unlink(missing_ok=True)
