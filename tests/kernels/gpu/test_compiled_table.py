"""The committed table of compiled kernels is what the compilers say today."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparq_kernels.gpu.compiling.table import read_table
from sparq_kernels.gpu.compiling.targets import TARGETS

ROOT = Path(__file__).parents[3]
TABLE = ROOT / "reports" / "baselines" / "compiled-kernels.json"


# One architecture whole, and of the others one kernel: all of them are three minutes more of two cores. What changes a
# kernel changes its row for sm_90 too, and `make compiled` writes every row anew.
WHOLE = ("--target", "sm_90")
SAMPLED = ("--kernel", "append", *(word for name in TARGETS if name != "sm_90" for word in ("--target", name)))


@pytest.mark.parametrize("chosen", [WHOLE, SAMPLED], ids=["whole", "sampled"])
def test_kernels_compile_as_the_table_says(nvidia_tools: None, tmp_path: Path, chosen: tuple[str, ...]) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRITON_")}
    done = subprocess.run(
        [sys.executable, "-m", "sparq_kernels.gpu.compiling", "--check", str(TABLE), *chosen],
        env={**inherited, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, f"{done.stderr}\nif this is meant, run `make compiled` and commit what it writes"


def test_the_table_holds_every_target_and_no_nvidia_kernel_uses_local_memory() -> None:
    rows = read_table(TABLE).rows
    assert {row.target for row in rows} == set(TARGETS)
    spilling = [row for row in rows if TARGETS[row.target].backend == "cuda" and row.uses_local_memory]
    assert spilling == []
    # What the compilers did not say is not taken for zero.
    assert all(row.local_instructions is not None for row in rows if TARGETS[row.target].backend == "cuda")


def test_the_page_is_a_rendering_of_the_table() -> None:
    page = (ROOT / "docs" / "kernels-compiled.md").read_text(encoding="utf-8")
    assert page == read_table(TABLE).as_markdown()


@pytest.mark.parametrize("target", TARGETS)
def test_every_kernel_is_compiled_for_every_target(target: str) -> None:
    rows = read_table(TABLE).rows
    assert {row.kernel for row in rows if row.target == target} == {row.kernel for row in rows}
