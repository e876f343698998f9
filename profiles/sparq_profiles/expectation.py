"""What is expected of a suite's results on a device: targets that a run is held against, each with its source."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparq_profiles.quantity import Frozen, Positive, Whole
from sparq_profiles.shape import KLayout

ExpectedQuantity = Literal["speedup", "share_of_copy_bandwidth", "beyond_byte_time_s"]


class Expectation(Frozen):
    """One target for one workload of a suite.

    Attributes:
        device: part of the name of the devices it is meant for, such as ``H100``.
        quantity: ``speedup``: the best dense time over SparQ's, at least the target; ``share_of_copy_bandwidth``: bytes
            moved over time and the measured copy bandwidth, at least; ``beyond_byte_time_s``: time beyond those
            bytes over the copy bandwidth, at most.
        target: what to reach.
        source: who expects it, and why.
        model, batch, seq_len, cache_state: the workload, as a grid of the suite has it.
        rank, top_k, k_layout: SparQ's settings; dense attention without rank and top_k.
        implementation: whose time counts; the fastest valid one where None.
        step: the share of one step of the profiler's pass, such as ``score``, instead of the whole call.
    """

    device: Annotated[str, Field(min_length=1)]
    quantity: ExpectedQuantity
    target: Positive
    source: Annotated[str, Field(min_length=3)]
    model: Annotated[str, Field(min_length=1)]
    batch: Whole = 1
    seq_len: Whole
    cache_state: Literal["cold", "warm"] = "cold"
    rank: Whole | None = None
    top_k: Whole | None = None
    k_layout: KLayout = "two_copies"
    implementation: str | None = None
    step: str | None = None

    @model_validator(mode="after")
    def _fields_fit(self) -> "Expectation":
        if (self.rank is None) != (self.top_k is None):
            raise ValueError("rank and top_k must be given together, or neither for dense attention")
        if self.quantity == "speedup" and self.rank is None:
            raise ValueError("a speedup is SparQ's over dense: give rank and top_k")
        if self.step is not None and self.quantity != "share_of_copy_bandwidth":
            raise ValueError("step goes with share_of_copy_bandwidth: the profiler's pass gives no latencies")
        return self

    @property
    def at_most(self) -> bool:
        """Whether the target is the most there may be, and not the least."""
        return self.quantity == "beyond_byte_time_s"
