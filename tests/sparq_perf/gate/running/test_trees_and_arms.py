"""Trees hold exactly their revision, and an arm runs exactly its tree."""

import sys
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.running.arms import open_arm
from sparq_perf.gate.running.revisions import find_repository, resolve
from sparq_perf.gate.running.trees import build_tree, import_path, remove_tree

Project = Any  # of the fixture `project`


def files(tree: Path) -> dict[str, str]:
    return {
        str(path.relative_to(tree)): path.read_text()
        for path in tree.rglob("*")
        if path.is_file() and ".git" not in path.parts and not path.name.startswith(".")
    }


def test_a_commit_is_checked_out_as_it_is(project: Project, tmp_path: Path) -> None:
    first = project.git("rev-parse", "HEAD")
    project.commit("2.0")
    project.speed.write_text("3.0")
    build_tree(project.root, resolve(project.root, first), tmp_path / "tree")
    assert (tmp_path / "tree" / "kernels" / "sparq_kernels" / "speed.txt").read_text() == "1.0"
    assert project.speed.read_text() == "3.0"
    assert project.git("branch", "--show-current") == "main"


def test_a_working_tree_is_taken_with_its_changes(project: Project, tmp_path: Path) -> None:
    (project.root / "old.py").write_text("old")
    project.git("add", ".")
    project.git("commit", "-qm", "a file")
    project.speed.write_text("3.0")
    (project.root / "old.py").unlink()
    (project.root / "kernels" / "sparq_kernels" / "new.py").write_text("new")
    (project.root / "notes.txt").write_text("untracked, outside of the packages")
    (project.root / ".gitignore").write_text("ignored.py\n")
    (project.root / "kernels" / "sparq_kernels" / "ignored.py").write_text("ignored")
    revision = resolve(project.root, ".")
    assert revision.changed == ("kernels/sparq_kernels/new.py", "kernels/sparq_kernels/speed.txt", "old.py")
    assert revision.title.endswith(" + 3 changed files)")
    build_tree(project.root, revision, tmp_path / "tree")
    found = files(tmp_path / "tree")
    assert found["kernels/sparq_kernels/speed.txt"] == "3.0"
    assert found["kernels/sparq_kernels/new.py"] == "new"
    assert not {"old.py", "notes.txt", "kernels/sparq_kernels/ignored.py"} & set(found)
    assert project.git("stash", "list") == ""


def test_another_change_is_another_revision(project: Project) -> None:
    clean = resolve(project.root, ".")
    assert (clean.digest, clean.changed) == (None, ())
    project.speed.write_text("2.0")
    once = resolve(project.root, ".")
    project.speed.write_text("3.0")
    twice = resolve(project.root, ".")
    project.speed.unlink()
    assert len({clean.digest, once.digest, twice.digest, resolve(project.root, ".").digest}) == 4


def test_a_tree_that_is_there_is_kept_and_another_revisions_is_not(project: Project, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    revision = resolve(project.root, "main")
    build_tree(project.root, revision, tree)
    (tree / "compiled.cache").touch()
    build_tree(project.root, revision, tree)
    assert (tree / "compiled.cache").exists()
    project.commit("2.0")
    build_tree(project.root, resolve(project.root, "main"), tree)
    assert not (tree / "compiled.cache").exists()
    remove_tree(project.root, tree)
    remove_tree(project.root, tree)
    assert project.git("worktree", "list").count("\n") == 0


def test_a_half_made_tree_is_made_again(project: Project, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "left.txt").touch()
    build_tree(project.root, resolve(project.root, "main"), tree)
    assert (tree / "sparq_perf" / "__main__.py").exists()
    assert not (tree / "left.txt").exists()


@pytest.mark.parametrize("name", ["no-such-branch", "HEAD~99", "--all", "main:kernels", ""])
def test_a_name_that_is_no_commit_is_refused(project: Project, name: str) -> None:
    with pytest.raises(GateError, match="git knows no such commit"):
        resolve(project.root, name)


def test_a_folder_that_is_no_repository_of_sparq_perf_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="not a git repository"):
        find_repository(tmp_path)
    with pytest.raises(GateError, match="git rev-parse: "):
        find_repository(tmp_path / "nowhere")
    assert find_repository(project.root / "kernels") == project.root
    project.git("mv", "sparq_perf", "other")
    with pytest.raises(GateError, match=r"is no repository of sparq-perf: start 'sparq-perf gate run' inside one"):
        find_repository(project.root)


def test_an_arm_imports_its_own_tree_first(project: Project, tmp_path: Path) -> None:
    build_tree(project.root, resolve(project.root, "main"), tmp_path / "tree")
    arm = open_arm("base", tmp_path / "tree")
    assert arm.python == sys.executable
    assert {"--no-predict", "--suite", "--threads"} <= arm.options
    assert arm.environment["PYTHONPATH"].split(":")[:4] == [
        str(tmp_path / "tree" / root) for root in ("", "profiles", "roofline", "kernels")
    ]
    assert import_path(tmp_path / "tree", "/a:/b").endswith(":/a:/b")


def test_a_tree_without_a_package_does_not_borrow_another_ones(project: Project, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    build_tree(project.root, resolve(project.root, "main"), tree)
    (tree / "roofline" / "sparq_roofline" / "__init__.py").unlink()
    (tree / "roofline" / "sparq_roofline").rmdir()
    with pytest.raises(GateError, match="base: "):
        open_arm("base", tree)


def test_an_arm_that_does_not_start_says_why(project: Project, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    build_tree(project.root, resolve(project.root, "main"), tree)
    (tree / "sparq_perf" / "__main__.py").write_text("raise SystemExit('needs another Python')")
    with pytest.raises(GateError, match=r"base: does not start \(exit code 1\): needs another Python"):
        open_arm("base", tree)
