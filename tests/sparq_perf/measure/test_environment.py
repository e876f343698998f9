"""What the machine says of itself, read from files made up here."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from sparq_perf.measure import environment
from sparq_perf.measure.environment import (
    cache_sizes,
    cpu_name,
    memory_available_bytes,
    memory_limit_bytes,
    probe_environment,
    source_commit,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) @ 2.6GHz\n\nmodel name\t: other\n",
            "Intel(R) Xeon(R) @ 2.6GHz",
        ),
        ("processor\t: 0\nHardware\t: BCM2711\n", "BCM2711"),
        ("cpu model\t\t: MIPS 24Kc\n", "MIPS 24Kc"),
        ("model name\t:\nmodel name\t: second\n", "second"),
    ],
)
def test_cpu_name(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_name(tmp_path / "cpuinfo") == name


def test_cpu_name_without_cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.platform, "processor", lambda: "")
    monkeypatch.setattr(environment.platform, "machine", lambda: "riscv64")
    assert cpu_name(tmp_path / "none") == "riscv64"
    monkeypatch.setattr(environment.platform, "machine", lambda: "")
    assert cpu_name(tmp_path / "none") == "unknown CPU"


def write_cache(root: Path, index: int, kind: str, level: str, size: str) -> None:
    folder = root / f"index{index}"
    folder.mkdir()
    for name, text in (("type", kind), ("level", level), ("size", size)):
        (folder / name).write_text(text + "\n")


def test_cache_sizes(tmp_path: Path) -> None:
    write_cache(tmp_path, 0, "Data", "1", "48K")
    write_cache(tmp_path, 1, "Instruction", "1", "32K")
    write_cache(tmp_path, 2, "Unified", "2", "2M")
    write_cache(tmp_path, 3, "Unified", "3", "1G")
    write_cache(tmp_path, 4, "Unified", "4", "4096")
    assert cache_sizes(tmp_path) == {1: 48 * 2**10, 2: 2 * 2**20, 3: 2**30, 4: 4096}


def test_unreadable_cache_entries_are_left_out(tmp_path: Path) -> None:
    write_cache(tmp_path, 0, "Data", "1", "48K")
    write_cache(tmp_path, 1, "Unified", "two", "2M")
    write_cache(tmp_path, 2, "Unified", "3", "")
    (tmp_path / "index3").mkdir()
    assert cache_sizes(tmp_path) == {1: 48 * 2**10}
    assert cache_sizes(tmp_path / "none") == {}


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 1,000 bytes, 600 of them free, whose control group's files the test writes here."""
    monkeypatch.setattr(environment.psutil, "virtual_memory", lambda: SimpleNamespace(total=1000, available=600))
    monkeypatch.setattr(environment, "Path", lambda path: tmp_path / Path(path).name)
    return tmp_path


@pytest.mark.parametrize(
    ("limit", "used", "expected_limit", "expected_available"),
    [
        (None, None, 1000, 600),
        ("max", "300", 1000, 600),
        ("500", "300", 500, 200),
        ("950", "100", 950, 600),
        ("5000", "100", 1000, 600),
        ("500", None, 500, 600),
    ],
)
def test_memory_within_a_control_group(
    memory: Path, limit: str | None, used: str | None, expected_limit: int, expected_available: int
) -> None:
    for name, text in (("memory.max", limit), ("memory.current", used)):
        if text is not None:
            (memory / name).write_text(text + "\n")
    assert memory_limit_bytes() == expected_limit
    assert memory_available_bytes() == expected_available


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one\n")
    git(tmp_path, "add", "file")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_source_commit(checkout: Path) -> None:
    assert source_commit(checkout) is None  # nothing committed yet
    git(checkout, "commit", "--quiet", "-m", "first")
    commit = git(checkout, "rev-parse", "HEAD")[:12]
    assert source_commit(checkout) == commit
    (checkout / "untracked").write_text("")
    assert source_commit(checkout) == commit
    (checkout / "file").write_text("two\n")
    assert source_commit(checkout) == f"{commit}+changes"


def test_no_commit_outside_a_checkout_or_without_git(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "inside").mkdir()
    git(checkout, "commit", "--quiet", "-m", "first")
    assert source_commit(checkout / "inside") is None
    monkeypatch.setenv("PATH", "/nowhere")
    assert source_commit(checkout) is None


def test_the_environment_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_load() -> tuple[float, float, float]:
        raise OSError

    monkeypatch.setattr(environment.os, "getloadavg", no_load)
    monkeypatch.setattr(environment, "VERSIONED", ("numpy", "no-such-package"))
    probed = probe_environment(1)
    assert probed.n_threads == 1
    assert probed.load_average is None
    assert probed.versions["no-such-package"] == "not installed"
    assert probed.versions["numpy"][0].isdigit()
    assert {instrument.name for instrument in probed.instruments} == {"nvml", "torch.profiler", "dram_counters"}
