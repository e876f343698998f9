"""One way to serve a model on one machine: how many GPUs, and the largest batch that is allowed there."""

from dataclasses import dataclass

import numpy as np

from sparq_profiles import ConfigError, HardwareProfile, SparqConfig
from sparq_roofline.deployment.attention import AttentionTime
from sparq_roofline.deployment.memory import Memory, largest_batch, memory
from sparq_roofline.deployment.served import Served
from sparq_roofline.deployment.sharding import Shard, degrees, shard
from sparq_roofline.deployment.step_time import step_time


@dataclass(frozen=True, slots=True)
class Demand:
    """What a deployment must do.

    Attributes:
        context: tokens of the prompt.
        output: tokens generated after it.
        batch: sequences decoded together; None takes as many as fit and meet the latency.
        tpot_s: the largest expected time per output token; None asks for none.
        most_gpus: of one machine.
    """

    context: int
    output: int
    batch: int | None = None
    tpot_s: float | None = None
    most_gpus: int = 8
    reserve_fraction: float = 0.1

    def __post_init__(self) -> None:
        for name in ("context", "output", "batch", "most_gpus"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigError(f"{name} is {value!r}: it must be a whole number of at least 1")
        if self.tpot_s is not None and not 0 < self.tpot_s < float("inf"):
            raise ConfigError(f"tpot_s is {self.tpot_s!r}: it must be a time above 0")
        if not 0 <= self.reserve_fraction < 1:
            raise ConfigError(f"reserve_fraction is {self.reserve_fraction!r}: it must be at least 0 and below 1")

    @property
    def tokens(self) -> int:
        """Tokens of a sequence at its end, which memory must hold."""
        return self.context + self.output

    @property
    def seq_len(self) -> int:
        """Mean tokens that a decode step attends to, the new one included, rounded up."""
        return self.context + (self.output + 2) // 2


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a demand is met, with the fewest GPUs.

    Attributes:
        batch: as demanded, or the largest allowed.
        most: the largest batch that memory holds.
    """

    held: Shard
    batch: int
    most: int
    memory: Memory


def place(
    hardware: HardwareProfile,
    served: Served,
    demand: Demand,
    config: SparqConfig | None,
    attention: AttentionTime,
    only: int | None = None,
) -> Placement | str:
    """The fewest GPUs that hold the model and meet the demand, or why there are none; ``only`` asks for so many."""
    reason = ""
    for n_gpus in degrees(served.model, demand.most_gpus) if only is None else (only,):
        if n_gpus > 1 and hardware.link_bandwidth_bytes_per_s is None:
            return f"{reason}; link_bandwidth_bytes_per_s is not stated, so more than one cannot be used"
        held = shard(served.model, n_gpus)
        reserve = demand.reserve_fraction
        most = largest_batch(hardware, served, held, tokens=demand.tokens, config=config, reserve_fraction=reserve)
        if most < (demand.batch or 1):
            reason = _too_small(hardware, served, held, demand, most)
            continue
        batch = demand.batch or most
        if demand.tpot_s is not None:
            allowed = _within(hardware, served, held, demand, config, attention, batch)
            if allowed is None or (demand.batch and allowed < batch):
                reason = _too_slow(hardware, served, held, demand, config, attention)
                continue
            batch = allowed
        taken = memory(
            hardware, served, held, batch=batch, tokens=demand.tokens, config=config, reserve_fraction=reserve
        )
        return Placement(held, batch, most, taken)
    return reason or f"{served.model.name} cannot be split over at most {demand.most_gpus} GPUs"


def _within(
    hardware: HardwareProfile,
    served: Served,
    held: Shard,
    demand: Demand,
    config: SparqConfig | None,
    attention: AttentionTime,
    most: int,
) -> int | None:
    """Largest batch up to ``most`` within the time per token; None where one sequence takes longer."""
    low, high = 1, most
    while True:
        probes = np.unique(np.rint(np.linspace(low, high, 33)).astype(np.int64))
        times = step_time(hardware, served, held, probes, demand.seq_len, config, attention).total.expected
        met = np.flatnonzero(times <= demand.tpot_s)
        if not met.size:
            return None
        last = int(met[-1])
        if last == probes.size - 1 or probes[last + 1] - probes[last] == 1:
            return int(probes[last])
        low, high = int(probes[last]), int(probes[last + 1])


def _too_small(hardware: HardwareProfile, served: Served, held: Shard, demand: Demand, most: int) -> str:
    one = held.n_gpus == 1
    gpus = f"{held.n_gpus} GPU{'' if one else 's'} of {hardware.memory_bytes.value / 1e9:,.0f} GB"
    sequences = f"{'no' if not most else f'at most {most:,}'} sequence{'' if most < 2 else 's'}"
    return (
        f"does not fit: {gpus} hold{'s' if one else ''} {sequences} of {demand.tokens:,} tokens beside "
        f"{held.weight_bytes(served.weights) / 1e9:,.1f} GB of weights{'' if one else ' each'}"
    )


def _too_slow(
    hardware: HardwareProfile,
    served: Served,
    held: Shard,
    demand: Demand,
    config: SparqConfig | None,
    attention: AttentionTime,
) -> str:
    batch = demand.batch or 1
    best_s = float(step_time(hardware, served, held, batch, demand.seq_len, config, attention).total.expected)
    assert demand.tpot_s is not None
    return (
        f"too slow: {best_s * 1e3:,.2f} ms a token at batch {batch} on {held.n_gpus} "
        f"GPU{'s' if held.n_gpus > 1 else ''}, {demand.tpot_s * 1e3:g} ms wanted"
    )
