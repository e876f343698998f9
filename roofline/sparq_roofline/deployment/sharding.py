"""Tensor parallelism: what one GPU of several holds and does."""

from dataclasses import dataclass

from sparq_profiles import ConfigError, ModelProfile
from sparq_roofline.deployment.formats import WeightFormat
from sparq_roofline.deployment.parameters import Parameters, count_parameters


@dataclass(frozen=True, slots=True)
class Shard:
    """One GPU's part of a model that is split over ``n_gpus`` by heads.

    Attributes:
        n_heads: query heads on the GPU.
        n_kv_heads: KV heads on it: where there are fewer of them than GPUs, each is held more than once.
    """

    n_gpus: int
    n_heads: int
    n_kv_heads: int
    parameters: Parameters

    @property
    def layer_matrices(self) -> float:
        """Weights in the matrices of one layer on this GPU."""
        parts = self.parameters
        attention = self.n_heads * (parts.query_head + parts.output_head) + self.n_kv_heads * parts.key_value_head
        return attention + parts.mlp / self.n_gpus

    @property
    def head_matrix(self) -> float:
        """Weights of the LM head on this GPU, split by vocabulary."""
        return self.parameters.table / self.n_gpus

    def weight_bytes(self, weights: WeightFormat) -> float:
        """All weights on this GPU; norms and biases are held by each."""
        parts = self.parameters
        tables = parts.n_tables * self.head_matrix + parts.n_layers * parts.layer_vectors + parts.last_vectors
        return parts.n_layers * self.layer_matrices * weights.matrix_bytes + tables * weights.table_bytes

    def layer_read_bytes(self, weights: WeightFormat) -> float:
        """Bytes of weights that the layers of one step read, attention's arithmetic aside."""
        parts = self.parameters
        matrices = self.layer_matrices * weights.matrix_bytes
        return parts.n_layers * (matrices + parts.layer_vectors * weights.table_bytes)


def shard(model: ModelProfile, n_gpus: int) -> Shard:
    """One GPU's part.

    Raises:
        ConfigError: heads that cannot be split evenly.
    """
    replicas = n_gpus % model.n_kv_heads == 0
    if n_gpus < 1 or model.n_heads % n_gpus or (model.n_kv_heads % n_gpus and not replicas):
        raise ConfigError(
            f"model {model.name}: {model.n_heads} query and {model.n_kv_heads} KV heads cannot be split over "
            f"{n_gpus} GPUs"
        )
    return Shard(
        n_gpus=n_gpus,
        n_heads=model.n_heads // n_gpus,
        n_kv_heads=max(1, model.n_kv_heads // n_gpus),
        parameters=count_parameters(model),
    )


def degrees(model: ModelProfile, most: int) -> tuple[int, ...]:
    """Powers of two up to ``most`` over which the heads can be split, ascending."""
    found = []
    n_gpus = 1
    while n_gpus <= most:
        if model.n_heads % n_gpus == 0 and (model.n_kv_heads % n_gpus == 0 or n_gpus % model.n_kv_heads == 0):
            found.append(n_gpus)
        n_gpus *= 2
    return tuple(found)
