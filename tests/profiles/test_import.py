"""Importing the profiles must stay cheap: no torch, and nothing heavy before it is asked for."""

import os
import subprocess
import sys

import pytest

import sparq_profiles

HEAVY = ("torch", "triton", "numba", "numpy", "pandas", "scipy", "plotly")


def modules_after(code: str) -> set[str]:
    """Top-level modules of a fresh interpreter that ran ``code``."""
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return {module.partition(".")[0] for module in result.stdout.split()}


def test_profiles_load_without_torch() -> None:
    loaded = modules_after(
        "import sparq_profiles as p\np.load_hardware('h100-sxm-80gb'); p.load_model('llama-3-8b'); p.Suite; p.Workload"
    )
    assert "pydantic" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_a_bare_import_does_not_load_pydantic() -> None:
    loaded = modules_after("import sparq_profiles")
    assert "sparq_profiles" in loaded
    assert loaded.isdisjoint({"pydantic", *HEAVY})


def test_every_public_name_resolves() -> None:
    for name in sparq_profiles.__all__:
        assert getattr(sparq_profiles, name).__name__ == name


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'load_hardwares'"):
        sparq_profiles.load_hardwares  # noqa: B018
