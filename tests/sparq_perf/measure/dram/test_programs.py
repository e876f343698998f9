"""Programs run to their end, and stopped with all that they started."""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from sparq_perf.measure.dram.programs import Finished, run_program


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_it_leaves() -> None:
    code = "import os, sys; print(os.environ['GREETING']); print('bad', file=sys.stderr); sys.exit(3)"
    assert run_program(python(code), {"GREETING": "hello"}, 60) == Finished("hello\n", "bad\n", 3)


def test_bytes_that_are_no_text() -> None:
    code = "import sys; sys.stdout.buffer.write(b'a\\xffb')"
    assert run_program(python(code), os.environ, 60).stdout == "a\ufffdb"


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        run_program(["/nowhere/ncu"], os.environ, 60)


def test_late_ones_are_stopped_with_their_children(tmp_path: Path) -> None:
    """The child of the program would otherwise hold the GPU, and the pipes."""
    told = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {told}; echo begun; wait"
    began = time.monotonic()
    finished = run_program(["sh", "-c", script], os.environ, 0.3)
    assert time.monotonic() - began < 30
    assert (finished.stdout, finished.returncode) == ("begun\n", None)
    child = int(told.read_text())
    while runs(child):  # a killed process closes its pipes some time before it is gone
        assert time.monotonic() - began < 30
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Whether it is more than a zombie, which is there until its parent, here the machine's init, asks for it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
