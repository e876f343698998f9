"""Help, lists, reports and closed pipes."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_perf import __version__
from sparq_profiles.load import list_names

COMMANDS = (
    *("run", "predict", "sweep", "size", "traffic", "import", "calibrate", "validate"),
    *("fidelity", "report", "trace", "gate", "history", "doctor", "hardware", "models"),
)


def test_help_lists_every_command(call: Callable[..., Any]) -> None:
    for arguments in ((), ("--help",), ("-h",)):
        outcome = call(*arguments)
        assert (outcome.code, outcome.err) == (0, "")
        assert all(f"\n  {command} " in outcome.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(call: Callable[..., Any], command: str) -> None:
    outcome = call(command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"sparq-perf {command}" in outcome.out
    assert "--json" in outcome.out or command == "report"
    # A command that takes settings says what they mean.
    assert len(outcome.out.split()) > 30


def test_version(call: Callable[..., Any]) -> None:
    assert call("--version").out == f"sparq-perf {__version__}\n"


@pytest.mark.parametrize(
    ("command", "what", "example"), [("hardware", "hardware", "h100-sxm-80gb"), ("models", "models", "llama-3-8b")]
)
def test_profiles(call: Callable[..., Any], command: str, what: str, example: str) -> None:
    listed = call(command)
    assert listed.code == 0
    assert all(name in listed.out for name in list_names(what))
    every = json.loads(call(command, "--json").out)
    assert [profile["name"] for profile in every] == list_names(what)
    one = json.loads(call(command, example, "--json").out)
    assert one == next(profile for profile in every if profile["name"] == example)


def test_a_hardware_profile_is_shown_with_its_sources(call: Callable[..., Any]) -> None:
    outcome = call("hardware", "h100-sxm-80gb")
    line = next(line for line in outcome.out.splitlines() if line.startswith("memory_bandwidth_bytes_per_s"))
    assert "3.35e+12   datasheet: " in line


def test_a_model_is_shown(call: Callable[..., Any]) -> None:
    lines = call("models", "llama-3-8b").out.splitlines()
    assert ["n_kv_heads", "8"] in [line.split() for line in lines]


def test_report_from_a_file_and_from_its_folder(call: Callable[..., Any], record_file: Path, tmp_path: Path) -> None:
    outcome = call("report", record_file.parent)
    assert (outcome.code, outcome.err) == (0, "")
    page = record_file.parent / "report.html"
    assert "<html" in page.read_text(encoding="utf-8")
    assert outcome.out.splitlines()[-1] == f"report      {page}"
    elsewhere = tmp_path / "new" / "page.html"
    assert call("report", record_file, "--out", elsewhere).code == 0
    assert elsewhere.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        "predict --hardware h100-sxm-80gb --model llama-3-8b --seq-len 4096 --rank 32 --top-k 128",
        "predict --hardware h100-sxm-80gb --model llama-3-8b --seq-len 4096 --rank 32 --top-k 128 --json",
        "hardware",
        "--help",
    ],
)
def test_a_reader_that_goes_away(environment: dict[str, str], arguments: str) -> None:
    # As in `sparq-perf predict ... | head -1`, with a head that is gone before anything is written.
    child = subprocess.Popen(
        [sys.executable, "-m", "sparq_perf", *arguments.split()],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    errors = child.stderr.read()
    child.stderr.close()
    assert child.wait(timeout=60) == 0
    assert errors == ""


def test_the_module_runs(python: Callable[..., Any]) -> None:
    done = python("-m", "sparq_perf", "models", "llama-9")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("sparq-perf: unknown model 'llama-9'")
