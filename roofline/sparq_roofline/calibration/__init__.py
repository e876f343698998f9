"""Time models fitted to a few measurements: what an implementation costs on a device, and how far off that may be."""

from typing import TYPE_CHECKING, Any

from sparq_roofline.calibration.model import MINIMUM_POINTS, TimeModel
from sparq_roofline.calibration.points import MeasuredPoint, OwnTraffic, TrafficOf, algorithm_traffic
from sparq_roofline.calibration.predicting import bandwidth_at, predict_calibrated

if TYPE_CHECKING:
    from sparq_roofline.calibration.calibrating import calibrate
    from sparq_roofline.calibration.calibration import Calibration
    from sparq_roofline.calibration.choosing import choose
    from sparq_roofline.calibration.fitting import Fit, fit
    from sparq_roofline.calibration.toml_file import load_calibration, save_calibration
    from sparq_roofline.calibration.validation import Accuracy, Errors, validate

__all__ = [
    "MINIMUM_POINTS",
    "Accuracy",
    "Calibration",
    "Errors",
    "Fit",
    "MeasuredPoint",
    "OwnTraffic",
    "TimeModel",
    "TrafficOf",
    "algorithm_traffic",
    "bandwidth_at",
    "calibrate",
    "choose",
    "fit",
    "load_calibration",
    "predict_calibrated",
    "save_calibration",
    "validate",
]

# Loaded on first use: fitting needs numpy.
_HOME = {
    "Accuracy": "validation",
    "Calibration": "calibration",
    "Errors": "validation",
    "Fit": "fitting",
    "calibrate": "calibrating",
    "choose": "choosing",
    "fit": "fitting",
    "load_calibration": "toml_file",
    "save_calibration": "toml_file",
    "validate": "validation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sparq_roofline.calibration' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"sparq_roofline.calibration.{_HOME[name]}"), name)
