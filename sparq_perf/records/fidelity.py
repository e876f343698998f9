"""What SparQ does to a language model's answers, or what the dense model answers."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparq_perf.records.line import Line, NonNegative, Share, Text
from sparq_profiles.quantity import Frozen
from sparq_profiles.shape import AttentionShape, SparqConfig


class LayerFidelity(Frozen):
    """How near one layer's SparQ comes to its dense attention, for the same query and cache; by query head.

    Attributes:
        recall: share of the head's own top-k positions that are among the selected.
        mass: share of the head's attention that the selected positions hold.
        coverage_error: mean distance of the estimated coverage from that share.
        output_error: norm of the difference of the outputs over the norm of the dense output.
    """

    layer: Annotated[int, Field(ge=0)]
    recall: tuple[Share, ...]
    mass: tuple[Share, ...]
    coverage_error: tuple[Share, ...]
    output_error: tuple[NonNegative, ...]


class Fidelity(Line):
    """One task by one model with one setting.

    Attributes:
        key: identifies model, task, data and settings; what a run that goes on skips.
        model: name of the model; its folder or file, without the path.
        shape: of the last decode step in one layer, which joins it to measured times and bytes.
        config: SparQ's settings; None for dense attention.
        implementation: what computed the decode steps: ``sparq-cpu``, ``sdpa`` and so on.
        dataset: files that the examples came from; dataset_sha256: their digest.
        context: tokens that were prefilled, at most.
        new_tokens: decode steps of each example.
        transfer_ratio: the paper's elements per head over the dense ones at the last step; None for dense.
        scores: means over the examples; names and units are in docs/fidelity.md.
        stderr: their standard errors, where there are several examples.
        layers: attention by layer and head; empty for dense, and in tasks that do not look at it.
    """

    record: Literal["fidelity"] = "fidelity"
    key: Text
    model: Text
    device: Text
    versions: dict[str, str]
    shape: AttentionShape
    n_layers: Annotated[int, Field(ge=1)]
    config: SparqConfig | None
    implementation: Text
    task: Text
    dataset: Text
    dataset_sha256: Text
    context: Annotated[int, Field(ge=1)]
    new_tokens: Annotated[int, Field(ge=1)]
    n_examples: Annotated[int, Field(ge=1)]
    seed: int
    transfer_ratio: NonNegative | None
    scores: dict[str, float]
    stderr: dict[str, NonNegative] = Field(default_factory=dict)
    layers: tuple[LayerFidelity, ...] = ()

    @model_validator(mode="after")
    def _dense_has_no_transfers(self) -> "Fidelity":
        if (self.config is None) != (self.transfer_ratio is None):
            raise ValueError("transfer_ratio must be given exactly where config is")
        if self.config is None and self.layers:
            raise ValueError("dense attention has no layers that differ from it")
        return self
