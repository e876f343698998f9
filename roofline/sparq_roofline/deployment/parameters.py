"""How many weights a decoder has, from its geometry."""

from dataclasses import dataclass

from sparq_profiles import ConfigError, ModelProfile

# Two matrices in the MLP and biases everywhere, against the gated MLP without biases of Llama and its like.
PLAIN_MLP = frozenset({"gpt_neox", "gpt2", "gptj", "opt", "bloom", "phi", "starcoder2"})
QKV_BIASES = frozenset({"qwen2"})
EXPERTS = ("moe", "mixtral", "deepseek_v2", "deepseek_v3", "dbrx", "gpt_oss", "llama4")


@dataclass(frozen=True, slots=True)
class Parameters:
    """Weights of a decoder-only transformer by their part, counted once.

    Attributes:
        query_heads, key_value_heads: of one layer's projections, per head.
        output: of one layer's output projection, per query head.
        mlp: of one layer.
        layer_vectors: norms and biases of one layer.
        table: of the embedding; the LM head has as many.
        n_tables: 1 where input and output share one.
        last_vectors: the norm before the LM head.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    query_head: int
    key_value_head: int
    output_head: int
    mlp: int
    layer_vectors: int
    table: int
    n_tables: int
    last_vectors: int

    @property
    def total(self) -> int:
        """All of them."""
        attention = self.n_heads * (self.query_head + self.output_head) + self.n_kv_heads * self.key_value_head
        layer = attention + self.mlp + self.layer_vectors
        return self.n_layers * layer + self.n_tables * self.table + self.last_vectors


def count_parameters(model: ModelProfile) -> Parameters:
    """Weights of a model by part, checked against the profile's published count.

    Raises:
        ConfigError: a mixture of experts, or a published count that the geometry misses by more than 1 %.
    """
    if any(word in model.architecture for word in EXPERTS):
        raise ConfigError(
            f"model {model.name}: {model.architecture} is a mixture of experts: only dense decoders can be sized"
        )
    hidden, mlp = model.hidden_size, model.intermediate_size
    query, key_value = model.n_heads * model.head_dim, 2 * model.n_kv_heads * model.head_dim
    plain = model.architecture in PLAIN_MLP
    biases = query + key_value + hidden + mlp + hidden if plain else 0
    biases += query + key_value if model.architecture in QKV_BIASES else 0
    norm = 2 * hidden if plain else hidden
    counted = Parameters(
        n_layers=model.n_layers,
        n_heads=model.n_heads,
        n_kv_heads=model.n_kv_heads,
        query_head=hidden * model.head_dim,
        key_value_head=2 * hidden * model.head_dim,
        output_head=hidden * model.head_dim,
        mlp=(2 if plain else 3) * hidden * mlp,
        layer_vectors=biases + 2 * norm,
        table=model.vocab_size * hidden,
        n_tables=1 if model.tied_embeddings else 2,
        last_vectors=norm,
    )
    published = model.n_parameters
    if published is not None and abs(counted.total / published.value - 1) > 0.01:
        raise ConfigError(
            f"model {model.name}: n_parameters is {published.value:,.0f} and its geometry has {counted.total:,}: "
            "mend the profile, or the model is no dense decoder of a known kind"
        )
    return counted
