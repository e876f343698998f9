"""Attention's time in a deployment from calibrations, where a device has one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sparq_profiles import AttentionShape, ConfigError, HardwareProfile
from sparq_profiles.shape import ELEMENT_BYTES, DType
from sparq_roofline.calibration.calibration import Calibration
from sparq_roofline.calibration.pair import choose_pair
from sparq_roofline.calibration.points import OwnTraffic
from sparq_roofline.deployment.attention import AttentionStep, attention_traffic, datasheet_time, roofline_time
from sparq_roofline.deployment.question import Question
from sparq_roofline.deployment.rows import Row
from sparq_roofline.deployment.sharding import shard
from sparq_roofline.deployment.span import Span
from sparq_roofline.prediction import APPEND_STEPS, Ceilings, TimePrediction


@dataclass(frozen=True)
class CalibratedAttention:
    """An `attention.AttentionTime` by calibrations; devices without one are predicted from their datasheets.

    A calibration knows the attention operator; writing the new token is added by the roofline.

    Args:
        calibrations: by name of the hardware.
        implementations: the dense and the SparQ implementation; None where a calibration has only one of each.
        own_traffic: bytes and FLOPs of implementations fitted to their own steps.
    """

    calibrations: Mapping[str, Calibration]
    implementations: tuple[str, str] | None = None
    own_traffic: OwnTraffic = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        calibrations: Sequence[Calibration],
        implementations: tuple[str, str] | None = None,
        own_traffic: OwnTraffic | None = None,
    ) -> "CalibratedAttention":
        """From calibrations of different devices.

        Raises:
            ConfigError: two of one device, or implementations that one of them has not.
        """
        by_name: dict[str, Calibration] = {}
        for calibration in calibrations:
            name = calibration.hardware.name
            if name in by_name:
                raise ConfigError(f"calibration: {name} is given twice: give one for each device")
            choose_pair(calibration, implementations)
            by_name[name] = calibration
        return cls(by_name, implementations, own_traffic or {})

    def __call__(self, hardware: HardwareProfile, step: AttentionStep) -> Span:
        """Seconds of one layer's attention, writing the new token's K and V included."""
        if hardware.name not in self.calibrations:
            return datasheet_time(hardware, step)
        batch, seq_len = np.broadcast_arrays(np.asarray(step.batch), np.asarray(step.seq_len))
        sizes, inverse = np.unique(np.stack([batch.ravel(), seq_len.ravel()]), axis=1, return_inverse=True)
        found = [self.predict(hardware.name, step, int(b), int(s)).time_s for b, s in sizes.T]
        ends = np.array([(time.lower, time.expected, time.upper) for time in found])[inverse.ravel()]
        lower, expected, upper = (column.reshape(batch.shape)[()] for column in ends.T)
        return Span(lower, expected, upper) + self._append(hardware, step)

    def predict(self, hardware: str, step: AttentionStep, batch: int, seq_len: int) -> TimePrediction:
        """The operator's time at one batch and length; ``extrapolated`` says what the calibration did not see."""
        calibration = self.calibrations[hardware]
        dense, sparq = choose_pair(calibration, self.implementations)
        config = step.config
        if config is not None and config.top_k > seq_len:
            config = replace(config, top_k=seq_len, local_window=min(config.local_window, seq_len))
        name = dense if config is None else sparq
        dtype = _dtype(step.element_bytes, calibration.find(name).dtype)
        shape = AttentionShape(batch, seq_len, step.n_heads, step.n_kv_heads, step.head_dim, dtype)
        return calibration.predict(name, shape, config, own_traffic=self.own_traffic)

    def _append(self, hardware: HardwareProfile, step: AttentionStep) -> Span:
        ceilings = Ceilings.of(hardware, "float16")
        steps = attention_traffic(step, ceilings.sector_bytes)
        append = tuple(one._replace(launches=0) for one in steps if one.name in APPEND_STEPS)
        return roofline_time(append, ceilings)


def outside(attention: CalibratedAttention, question: Question, rows: Sequence[Row]) -> tuple[str, ...]:
    """A note for each calibrated device of which a row lies outside what its calibration saw."""
    model, element_bytes = question.model, question.served().kv.element_bytes
    notes: dict[str, None] = {}
    for row in rows:
        if row.hardware not in attention.calibrations or row.n_gpus is None or row.batch is None:
            continue
        config = None
        if row.setting is not None and row.k_layout is not None:
            config = row.setting.config(row.k_layout)
        held = shard(model, row.n_gpus)
        heads = (held.n_heads, held.n_kv_heads, model.head_dim, element_bytes)
        step = AttentionStep(row.batch, row.seq_len, *heads, config)
        for name in attention.predict(row.hardware, step, row.batch, row.seq_len).extrapolated:
            notes[f"{row.hardware}: the calibration saw other values of {name}: intervals are wider for it"] = None
    return tuple(notes)


def _dtype(element_bytes: int, calibrated: DType) -> DType:
    """An element type of that size: the calibrated one where it fits, for types of one size move the same bytes."""
    if ELEMENT_BYTES[calibrated] == element_bytes:
        return calibrated
    for dtype, size in ELEMENT_BYTES.items():
        if size == element_bytes:
            return dtype  # type: ignore[return-value]
    raise ConfigError(f"calibration: no kernel with {8 * element_bytes}-bit K and V was calibrated: leave --kv out")
