"""Sizings to make pages of."""

from collections.abc import Callable
from typing import Any

import pytest

from sparq_profiles import HardwareProfile, ModelProfile, load_hardware, load_model
from sparq_roofline.deployment.candidates import Demand
from sparq_roofline.deployment.question import Question


@pytest.fixture
def ask() -> Callable[..., Question]:
    """A question; models and devices by name or as profiles."""

    def _ask(
        model: str | ModelProfile = "llama-3-8b",
        hardware: tuple[str | HardwareProfile, ...] = ("h100-sxm-80gb", "l4-24gb"),
        **more: Any,
    ) -> Question:
        asked = {"context": 8000, "output": 192, "batch": None, "tpot_s": None}
        demand = Demand(**{name: more.pop(name, value) for name, value in asked.items()})
        profiles = [load_hardware(one) if isinstance(one, str) else one for one in hardware]
        return Question(load_model(model) if isinstance(model, str) else model, profiles, demand, **more)

    return _ask
