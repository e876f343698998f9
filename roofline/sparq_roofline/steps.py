"""What one step of an algorithm costs, before any device is named."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from sparq_roofline.frozen import frozen

Access = Literal["stream", "gather"]


class StepTraffic(NamedTuple):
    """Bytes and arithmetic of one step: a tuple, for predicting makes seven of them in a few microseconds.

    Attributes:
        name: ``score``, ``select``, ``gather``, ``append``, ``mean_value``; ``attend`` for dense.
        read_bytes, write_bytes: DRAM traffic, all batch elements and heads.
        flops: multiplies and adds, one each.
        access: whether the reads are contiguous or of rows picked by index.
        elements: scores that go through softmax or selection (not multiply-adds).
        launches: kernel launches, or parallel regions on a CPU.
        pieces: parts that start their own memory streams: one for each sequence and KV head.
        accessed_bytes: what the kernel's loads and stores ask for, each counted as often as it is made: caches serve
            what is asked for twice, and a sector holds more than an element picked from it. None where not known.
    """

    name: str
    read_bytes: float
    write_bytes: float = 0
    flops: float = 0
    access: Access = "stream"
    elements: float = 0
    launches: int = 1
    pieces: float = 0
    accessed_bytes: float | None = None

    @property
    def moved_bytes(self) -> float:
        """Bytes read and written."""
        return self.read_bytes + self.write_bytes


@frozen
class Traffic:
    """The steps of one decode step of attention in one layer."""

    steps: tuple[StepTraffic, ...]

    @property
    def read_bytes(self) -> float:
        """Bytes read by all steps."""
        return sum(step.read_bytes for step in self.steps)

    @property
    def write_bytes(self) -> float:
        """Bytes written by all steps."""
        return sum(step.write_bytes for step in self.steps)

    @property
    def flops(self) -> float:
        """Floating-point operations of all steps."""
        return sum(step.flops for step in self.steps)

    def step(self, name: str) -> StepTraffic:
        """The step of that name; KeyError where there is none."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def without(self, names: Iterable[str]) -> "Traffic":
        """The same traffic less some steps, such as the append that a read-only measurement leaves out."""
        left_out = tuple(names)
        return Traffic(tuple(step for step in self.steps if step.name not in left_out))
