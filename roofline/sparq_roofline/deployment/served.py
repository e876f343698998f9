"""What is served: a model, how its weights and KV cache are stored, and the KV bytes that follow."""

from dataclasses import dataclass

from sparq_profiles import ModelProfile, SparqConfig
from sparq_roofline.deployment.formats import KvFormat, WeightFormat
from sparq_roofline.deployment.sharding import Shard
from sparq_roofline.deployment.span import Amount
from sparq_roofline.formulas import MEAN_VALUE_BYTES, Minimum


@dataclass(frozen=True, slots=True)
class Served:
    """A model in the element types that it is served in."""

    model: ModelProfile
    weights: WeightFormat
    kv: KvFormat

    def spans(self) -> tuple[tuple[int, int | None], ...]:
        """Layers by what they see: how many, and their window (None: every position)."""
        windowed = self.model.windowed_layers
        full = self.model.n_layers - windowed
        groups = ((full, None), (windowed, self.model.sliding_window))
        return tuple(group for group in groups if group[0])

    def kv_token_bytes(self, held: Shard, config: SparqConfig | None) -> int:
        """KV bytes of one token in one layer on one GPU; ``two_copies`` keeps K twice, 1.5 times dense."""
        copies = 3 if config is not None and config.k_layout == "two_copies" else 2
        return copies * held.n_kv_heads * self.model.head_dim * self.kv.element_bytes

    def sequence_bytes(self, held: Shard, tokens: Amount, config: SparqConfig | None, minimum: Minimum = min) -> Amount:
        """KV bytes of one sequence of ``tokens`` on one GPU, all layers; SparQ's running mean of V included."""
        token_bytes = self.kv_token_bytes(held, config)
        cached = sum(
            layers * (tokens if window is None else minimum(tokens, window)) * token_bytes
            for layers, window in self.spans()
        )
        mean = held.n_kv_heads * self.model.head_dim * MEAN_VALUE_BYTES if config and config.mean_value else 0
        return cached + self.model.n_layers * mean
