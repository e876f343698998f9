"""Which code is measured: a commit, or the working tree as it stands."""

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sparq_perf.gate.errors import GateError

WORKING_TREE = "."
# Where a revision keeps its packages: what an interpreter is told to import from.
SOURCE_ROOTS = (".", "profiles", "roofline", "kernels")
PACKAGES = ("sparq_perf", "profiles/sparq_profiles", "roofline/sparq_roofline", "kernels/sparq_kernels")


@dataclass(frozen=True, slots=True)
class Revision:
    """One side of the comparison.

    Attributes:
        label: what the user called it.
        commit: full hash; of a working tree, the commit that it stands on.
        changed: files of the working tree that differ from the commit, by path; empty for a commit.
        digest: of what is in those; None where there are none.
    """

    label: str
    commit: str
    changed: tuple[str, ...] = ()
    digest: str | None = None

    @property
    def title(self) -> str:
        """For people."""
        more = f" + {len(self.changed)} changed files" if self.changed else ""
        name = "working tree" if self.label == WORKING_TREE else self.label
        return f"{name} ({self.commit[:12]}{more})"


def find_repository(folder: Path) -> Path:
    """Root of the git repository that holds a folder.

    Raises:
        GateError: there is none, or it is not sparq-perf's.
    """
    root = Path(git(folder, "rev-parse", "--show-toplevel"))
    if not (root / PACKAGES[0]).is_dir():
        raise GateError(
            f"{root}: is no repository of sparq-perf: start 'sparq-perf gate run' inside one, or give --repo"
        )
    return root


def resolve(repository: Path, name: str) -> Revision:
    """The revision of a name that git knows, or the working tree for ``.``.

    Raises:
        GateError: git knows no such commit.
    """
    if name == WORKING_TREE:
        changed = _changed_files(repository)
        return Revision(
            name, git(repository, "rev-parse", "HEAD"), changed, _digest(repository, changed) if changed else None
        )
    try:
        commit = git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except GateError:
        raise GateError(
            f"revision {name!r}: git knows no such commit in {repository}: name a commit, branch or tag, or . for the "
            "working tree; a shallow clone may lack it (git fetch --unshallow)"
        ) from None
    return Revision(name, commit)


def git(folder: Path, *arguments: str) -> str:
    """What git prints.

    Raises:
        GateError: git is not there, or fails; the message has its words.
    """
    command = ["git", "-C", str(folder), "-c", "core.hooksPath=/dev/null", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise GateError(f"git cannot be started: {error.strerror}") from None
    if done.returncode:
        raise GateError(f"git {arguments[0]}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout.strip("\n")


def _changed_files(repository: Path) -> tuple[str, ...]:
    """Tracked files that differ from HEAD, and files of the packages that git does not know yet."""
    tracked = git(repository, "diff", "--name-only", "--no-renames", "-z", "HEAD")
    new = git(repository, "ls-files", "--others", "--exclude-standard", "-z", "--", *PACKAGES)
    return tuple(sorted({name for name in (*tracked.split("\0"), *new.split("\0")) if name}))


def _digest(repository: Path, names: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name in names:
        path = repository / name
        content = path.read_bytes() if path.is_file() else b"removed"
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]
