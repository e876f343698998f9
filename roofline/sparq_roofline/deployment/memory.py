"""Memory of one GPU: weights, KV cache, reserve, and the largest batch that fits."""

from dataclasses import dataclass

from sparq_profiles import HardwareProfile, SparqConfig
from sparq_roofline.deployment.assumptions import RESERVE_FRACTION
from sparq_roofline.deployment.served import Served
from sparq_roofline.deployment.sharding import Shard


@dataclass(frozen=True, slots=True)
class Memory:
    """What one GPU holds, bytes."""

    weight_bytes: float
    kv_bytes: float
    reserve_bytes: float
    capacity_bytes: float

    @property
    def total_bytes(self) -> float:
        """All that must be there."""
        return self.weight_bytes + self.kv_bytes + self.reserve_bytes

    @property
    def fits(self) -> bool:
        """Whether it is."""
        return self.total_bytes <= self.capacity_bytes


def memory(
    hardware: HardwareProfile,
    served: Served,
    held: Shard,
    *,
    batch: int,
    tokens: int,
    config: SparqConfig | None,
    reserve_fraction: float = RESERVE_FRACTION,
) -> Memory:
    """Memory on each GPU for ``batch`` sequences of ``tokens`` each; ``config`` None is dense attention."""
    capacity = hardware.memory_bytes.value
    return Memory(
        weight_bytes=held.weight_bytes(served.weights),
        kv_bytes=batch * served.sequence_bytes(held, tokens, config),
        reserve_bytes=capacity * reserve_fraction,
        capacity_bytes=capacity,
    )


def largest_batch(
    hardware: HardwareProfile,
    served: Served,
    held: Shard,
    *,
    tokens: int,
    config: SparqConfig | None,
    reserve_fraction: float = RESERVE_FRACTION,
) -> int:
    """Sequences of ``tokens`` that fit beside the weights; 0 where not even one does."""
    one = memory(hardware, served, held, batch=1, tokens=tokens, config=config, reserve_fraction=reserve_fraction)
    free = one.capacity_bytes - one.reserve_bytes - one.weight_bytes
    return max(0, int(free // one.kv_bytes))
