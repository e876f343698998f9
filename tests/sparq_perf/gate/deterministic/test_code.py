"""What counts as another code: what runs, not how it is written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sparq_perf.gate.deterministic.code import code_facts
from sparq_perf.gate.deterministic.facts import Rows

BEFORE = '''\
"""A module."""

import math

TILE = 256


@compiled(fast=True)
def attend(k: Any, n: int = 4) -> float:
    """Words."""
    total = 0.0
    for i in range(n):
        total += k[i]
    return total


@triton.jit
def device(x):
    return x


@triton.jit(do_not_specialize=["n"])
def other_device(x, n):
    return x


@dataclass(frozen=True)
class Tiling:
    """Words."""

    rows: int = 64

    def half(self) -> int:
        return self.rows // 2


if TILE:
    TILE += 1
'''


@pytest.fixture
def facts(tmp_path: Path) -> Callable[[str], Rows]:
    def _facts(text: str) -> Rows:
        folder = tmp_path / "package" / "cpu"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kernel.py").write_text(text)
        return code_facts(tmp_path / "package")

    return _facts


def test_functions_methods_and_constants_each_have_a_digest(facts: Callable[[str], Rows]) -> None:
    assert list(facts(BEFORE)) == [
        "cpu.kernel.TILE",
        "cpu.kernel.attend",
        "cpu.kernel.Tiling",
        "cpu.kernel.Tiling.rows",
        "cpu.kernel.Tiling.half",
        "cpu.kernel.(statements)",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""', '"""Another word."""'),
        ('    """Words."""\n    total', "    # a remark\n    total"),
        ("import math\n", "import math\nimport os\n"),
        ("TILE = 256", "TILE = (256)  # why"),
        ("k: Any, n: int = 4) -> float", "k, n=4)"),
        ("rows: int = 64", "rows: 'int' = 64"),
        ("def device(x):\n    return x", "def device(x):\n    return x + x"),  # counted and compiled instead
        ("other_device(x, n):\n    return x", "other_device(x, n):\n    return x + n"),
    ],
)
def test_what_does_not_run_does_not_matter(facts: Callable[[str], Rows], old: str, new: str) -> None:
    assert BEFORE.count(old) == 1
    assert facts(BEFORE.replace(old, new)) == facts(BEFORE)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("TILE = 256", "TILE = 128", "TILE"),
        ("total += k[i]", "total += k[i] + 0 * k[i]", "attend"),
        ("total = 0.0", "time.sleep(0.001)\n    total = 0.0", "attend"),
        ("n: int = 4", "n: int = 5", "attend"),
        ("fast=True", "fast=False", "attend"),
        ("rows: int = 64", "rows: int = 32", "Tiling.rows"),
        ("self.rows // 2", "self.rows // 3", "Tiling.half"),
        ("frozen=True", "frozen=False", "Tiling"),
        ("TILE += 1", "TILE += 2", "(statements)"),
    ],
)
def test_what_runs_differently_is_told_where(facts: Callable[[str], Rows], old: str, new: str, where: str) -> None:
    assert BEFORE.count(old) == 1
    before, after = facts(BEFORE), facts(BEFORE.replace(old, new))
    assert [name for name in before if before[name] != after[name]] == [f"cpu.kernel.{where}"]


def test_the_installed_kernels_are_covered_and_what_only_checks_them_is_not() -> None:
    names = list(code_facts())
    for name in (
        "sparq_cpu.kernel.decode",
        "dense_cpu.kernel._attend",
        "cpu.top_k.kth_largest",
        "sparq_triton.kernel.decode",
        "gpu.tiling.TILINGS",
        "gpu.launching.Launch.run",
        "cache.KVCache.append",
        "sparq_torch.kernel.decode",
    ):
        assert name in names
    assert not [name for name in names if name.startswith(("reference.", "gpu.compiling", "gpu.variants"))]
    assert "gpu.attend.attend" not in names  # a device function
    assert "gpu.attend.launch_attend" in names
