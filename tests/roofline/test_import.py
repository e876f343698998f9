"""Predicting and sweeping must never import torch."""

import os
import subprocess
import sys

import pytest

import sparq_roofline

FRAMEWORKS = {"torch", "triton", "numba"}
ARRAYS = {"numpy", "pandas", "scipy"}
SETUP = """
import sparq_profiles as p, sparq_roofline as r
shape = p.AttentionShape(1, 4096, 32, 8, 128)
config = p.SparqConfig(32, 128)
"""


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


def test_formulas_need_nothing() -> None:
    loaded = modules_after(f"{SETUP}r.dense_traffic(shape); r.sparq_traffic(shape, config)")
    assert "sparq_roofline" in loaded
    assert loaded.isdisjoint(FRAMEWORKS | ARRAYS | {"pydantic"})


def test_predict_needs_no_arrays() -> None:
    loaded = modules_after(f"{SETUP}r.predict(p.load_hardware('h100-sxm-80gb'), shape, config)")
    assert "pydantic" in loaded
    assert loaded.isdisjoint(FRAMEWORKS | ARRAYS)


def test_sweep_needs_no_torch() -> None:
    loaded = modules_after(
        f"{SETUP}r.sweep(hardware='h100-sxm-80gb', batch=1, seq_len=[4096, 8192], rank=32, top_k=128, n_heads=32, "
        "n_kv_heads=8, head_dim=128)"
    )
    assert "pandas" in loaded
    assert loaded.isdisjoint(FRAMEWORKS)


def test_sizing_needs_arrays_alone() -> None:
    loaded = modules_after(
        f"{SETUP}from sparq_roofline.deployment.candidates import Demand\n"
        "from sparq_roofline.deployment.question import Question\n"
        "from sparq_roofline.deployment.sizing import size\n"
        "size(Question(p.load_model('llama-3-8b'), [p.load_hardware('l4-24gb')], Demand(8000, 192)))"
    )
    assert "numpy" in loaded
    assert loaded.isdisjoint(FRAMEWORKS | {"pandas", "scipy"})


def test_every_public_name_resolves() -> None:
    for name in sparq_roofline.__all__:
        assert getattr(sparq_roofline, name).__name__.rpartition(".")[2] == name


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'predicts'"):
        sparq_roofline.predicts  # noqa: B018
