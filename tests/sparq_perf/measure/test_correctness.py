"""The check before timing finds a wrong kernel, and passes the real ones."""

from typing import Any

import pytest
import torch

from sparq_perf.measure import correctness
from sparq_perf.measure.correctness import LONGEST_CHECKED, TOLERANCE, largest_error
from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.shape import ELEMENT_BYTES

SHAPE = AttentionShape(3, 600, 4, 2, 32, "float32")
CONFIG = SparqConfig(8, 64, 16)


@pytest.mark.parametrize(
    ("implementation", "config"),
    [("dense-cpu", None), ("dense-sdpa", None), ("sparq-cpu", CONFIG), ("sparq-torch", CONFIG)],
)
def test_the_implementations_are_right(implementation: str, config: SparqConfig | None) -> None:
    assert 0 <= largest_error(SHAPE, config, implementation, 1) < TOLERANCE["float32"]


@pytest.mark.parametrize(("wrong_by", "found"), [(0.25, 0.25), (float("nan"), None)])
def test_a_wrong_kernel_is_found(monkeypatch: pytest.MonkeyPatch, wrong_by: float, found: float | None) -> None:
    decode = correctness.decode

    def wrong(*arguments: Any) -> torch.Tensor:
        y = decode(*arguments).clone()
        y[0, 1, 2] += wrong_by
        return y

    monkeypatch.setattr(correctness, "decode", wrong)
    error = largest_error(SHAPE, None, "dense-sdpa", 1)
    assert error == pytest.approx(found, abs=1e-4) if found else error != error


def test_long_sequences_are_cut_and_the_batch_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[Any, ...]] = []
    build = correctness.build_cache
    monkeypatch.setattr(correctness, "build_cache", lambda *a: built.append(a) or build(*a))
    largest_error(AttentionShape(4, 10**6, 2, 1, 16, "float32"), None, "dense-sdpa", 1)
    assert [(shape.batch, shape.seq_len, shape.n_heads) for shape, *_ in built] == [(1, LONGEST_CHECKED, 2)]


def test_every_type_has_a_tolerance() -> None:
    assert set(TOLERANCE) == set(ELEMENT_BYTES)
