"""SparQ settings under a transfer budget, by the authors' recipe: k = 128, l = k/4, tune r in 8 to 64.

Accuracy is not predicted here. It grows with r, so the largest r within the budget is taken. Where query heads share KV
heads the authors leave step 3, the mean of V, out.
"""

from sparq_profiles import ConfigError, ModelProfile, SparqConfig
from sparq_profiles.shape import KLayout
from sparq_roofline.paper import transfer_ratio

TOP_K = 128
RANKS = tuple(range(8, 65, 8))
TRANSFER_BUDGET = 8.0  # the paper's tables are at 1/8 of the dense transfers


def settings(model: ModelProfile, *, rank: int, top_k: int, k_layout: KLayout = "two_copies") -> SparqConfig:
    """Settings of one rank and top-k, the rest by the recipe.

    Raises:
        ConfigError: rank above the model's head_dim, or either below 1.
    """
    config = SparqConfig(
        rank=rank,
        top_k=top_k,
        local_window=top_k // 4,
        mean_value=model.n_heads == model.n_kv_heads,
        k_layout=k_layout,
    )
    config.check_fits(model.head_dim)
    return config


def rank_within(model: ModelProfile, *, seq_len: int, top_k: int = TOP_K, budget: float = TRANSFER_BUDGET) -> int:
    """Largest rank of the recipe whose transfers, by the paper's count, are at most 1/``budget`` of dense ones.

    Raises:
        ConfigError: no rank is within the budget: the sequence is too short for it, or top_k too large.
    """
    seen = seq_len if model.sliding_window is None else min(seq_len, model.sliding_window)
    ranks = [rank for rank in RANKS if rank <= model.head_dim]
    within = [rank for rank in ranks if transfer_ratio(seen, model.head_dim, rank, min(top_k, seen)) <= 1 / budget]
    if not within:
        least = transfer_ratio(seen, model.head_dim, ranks[0], min(top_k, seen))
        raise ConfigError(
            f"no rank is within 1/{budget:g} of the dense transfers at {seen:,} tokens: r={ranks[0]}, "
            f"k={min(top_k, seen)} needs {least:.3f}"
        )
    return within[-1]
