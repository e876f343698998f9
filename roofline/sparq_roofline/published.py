"""Predictions beside what others have published: inside the interval, or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sparq_profiles import ConfigError, SparqConfig
from sparq_profiles.load import load_hardware, load_model
from sparq_profiles.published import Published, PublishedRow, PublishedSteps, load_published
from sparq_roofline.calibration.calibration import Calibration
from sparq_roofline.deployment.formats import KV, WEIGHTS
from sparq_roofline.deployment.served import Served
from sparq_roofline.deployment.sharding import shard
from sparq_roofline.deployment.step_time import compare, step_time
from sparq_roofline.interval import Evidence, Interval
from sparq_roofline.prediction import TimePrediction, predict, speedup_of


@dataclass(frozen=True, slots=True)
class PublishedComparison:
    """One published number and its prediction.

    Attributes:
        where: device, model and size of what was published.
        what: its implementation and settings.
        table, source: where it was published.
        quantity: a time per query in seconds, or a speedup.
        published: the number.
        predicted: the same, with a 90 % interval where calibrated, else from the stated efficiencies.
        evidence: what the prediction rests on.
    """

    where: str
    what: str
    table: str
    source: str
    quantity: Literal["time_s", "speedup"]
    published: float
    predicted: Interval
    evidence: Evidence

    @property
    def inside(self) -> bool:
        """Whether the published number lies in the interval."""
        return self.predicted.lower <= self.published <= self.predicted.upper


def compare_published(
    calibrations: Sequence[Calibration] = (), *, published: Published | None = None
) -> list[PublishedComparison]:
    """Every published number beside its prediction.

    Args:
        calibrations: used for rows of their hardware whose implementations they have. Other rows are predicted from
            datasheets: kernels that move the algorithm's bytes and nothing else, which the published ones do not.
        published: the shipped numbers by default.
    """
    numbers = published or load_published()
    by_name = {calibration.hardware.name: calibration for calibration in calibrations}
    rows = [_compare(row, numbers.source, by_name.get(row.hardware)) for row in numbers.rows]
    return rows + [row for steps in numbers.steps for row in _steps(steps, numbers.source)]


def _steps(published: PublishedSteps, source: str) -> list[PublishedComparison]:
    """Whole steps from the hardware's bandwidth and efficiencies alone: no published number enters."""
    model, hardware = load_model(published.model), load_hardware(published.hardware)
    served, held = Served(model, WEIGHTS[published.weights], KV[published.kv]), shard(model, 1)
    found = []
    for seq_len, top_k, value in zip(published.seq_len, published.top_k, published.value, strict=True):
        config = SparqConfig(published.rank, top_k, mean_value=published.mean_value)
        dense, sparq = (step_time(hardware, served, held, published.batch, seq_len, which) for which in (None, config))
        speedup = compare(dense, sparq).step_speedup
        predicted = Interval(float(speedup.lower), float(speedup.expected), float(speedup.upper))
        where = (
            f"{hardware.name}, step of {model.name}, batch {published.batch}, r={config.rank} k=S/{seq_len // top_k}"
        )
        found.append(
            PublishedComparison(
                where, f"S={seq_len:,}", published.table, source, "speedup", value, predicted, "datasheet"
            )
        )
    return found


def _compare(row: PublishedRow, source: str, calibration: Calibration | None) -> PublishedComparison:
    shape = row.shape
    heads = f"{shape.n_heads}/{shape.n_kv_heads} heads of {shape.head_dim}"
    where = f"{row.hardware}, attention, batch {shape.batch}, S={shape.seq_len:,}, {heads}"
    dense, sparq = _times(row, calibration)
    if sparq is None or row.config is None:
        time = dense.time_s
        per_query = Interval(time.lower / shape.batch, time.expected / shape.batch, time.upper / shape.batch)
        return PublishedComparison(
            where, f"{row.dense}, per query", row.table, source, "time_s", row.value, per_query, dense.evidence
        )
    what = f"{row.implementation} {row.config.k_layout} r{row.config.rank} k{row.config.top_k}"
    return PublishedComparison(
        where, what, row.table, source, "speedup", row.value, speedup_of(dense, sparq), sparq.evidence
    )


def _times(row: PublishedRow, calibration: Calibration | None) -> tuple[TimePrediction, TimePrediction | None]:
    """Dense and SparQ time: by the calibration where it has both implementations, else from the datasheet."""
    if calibration is not None:
        try:
            dense = calibration.predict(row.dense, row.shape, None)
            if row.implementation is None:
                return dense, None
            return dense, calibration.predict(row.implementation, row.shape, row.config)
        except ConfigError:
            pass  # it lacks one of them
    prediction = predict(load_hardware(row.hardware), row.shape, row.config, include_append=False)
    return prediction.dense, prediction.sparq
