"""Outputs of the published implementation, where this checkout has them beside it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from sparq_kernels import KVCache, decode
from sparq_kernels.reference import dense_attention, sparq_steps
from sparq_profiles import SparqConfig
from sparq_profiles.shape import K_LAYOUTS, KLayout

FOLDER = Path(__file__).parents[3] / "shared" / "golden"
FILES = sorted(FOLDER.glob("*.npz"))
CASES = FILES or [pytest.param(None, marks=pytest.mark.skip(reason="no golden files beside this checkout"))]

pytestmark = pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem if path else "none")


def load(path: Path) -> SimpleNamespace:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name != "meta"}
        meta = json.loads(str(file["meta"]))
    settings = {name: meta[name] for name in ("rank", "top_k", "local_window", "mean_value", "group_score")}
    return SimpleNamespace(
        **{name: torch.from_numpy(array) for name, array in arrays.items()}, config=SparqConfig(**settings)
    )


def test_reference(path: Path) -> None:
    case = load(path)
    q, k, v = case.q.double(), case.k.double(), case.v.double()
    steps = sparq_steps(q, k, v, case.config, valid_start=case.start)
    torch.testing.assert_close(steps.output, case.y.double(), rtol=0, atol=1e-5)
    for sequence, heads in enumerate(case.selected.tolist()):
        for head, positions in enumerate(heads):
            found = steps.selected[sequence, head].nonzero().flatten().tolist()
            assert found == sorted(positions)
    y_dense = dense_attention(q, k, v, valid_start=case.start)
    torch.testing.assert_close(y_dense, case.y_dense.double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_sparse_implementation(path: Path, sparse_name: str, k_layout: KLayout) -> None:
    case = load(path)
    cache = KVCache.from_tensors(case.k.float(), case.v.float(), k_layout=k_layout, valid_start=case.start)
    y = decode(case.q.float(), cache, case.config, implementation=sparse_name)
    torch.testing.assert_close(y, case.y.float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_dense_implementation(path: Path, dense_name: str, k_layout: KLayout) -> None:
    case = load(path)
    cache = KVCache.from_tensors(case.k.float(), case.v.float(), k_layout=k_layout, valid_start=case.start)
    y = decode(case.q.float(), cache, None, implementation=dense_name)
    torch.testing.assert_close(y, case.y_dense.float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_through_appends(path: Path, sparse_name: str, k_layout: Any) -> None:
    case = load(path)
    held = case.k.shape[2] - 2
    held = max(held, int(case.start.max()))
    cache = KVCache.from_tensors(case.k[:, :, :held], case.v[:, :, :held], k_layout=k_layout, valid_start=case.start)
    for position in range(held, case.k.shape[2]):
        cache.append(case.k[:, :, position], case.v[:, :, position])
    y = decode(case.q, cache, case.config, implementation=sparse_name)
    torch.testing.assert_close(y, case.y, rtol=0, atol=1e-4)
