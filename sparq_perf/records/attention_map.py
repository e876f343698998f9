"""One head's attention over some decode steps: what SparQ estimated, what was true, and what it selected."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparq_perf.records.line import Line, Share, Text
from sparq_profiles.quantity import Frozen
from sparq_profiles.shape import AttentionShape, SparqConfig

Index = Annotated[int, Field(ge=0)]

# Weights of one kind in a line: at 10 characters each, both kinds and every position selected stay below 1 MB.
MAX_WEIGHTS = 36_000
# A weight is written with so many significant digits.
DIGITS = 4
# A row of rounded weights sums to 1 within this.
_SLACK = 1e-3


class MapStep(Frozen):
    """One decode step of one head; position 0 is the sequence's first valid one, the new token's is the last.

    Attributes:
        step: decode steps before this one.
        approximate: softmax over the approximate scores, by position.
        exact: the head's true attention, by position.
        selected: positions that the head's group attends to exactly, ascending.
        coverage: α, the attention that the head's approximate scores give to the selected.
        mass: its true attention on them.
    """

    step: Index
    approximate: tuple[Share, ...]
    exact: tuple[Share, ...]
    selected: tuple[Index, ...]
    coverage: Share
    mass: Share

    @property
    def n_positions(self) -> int:
        """Valid positions, the new token's included."""
        return len(self.exact)

    @model_validator(mode="after")
    def _one_weight_per_position(self) -> "MapStep":
        if not self.exact or len(self.approximate) != len(self.exact):
            raise ValueError(f"{len(self.approximate)} approximate and {len(self.exact)} exact weights: one a position")
        for name, weights in (("approximate", self.approximate), ("exact", self.exact)):
            if abs(sum(weights) - 1) > _SLACK:
                raise ValueError(f"{name} weights sum to {sum(weights):.4g}: they must sum to 1")
        if any(later <= earlier for earlier, later in pairwise(self.selected)):
            raise ValueError("selected positions must ascend")
        if not self.selected or self.selected[-1] >= len(self.exact):
            raise ValueError(f"selected positions must be some of the {len(self.exact)} positions")
        return self


class AttentionMap(Line):
    """One query head in one layer, for one example and setting.

    Attributes:
        key: identifies model, task, data, settings and head; what a run that goes on skips.
        model, dataset, dataset_sha256, context, seed: as of `Fidelity`.
        shape: of the last decode step in one layer.
        example: its number in the task; padding: positions before its first token, which are not in the map.
        head: the query head; kv_head: the KV head that it shares with its group, and with it the selection.
        steps: ascending; the first, the last and evenly spread ones between where not every step is kept.
    """

    record: Literal["attention_map"] = "attention_map"
    key: Text
    model: Text
    shape: AttentionShape
    config: SparqConfig
    task: Text
    dataset: Text
    dataset_sha256: Text
    context: Annotated[int, Field(ge=1)]
    seed: int
    example: Index
    padding: Index
    layer: Index
    head: Index
    kv_head: Index
    n_steps: Annotated[int, Field(ge=1)]
    steps: Annotated[tuple[MapStep, ...], Field(min_length=1)]

    @property
    def group(self) -> tuple[int, ...]:
        """Query heads that share the selection."""
        size = self.shape.group_size
        return tuple(range(self.kv_head * size, (self.kv_head + 1) * size))

    @model_validator(mode="after")
    def _head_exists(self) -> "AttentionMap":
        if self.head >= self.shape.n_heads or self.kv_head != self.head // self.shape.group_size:
            raise ValueError(f"head {self.head} with KV head {self.kv_head} is not one of the shape's")
        return self

    @model_validator(mode="after")
    def _steps_ascend(self) -> "AttentionMap":
        if any(later.step <= earlier.step for earlier, later in pairwise(self.steps)):
            raise ValueError("steps must ascend")
        if self.steps[-1].step >= self.n_steps:
            raise ValueError(f"step {self.steps[-1].step} is not one of {self.n_steps}")
        return self

    @model_validator(mode="after")
    def _stays_readable(self) -> "AttentionMap":
        weights = sum(step.n_positions for step in self.steps)
        if weights > MAX_WEIGHTS:
            raise ValueError(f"{weights} weights of a kind: a line holds at most {MAX_WEIGHTS}")
        return self
