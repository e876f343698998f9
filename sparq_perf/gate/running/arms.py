"""An arm of the comparison: an interpreter that runs one revision, and proof that it runs no other."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.running.trees import import_path

PROBE_TIMEOUT_S = 300.0
# Where each package is imported from, and whether `sparq-perf run` knows an option: an earlier revision may not.
_PROBE = """
import importlib.util, json, sys
found = {name: importlib.util.find_spec(name).origin for name in sys.argv[1].split(",")}
print(json.dumps(found))
"""
_PACKAGE_NAMES = ("sparq_perf", "sparq_kernels", "sparq_roofline", "sparq_profiles")


@dataclass(frozen=True, slots=True)
class Arm:
    """One revision, ready to be run.

    Attributes:
        name: ``base`` or ``candidate``.
        python: interpreter.
        environment: its environment variables.
        folder: where its processes start.
        options: that its ``sparq-perf run`` knows, such as ``--no-predict``.
    """

    name: str
    python: str
    environment: Mapping[str, str]
    folder: Path
    options: frozenset[str] = frozenset()

    def command(self, *arguments: str) -> list[str]:
        """A command line of this arm's sparq-perf."""
        return [self.python, "-m", "sparq_perf", *arguments]


def open_arm(name: str, tree: Path, environments: Path | None = None) -> Arm:
    """An arm that imports from a tree, or from a virtual environment into which the tree is installed.

    Args:
        name: of the arm.
        tree: see `build_tree`.
        environments: folder of virtual environments; None runs this interpreter on the tree's sources.

    Raises:
        GateError: the packages are imported from elsewhere, or cannot be, or cannot be installed.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if environments is None:
        environment["PYTHONPATH"] = import_path(tree, os.environ.get("PYTHONPATH"))
        arm, within = Arm(name, sys.executable, environment, tree), tree
    else:
        python = _install(tree, environments / name)
        # Not in the tree, whose packages would be found before the installed ones.
        arm, within = Arm(name, str(python), environment, environments), environments / name
    _check_imports(arm, within)
    return Arm(arm.name, arm.python, arm.environment, arm.folder, _known_options(arm))


def _check_imports(arm: Arm, within: Path) -> None:
    """An editable installation, or a package of the same name, must not stand in for the revision."""
    answer = _output(arm, [arm.python, "-c", _PROBE, ",".join(_PACKAGE_NAMES)])
    try:
        found: dict[str, str] = json.loads(answer)
    except json.JSONDecodeError:
        raise GateError(f"{arm.name}: its packages cannot be found: {answer.strip()[-200:]!r}") from None
    for package, origin in found.items():
        if not Path(origin).resolve().is_relative_to(within.resolve()):
            raise GateError(
                f"{arm.name}: {package} is imported from {origin}, not from {within}: take it out of the interpreter's "
                "path, or give --install"
            )


def _known_options(arm: Arm) -> frozenset[str]:
    text = _output(arm, arm.command("run", "--help"))
    return frozenset(word.strip(" ,/[]") for word in text.split() if word.strip(" ,/[]").startswith("--"))


def _output(arm: Arm, command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            env={**arm.environment, "COLUMNS": "200"},
            cwd=arm.folder,
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GateError(f"{arm.name}: cannot be started: {error}") from None
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise GateError(f"{arm.name}: does not start (exit code {done.returncode}): {words[-1]}")
    return done.stdout


def _install(tree: Path, environment: Path) -> Path:
    """A virtual environment with the tree and what it needs; one that is there already is kept."""
    python = environment / "bin" / "python"
    done = environment / "installed"
    if done.exists():
        return python
    venv.create(environment, with_pip=True, clear=True, symlinks=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if (tree / "constraints.txt").exists():
        command += ["--constraint", str(tree / "constraints.txt")]
    finished = subprocess.run([*command, str(tree)], capture_output=True, text=True, check=False)
    if finished.returncode:
        words = finished.stderr.strip().splitlines() or ["pip said nothing"]
        raise GateError(f"{tree}: cannot be installed: {words[-1]}")
    done.touch()
    return python
