"""What is to be measured: suites of workloads, written as grids in TOML."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparq_profiles.errors import ConfigError
from sparq_profiles.expectation import Expectation
from sparq_profiles.model import ModelProfile
from sparq_profiles.quantity import Flag, Frozen, Whole
from sparq_profiles.shape import AttentionShape, DType, GroupScore, KLayout, SparqConfig

CacheState = Literal["cold", "warm"]


@dataclass(frozen=True, slots=True)
class Workload:
    """One thing to measure: an attention shape, SparQ settings (None: dense) and the state of the caches.

    Attributes:
        model: name of the model whose geometry this is, or a free label.
        cache_state: ``cold``: the KV cache is in DRAM, as between the layers of a model; ``warm``: the same
            KV cache was read by the step before.
    """

    model: str
    shape: AttentionShape
    config: SparqConfig | None
    cache_state: CacheState = "cold"

    @property
    def as_dense(self) -> "Workload":
        """The dense baseline of this workload."""
        return Workload(self.model, self.shape, None, self.cache_state)


class SuiteConfig(Frozen):
    """SparQ settings of a grid; ``local_window`` defaults to a quarter of ``top_k``, the paper's recipe."""

    rank: Whole
    top_k: Whole
    local_window: Annotated[int, Field(ge=0, strict=True)] | None = None
    mean_value: Flag = True
    group_score: GroupScore = "logits"
    k_layout: KLayout = "two_copies"

    def is_for(self, expectation: Expectation) -> bool:
        """Whether an expectation is about these settings."""
        asked = (expectation.rank, expectation.top_k, expectation.k_layout)
        return expectation.rank is None or asked == (self.rank, self.top_k, self.k_layout)

    def build(self) -> SparqConfig:
        """The SparqConfig that this entry stands for."""
        window = self.top_k // 4 if self.local_window is None else self.local_window
        return SparqConfig(self.rank, self.top_k, window, self.mean_value, self.group_score, self.k_layout)


class SuiteShape(Frozen):
    """Head geometry of a grid that is not taken from a model profile."""

    n_heads: Whole
    n_kv_heads: Whole
    head_dim: Whole


class SuiteGrid(Frozen):
    """Every combination of batch, seq_len and config over one head geometry.

    Attributes:
        model: a model profile's name (its heads are used), or with ``shape`` a label.
        shape: explicit head geometry.
        max_kv_bytes: combinations whose K and V exceed this are left out of the grid.
        implementations: those measured here; all that run on the device where empty.
        watched: its energy and DRAM bytes are measured too where they can be: seconds for each combination.
    """

    model: Annotated[str, Field(min_length=1)]
    shape: SuiteShape | None = None
    batch: Annotated[tuple[Whole, ...], Field(min_length=1)] = (1,)
    seq_len: Annotated[tuple[Whole, ...], Field(min_length=1)]
    cache_state: Annotated[tuple[CacheState, ...], Field(min_length=1)] = ("cold",)
    configs: Annotated[tuple[SuiteConfig, ...], Field(min_length=1)]
    max_kv_bytes: Whole | None = None
    implementations: tuple[str, ...] = ()
    watched: Flag = False

    def is_for(self, expectation: Expectation) -> bool:
        """Whether this grid measures what an expectation is about."""
        return (
            expectation.model == self.model
            and expectation.batch in self.batch
            and expectation.seq_len in self.seq_len
            and expectation.cache_state in self.cache_state
            and any(config.is_for(expectation) for config in self.configs)
        )

    @model_validator(mode="after")
    def _configs_build(self) -> "SuiteGrid":
        head_dim = self.shape.head_dim if self.shape else None
        for index, entry in enumerate(self.configs):
            try:
                config = entry.build()
                if head_dim is not None:
                    config.check_fits(head_dim)
            except ConfigError as error:
                raise ValueError(f"configs[{index}]: {error}") from None
        return self


class Suite(Frozen):
    """A named list of grids with one element type.

    Attributes:
        device: where its shapes are meant to run.
        dtype: element type of the KV cache.
        expectations: targets that a run of this suite is held against; they change nothing that is measured.
    """

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    title: Annotated[str, Field(min_length=2)]
    description: str = ""
    device: Literal["cpu", "gpu", "any"] = "any"
    dtype: DType = "float32"
    grids: Annotated[tuple[SuiteGrid, ...], Field(min_length=1)]
    expectations: tuple[Expectation, ...] = ()

    @model_validator(mode="after")
    def _expectations_are_measured(self) -> "Suite":
        for index, expectation in enumerate(self.expectations):
            if not any(grid.is_for(expectation) for grid in self.grids):
                raise ValueError(
                    f"expectations[{index}]: no grid measures {expectation.model} batch {expectation.batch} "
                    f"seq_len {expectation.seq_len} rank {expectation.rank} top_k {expectation.top_k}, "
                    f"{expectation.k_layout}, {expectation.cache_state}: add it or mend the expectation"
                )
        return self

    def workloads(self, find_model: Callable[[str], ModelProfile]) -> Iterator[tuple[Workload, SuiteGrid]]:
        """Every SparQ workload in the order of the file, each with its grid; a dense baseline is implied.

        Args:
            find_model: profile of a model by its name, such as `load_model`.

        Raises:
            ProfileError: an unknown model name.
            ConfigError: a rank above the model's head_dim.
        """
        for grid in self.grids:
            model = None if grid.shape else find_model(grid.model)
            for batch, seq_len, cache_state in product(grid.batch, grid.seq_len, grid.cache_state):
                if grid.shape:
                    shape = AttentionShape(batch=batch, seq_len=seq_len, dtype=self.dtype, **grid.shape.model_dump())
                else:
                    assert model is not None
                    shape = model.shape(batch=batch, seq_len=seq_len, dtype=self.dtype)
                if grid.max_kv_bytes is not None and shape.kv_bytes > grid.max_kv_bytes:
                    continue
                for entry in grid.configs:
                    config = entry.build()
                    config.check_fits(shape.head_dim)
                    yield Workload(grid.model, shape, config, cache_state), grid
