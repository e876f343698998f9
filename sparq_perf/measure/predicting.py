"""What a run expects of each measurement, from its ceilings and its calibration."""

from collections.abc import Mapping

from sparq_kernels import find_implementation
from sparq_perf.measure.calibrating import CALIBRATED_LAYOUT
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.plan import Group
from sparq_profiles.hardware import HardwareProfile
from sparq_roofline.calibration import TimeModel, predict_calibrated
from sparq_roofline.prediction import Ceilings, TimePrediction, predict_time


def predict_contender(
    group: Group, contender: Contender, hardware: HardwareProfile, models: Mapping[str, TimeModel]
) -> TimePrediction:
    """Time of one contender: by its calibrated model where there is one, else from the ceilings alone.

    The implementation's own traffic is predicted, without the append, which the timed call does not do.
    """
    shape, config = group.shape, contender.config
    traffic = find_implementation(contender.implementation).traffic(shape, config)
    model = models.get(contender.implementation)
    if model is None:
        return predict_time(traffic, Ceilings.of(hardware, shape.dtype))
    unseen = ("k_layout",) if config and config.k_layout != CALIBRATED_LAYOUT else ()
    footprint_bytes = _footprint_bytes(group, contender)
    return predict_calibrated(traffic, shape, config, hardware, model, footprint_bytes=footprint_bytes, unseen=unseen)


def _footprint_bytes(group: Group, contender: Contender) -> float | None:
    """Bytes that warm iterations read over and over: for SparQ all of K or Kᵀ, for each query takes other channels."""
    if group.cache_state == "cold":
        return None
    return group.shape.kv_bytes / (1 if contender.config is None else 2)
