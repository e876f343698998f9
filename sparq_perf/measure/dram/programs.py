"""Runs a program to its end, or to a time limit."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finished:
    """What a program left.

    Attributes:
        returncode: None where it was stopped at the time limit.
    """

    stdout: str
    stderr: str
    returncode: int | None


def run_program(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> Finished:
    """Run it, with what it starts, in a process group of its own; nothing of the group outlives the time limit.

    Raises:
        OSError: it cannot be started.
    """
    with subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _stop(process)
            stdout, stderr = process.communicate()
            return Finished(stdout, stderr, None)
        except BaseException:  # an interrupt from the keyboard does not reach another session
            _stop(process)
            raise
    return Finished(stdout, stderr, process.returncode)


def _stop(process: "subprocess.Popen[str]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
