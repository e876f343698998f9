"""Published results as data, each with its source, to hold predictions against."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparq_profiles.load import data_directory, read_toml
from sparq_profiles.quantity import Frozen, Positive, Whole
from sparq_profiles.shape import AttentionShape, SparqConfig

Text = Annotated[str, Field(min_length=3)]
PublishedQuantity = Literal["dense_time_per_query_s", "attention_speedup"]


class PublishedRow(Frozen):
    """One published number of attention on a device.

    Attributes:
        quantity: ``dense_time_per_query_s``: dense time of a call over its batch; ``attention_speedup``: dense over
            SparQ time.
        table: where it stands.
        hardware: name of a hardware profile.
        dense, implementation: as third-party measurements name them; no ``implementation`` for a dense time.
    """

    quantity: PublishedQuantity
    table: Text
    hardware: Text
    dense: Text
    implementation: Text | None = None
    shape: AttentionShape
    config: SparqConfig | None = None
    value: Positive

    @model_validator(mode="after")
    def _sparq_for_a_speedup(self) -> "PublishedRow":
        is_speedup = self.quantity == "attention_speedup"
        if is_speedup != (self.config is not None) or is_speedup != (self.implementation is not None):
            raise ValueError("config and implementation must be given for an attention_speedup, and only there")
        return self


class PublishedSteps(Frozen):
    """Speedups of a model's whole decode step, one for each length of the context.

    Attributes:
        hardware, model: names of profiles.
        weights, kv: formats of the weights and of the KV cache.
        rank, top_k, mean_value: the settings; top-k is that of each length.
    """

    table: Text
    hardware: Text
    model: Text
    weights: Text
    kv: Text
    batch: Whole
    rank: Whole
    mean_value: bool
    seq_len: tuple[Whole, ...]
    top_k: tuple[Whole, ...]
    value: tuple[Positive, ...]

    @model_validator(mode="after")
    def _as_many_values(self) -> "PublishedSteps":
        if not len(self.seq_len) == len(self.top_k) == len(self.value):
            raise ValueError("seq_len, top_k and value must have as many entries")
        return self


class Published(Frozen):
    """One publication's numbers."""

    schema_version: Literal[1] = 1
    source: Text
    rows: tuple[PublishedRow, ...]
    steps: tuple[PublishedSteps, ...]


def load_published(name: str = "sparq") -> Published:
    """A shipped publication's numbers.

    Raises:
        ProfileError: unreadable file or invalid content.
    """
    return read_toml(data_directory() / "published" / f"{name}.toml", Published)
