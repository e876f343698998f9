"""Many batches and sequence lengths at once on one machine: what the charts draw and the benchmark times."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparq_profiles import HardwareProfile, SparqConfig
from sparq_roofline.deployment.attention import AttentionTime, datasheet_time
from sparq_roofline.deployment.economics import Rates, rates
from sparq_roofline.deployment.served import Served
from sparq_roofline.deployment.sharding import Shard
from sparq_roofline.deployment.span import Span
from sparq_roofline.deployment.step_time import StepTime, attention_time, compare, rest_time

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prices:
    """What one GPU costs, draws and keeps free; None where unknown."""

    usd_per_h: float | None
    power_limit_w: float | None
    power_share: tuple[float, float, float]
    reserve_fraction: float


@dataclass(frozen=True, slots=True)
class Side:
    """Dense, or SparQ with one layout, at every point.

    Attributes:
        fits: whether one GPU's memory holds the batch at this length.
        attention_speedup, step_speedup: against dense; 1 for dense itself.
    """

    config: SparqConfig | None
    time: StepTime
    rates: Rates
    fits: NDArray[np.bool_]
    attention_speedup: Span
    step_speedup: Span


def evaluate(
    hardware: HardwareProfile,
    served: Served,
    held: Shard,
    batch: Floats,
    seq_len: Floats,
    configs: tuple[SparqConfig | None, ...],
    prices: Prices,
    attention: AttentionTime = datasheet_time,
) -> tuple[Side, ...]:
    """Each of ``configs`` (None is dense) at every pair of ``batch`` and ``seq_len``, arrays of one shape.

    Memory is taken at ``seq_len`` tokens a sequence.

    Raises:
        ConfigError: rank above head_dim; several GPUs and no link bandwidth in the profile.
    """
    rest = rest_time(hardware, served, held, batch)
    free = hardware.memory_bytes.value * (1 - prices.reserve_fraction) - held.weight_bytes(served.weights)

    def timed(config: SparqConfig | None) -> StepTime:
        spent = attention_time(hardware, served, held, batch, seq_len, config, attention)
        return StepTime(rest.layers, spent, rest.head, rest.launches, rest.all_reduce)

    dense = timed(None)
    sides = []
    for config in configs:
        if config is not None:
            config.check_fits(served.model.head_dim)
        time = dense if config is None else timed(config)
        compared = compare(dense, time)
        one = Span.exactly(np.ones(np.shape(batch)))
        sides.append(
            Side(
                config=config,
                time=time,
                rates=rates(
                    time.total,
                    batch=batch,
                    n_gpus=held.n_gpus,
                    price_usd_per_h=prices.usd_per_h,
                    power_limit_w=prices.power_limit_w,
                    power_share=prices.power_share,
                ),
                fits=batch * served.sequence_bytes(held, seq_len, config, np.minimum) <= free,
                attention_speedup=one if config is None else compared.attention_speedup,
                step_speedup=one if config is None else compared.step_speedup,
            )
        )
    return tuple(sides)
