"""Calibration where an implementation refuses some of the points."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sparq_perf.measure import calibrating
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.machine import CalibrationGrid
from sparq_profiles import ConfigError

SHAPES = (*((1, 100 * n, 2, 2, 64) for n in range(3, 9)), (1, 400, 2, 2, 32), (2, 300, 2, 2, 32))


@pytest.fixture
def machine() -> Any:
    return SimpleNamespace(
        device=torch.device("cpu"),
        calibration=CalibrationGrid(shapes=SHAPES, settings=((8, 32),)),
        pace=SimpleNamespace(calibration_rule=None),
        release=lambda: None,
    )


@pytest.mark.parametrize("refused", [(32,), (32, 64)])
def test_a_refused_point_is_left_out(
    machine: Any, lines: Any, monkeypatch: pytest.MonkeyPatch, refused: tuple[int, ...]
) -> None:
    def refuse(implementation: str, head_dim: int) -> None:
        if implementation == "dense-sdpa" and head_dim in refused:
            raise ConfigError("no kernel")

    class Rounds:
        def __init__(self, machine: Any, cache: Any, shape: Any, cache_state: str, seed: int) -> None:
            self.shape = shape

        def time(self, contenders: Sequence[Contender], rule: Any) -> list[Any]:
            for contender in contenders:
                refuse(contender.implementation, self.shape.head_dim)
            return [SimpleNamespace(samples_s=(1e-3, 2e-3, 3e-3)) for _ in contenders]

    monkeypatch.setattr(calibrating, "Rounds", Rounds)
    monkeypatch.setattr(calibrating, "decode", lambda q, cache, config, name: refuse(name, cache.head_dim))
    found = calibrating.calibrate(
        machine, ["dense-cpu", "dense-sdpa", "sparq-cpu"], lines.hardware(), "float32", seed=1
    )
    assert len(found["dense-cpu"].points) == len(found["sparq-cpu"].points) == len(SHAPES)
    if refused == (32,):
        assert [point.shape.head_dim for point in found["dense-sdpa"].points] == [64] * 6
    else:
        assert "dense-sdpa" not in found
    assert {point.measured_s for point in found["dense-cpu"].points} == {2e-3}
