"""What stays light: importing the package, help, predicting and sweeping never load what they do not need."""

import os
import subprocess
import sys

import pytest

HEAVY = {"torch", "triton", "numba", "pandas", "plotly", "scipy", "transformers"}
CLI = """
import sys
from sparq_perf.cli.main import main
sys.argv = ["sparq-perf", *{arguments!r}]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
"""
PREDICT = "predict --hardware h100-sxm-80gb --model llama-3-8b --seq-len 4096 --rank 32 --top-k 128"
SIZE = "size --model llama-3-8b --hardware h100-sxm-80gb --context 8000 --output 192"
SWEEP = "sweep --hardware h100-sxm-80gb --model llama-3-8b --seq-len 4096"


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after ``code``."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, file=sys.stderr)"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {module.partition(".")[0] for module in done.stderr.split()}


def test_a_bare_import_loads_nothing() -> None:
    loaded = modules_after("import sparq_perf, sparq_perf.llm")
    assert "sparq_perf" in loaded
    assert loaded.isdisjoint(HEAVY | {"numpy", "pydantic", "typer", "rich"})


@pytest.mark.parametrize(
    "command",
    [
        *("", "run", "predict", "sweep", "size", "traffic", "import", "calibrate", "validate", "fidelity", "report"),
        *("trace", "doctor", "hardware", "models", "gate", "gate run", "gate check", "gate aa", "history"),
    ],
)
def test_help_is_light(command: str) -> None:
    loaded = modules_after(CLI.format(arguments=[*command.split(), "--help"]))
    assert "typer" in loaded
    assert loaded.isdisjoint(HEAVY | {"numpy"})


def test_predict_loads_neither_torch_nor_numpy() -> None:
    loaded = modules_after(CLI.format(arguments=[*PREDICT.split(), "--json"]))
    assert "sparq_roofline" in loaded
    assert loaded.isdisjoint(HEAVY | {"numpy"})


def test_sweep_does_not_load_torch() -> None:
    loaded = modules_after(CLI.format(arguments=[*SWEEP.split(), "--json"]))
    assert "pandas" in loaded
    assert loaded.isdisjoint({"torch", "triton", "numba", "plotly"})


def test_size_loads_neither_torch_nor_plotly() -> None:
    loaded = modules_after(CLI.format(arguments=[*SIZE.split(), "--json"]))
    assert "sparq_roofline" in loaded
    assert loaded.isdisjoint(HEAVY)
