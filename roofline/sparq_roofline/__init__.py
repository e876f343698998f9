"""Bytes, FLOPs and time of attention, from formulas. Importing this never imports torch."""

from typing import TYPE_CHECKING, Any

from sparq_roofline import paper
from sparq_roofline.interval import Interval
from sparq_roofline.steps import StepTraffic, Traffic
from sparq_roofline.traffic import dense_traffic, kv_cache_bytes, sparq_traffic

if TYPE_CHECKING:
    from sparq_roofline.grid import sweep
    from sparq_roofline.prediction import Prediction, TimePrediction, predict

__all__ = [
    "Interval",
    "Prediction",
    "StepTraffic",
    "TimePrediction",
    "Traffic",
    "dense_traffic",
    "kv_cache_bytes",
    "paper",
    "predict",
    "sparq_traffic",
    "sweep",
]

# Loaded on first use: predicting needs pydantic's profiles, sweeping numpy and pandas.
_HOME = {"Prediction": "prediction", "TimePrediction": "prediction", "predict": "prediction", "sweep": "grid"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sparq_roofline' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"sparq_roofline.{_HOME[name]}"), name)
