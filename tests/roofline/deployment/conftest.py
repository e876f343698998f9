from collections.abc import Callable
from typing import Any

import pytest

from sparq_profiles import HardwareProfile, ModelProfile, load_model
from sparq_roofline.deployment.formats import kv_format, weight_format
from sparq_roofline.deployment.served import Served


@pytest.fixture
def tiny() -> Callable[..., ModelProfile]:
    """Makes a decoder small enough to work by hand: 2 layers, 4 query heads over 2 KV heads of 8."""

    def _tiny(**changes: Any) -> ModelProfile:
        fields: dict[str, Any] = {
            "name": "tiny",
            "title": "Tiny",
            "architecture": "llama",
            "source": "a test",
            "kind": "assumed",
            "n_layers": 2,
            "n_heads": 4,
            "n_kv_heads": 2,
            "head_dim": 8,
            "hidden_size": 32,
            "intermediate_size": 64,
            "vocab_size": 100,
            "max_seq_len": 4096,
        }
        return ModelProfile.model_validate({**fields, **changes})

    return _tiny


@pytest.fixture
def served() -> Callable[..., Served]:
    """served("llama-3-8b", "int4", "float8"), or a profile in the place of the name."""

    def _served(model: str | ModelProfile, weights: str = "float16", kv: str = "float16") -> Served:
        profile = load_model(model) if isinstance(model, str) else model
        return Served(profile, weight_format(weights), kv_format(kv))

    return _served


@pytest.fixture
def linked(device: Callable[..., HardwareProfile]) -> Callable[..., HardwareProfile]:
    """A device of round numbers with a link of 1 kB/s, 100 kB of memory, 100 W and 3.6 dollars an hour."""

    def _linked(**changes: Any) -> HardwareProfile:
        def known(value: float) -> dict[str, Any]:
            return {"value": value, "kind": "assumed", "source": "a test"}

        fields = {
            "memory_bytes": known(100_000.0),
            "link_bandwidth_bytes_per_s": known(1e3),
            "power_limit_w": known(100.0),
            "price_usd_per_h": known(3.6),
        }
        changed = {name: None if value is None else known(value) for name, value in changes.items()}
        return HardwareProfile.model_validate({**device().model_dump(), **fields, **changed})

    return _linked
