"""What is computed: the shape of one decode-attention step and SparQ's settings."""

from dataclasses import dataclass
from typing import Literal, get_args

from sparq_profiles.errors import ConfigError

KLayout = Literal["two_copies", "channel_major", "row_major"]
GroupScore = Literal["logits", "softmax"]
DType = Literal["float16", "bfloat16", "float32", "float64"]

K_LAYOUTS: tuple[KLayout, ...] = get_args(KLayout)
GROUP_SCORES: tuple[GroupScore, ...] = get_args(GroupScore)
ELEMENT_BYTES: dict[str, int] = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


def _require_positive_int(owner: str, field: str, value: object, *, minimum: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ConfigError(f"{owner}: {field} is {value!r}: it must be a whole number of at least {minimum}")


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """One decode step of attention in one layer.

    Attributes:
        batch: sequences decoded together (B).
        seq_len: tokens in the KV cache, the current one included (S).
        n_heads: query heads (n_h).
        n_kv_heads: KV heads (n_kv); divides ``n_heads``.
        head_dim: components per head (d_h).
        dtype: element type of the KV cache, the queries and the output.

    Raises:
        ConfigError: a size below 1, an unknown dtype, or n_heads not a multiple of n_kv_heads.
    """

    batch: int
    seq_len: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    dtype: DType = "float16"

    def __post_init__(self) -> None:
        for field in ("batch", "seq_len", "n_heads", "n_kv_heads", "head_dim"):
            _require_positive_int("shape", field, getattr(self, field))
        if self.n_heads % self.n_kv_heads:
            raise ConfigError(
                f"shape: n_heads is {self.n_heads} and n_kv_heads is {self.n_kv_heads}: "
                "n_heads must be a multiple of n_kv_heads"
            )
        if self.dtype not in ELEMENT_BYTES:
            raise ConfigError(f"shape: dtype is {self.dtype!r}: choose one of {', '.join(ELEMENT_BYTES)}")

    @property
    def group_size(self) -> int:
        """Query heads per KV head (g)."""
        return self.n_heads // self.n_kv_heads

    @property
    def element_bytes(self) -> int:
        """Bytes of one element of the KV cache (b)."""
        return ELEMENT_BYTES[self.dtype]

    @property
    def kv_bytes(self) -> int:
        """Bytes of K and V of this layer, one copy each."""
        return 2 * self.batch * self.n_kv_heads * self.seq_len * self.head_dim * self.element_bytes


@dataclass(frozen=True, slots=True)
class SparqConfig:
    """SparQ Attention's settings (arXiv 2312.04985, section 3).

    Attributes:
        rank: query components used for the approximate scores (r).
        top_k: positions attended exactly, the local window included (k).
        local_window: most recent positions that are always among the ``top_k`` (l).
        mean_value: blend with the mean of V by the estimated coverage (the paper's step 3).
        group_score: how the heads of a group share one top-k: the sum of their ``logits`` (the published
            evaluation code) or of their ``softmax`` (the published snippet). The same for MHA.
        k_layout: ``two_copies`` (K row-major and Kᵀ channel-major), ``channel_major`` (Kᵀ only) or
            ``row_major`` (K only).

    Raises:
        ConfigError: rank or top_k below 1, local_window below 0 or above top_k, or an unknown word.
    """

    rank: int
    top_k: int
    local_window: int = 0
    mean_value: bool = True
    group_score: GroupScore = "logits"
    k_layout: KLayout = "two_copies"

    def __post_init__(self) -> None:
        _require_positive_int("SparQ config", "rank", self.rank)
        _require_positive_int("SparQ config", "top_k", self.top_k)
        _require_positive_int("SparQ config", "local_window", self.local_window, minimum=0)
        if self.local_window > self.top_k:
            raise ConfigError(
                f"SparQ config: local_window is {self.local_window} and top_k is {self.top_k}: "
                "the local window is part of the top_k, so it cannot be larger"
            )
        if not isinstance(self.mean_value, bool):
            raise ConfigError(f"SparQ config: mean_value is {self.mean_value!r}: it must be true or false")
        if self.group_score not in GROUP_SCORES:
            raise ConfigError(
                f"SparQ config: group_score is {self.group_score!r}: choose one of {', '.join(GROUP_SCORES)}"
            )
        if self.k_layout not in K_LAYOUTS:
            raise ConfigError(f"SparQ config: k_layout is {self.k_layout!r}: choose one of {', '.join(K_LAYOUTS)}")

    def check_fits(self, head_dim: int) -> None:
        """Raise ConfigError where ``rank`` exceeds ``head_dim``; a ``top_k`` beyond the sequence is dense."""
        if self.rank > head_dim:
            raise ConfigError(
                f"SparQ config: rank is {self.rank} and head_dim is {head_dim}: rank must be at most head_dim"
            )
