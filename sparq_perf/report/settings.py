"""What a measurement was of, in the words that the page uses: geometry, SparQ settings, place in a sweep."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sparq_perf.records.schema import Measurement, Subject
from sparq_perf.report.wording import tokens
from sparq_profiles.shape import AttentionShape, SparqConfig
from sparq_profiles.suite import CacheState


@dataclass(frozen=True, slots=True, order=True)
class Geometry:
    """A model's attention heads and the element type: what stays the same along a sweep."""

    model: str
    n_heads: int
    n_kv_heads: int
    head_dim: int
    dtype: str

    @classmethod
    def of(cls, model: str, shape: AttentionShape) -> "Geometry":
        """The geometry that a shape belongs to."""
        return cls(model, shape.n_heads, shape.n_kv_heads, shape.head_dim, shape.dtype)

    @property
    def heads(self) -> str:
        """The geometry without the model's name."""
        return f"{self.n_heads} heads, {self.n_kv_heads} KV heads, head dim {self.head_dim}, {self.dtype}"


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of a sweep over the sequence length: everything but seq_len and the implementation."""

    geometry: Geometry
    config: SparqConfig
    batch: int
    cache_state: CacheState

    @classmethod
    def of(cls, measurement: Measurement) -> "Setting":
        """The setting of a SparQ measurement."""
        assert measurement.config is not None
        geometry = Geometry.of(measurement.model, measurement.shape)
        return cls(geometry, measurement.config, measurement.shape.batch, measurement.cache_state)

    @property
    def order(self) -> tuple[object, ...]:
        """Sort key: geometry, settings, batch, cold before warm."""
        c = self.config
        extras = (c.local_window, not c.mean_value, c.group_score, c.k_layout)
        return (self.geometry, c.rank, c.top_k, extras, self.batch, self.cache_state)


def name_configs(configs: Iterable[SparqConfig | None]) -> Mapping[SparqConfig | None, str]:
    """A short name for each config: ``r 32, k 128`` (unbreakable spaces), more where two read alike."""
    alike: dict[tuple[int, int], set[SparqConfig]] = defaultdict(set)
    names: dict[SparqConfig | None, str] = {None: "dense"}
    for config in configs:
        if config is not None:
            alike[config.rank, config.top_k].add(config)
    for (rank, top_k), group in alike.items():
        for config in group:
            told_apart = [words for words, said in zip(_settings(config), _varies(group), strict=True) if said]
            extras = f" ({', '.join(told_apart)})" if told_apart else ""
            names[config] = f"r\u00a0{rank}, k\u00a0{top_k}{extras}"
    return names


def _varies(group: set[SparqConfig]) -> list[bool]:
    """Which of the settings besides r and k are not the same in the whole group."""
    return [len(set(words)) > 1 for words in zip(*(_settings(config) for config in group), strict=True)]


def _settings(config: SparqConfig) -> tuple[str, ...]:
    mean = "with mean value" if config.mean_value else "without mean value"
    return (f"l {config.local_window}", mean, config.k_layout, f"group rule {config.group_score}")


def other_settings(config: SparqConfig) -> str:
    """The settings besides r and k."""
    return ", ".join(_settings(config))


def where(item: Subject, names: Mapping[SparqConfig | None, str]) -> str:
    """One configuration in a line, for sentences and hover texts."""
    shape = item.shape
    parts = (item.model, names[item.config], f"batch {shape.batch}", f"{tokens(shape.seq_len)} tokens")
    return ", ".join((*parts, item.cache_state, item.implementation))
