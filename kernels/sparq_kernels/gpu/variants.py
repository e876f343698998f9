"""The decode steps whose kernels are compiled ahead of time: together they reach every branch that is compiled in.

Each step is recorded as it runs, on tensors without data, so that what is compiled is what a device would be given.
"""

from dataclasses import dataclass

import torch

from sparq_kernels.cache import KVCache
from sparq_kernels.gpu.append import append_token
from sparq_kernels.gpu.launching import Launch, observing
from sparq_kernels.gpu.tiling import TRANSPOSED_TILE, tiling_for
from sparq_kernels.registry import IMPLEMENTATIONS
from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.shape import DType, KLayout

_SHORT = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Step:
    """One decode step, or the append of one token.

    Attributes:
        shape: of the step; seq_len counts what the cache holds before.
        k_layout: copies of K.
        config: SparQ settings; None for dense attention and for an append.
        tail: tokens that Kᵀ does not hold yet.
        append: append a token instead of attending.
    """

    shape: AttentionShape
    k_layout: KLayout = "two_copies"
    config: SparqConfig | None = None
    tail: int = 0
    append: bool = False

    @property
    def label(self) -> str:
        """What distinguishes it, in the words of the results tables."""
        shape, config = self.shape, self.config
        words = ["append" if self.append else "dense" if config is None else "sparq"]
        words += [] if self.append else [f"g{shape.group_size}"]
        words += [f"d{shape.head_dim}", _SHORT[shape.dtype], self.k_layout, f"B{shape.batch}", f"S{shape.seq_len}"]
        if config is not None:
            words += [f"r{config.rank}", f"k{config.top_k}"]
            words += [f"l{config.local_window}"] if config.local_window else []
            words += [config.group_score] if config.group_score != "logits" else []
            words += [] if config.mean_value else ["no mean"]
        words += [f"tail {self.tail}"] if self.tail else []
        return " ".join(words)

    def record(self, target: str) -> list[Launch]:
        """The launches that it makes on a device of that architecture, in order; nothing runs."""
        shape = self.shape
        dtype = getattr(torch, shape.dtype)
        cache = KVCache(
            shape.batch,
            shape.n_kv_heads,
            shape.head_dim,
            capacity=shape.seq_len + TRANSPOSED_TILE,
            dtype=dtype,
            device="meta",
            k_layout=self.k_layout,
        )
        cache.seq_len = shape.seq_len
        cache.transposed_len = shape.seq_len - self.tail
        launches: list[Launch] = []
        with observing(launches.append):
            if self.append:
                token = torch.empty(shape.batch, shape.n_kv_heads, shape.head_dim, dtype=dtype, device="meta")
                append_token(cache, token, token)
            else:
                q = torch.empty(shape.batch, shape.n_heads, shape.head_dim, dtype=dtype, device="meta")
                tiling = tiling_for(target)
                if self.config is None:
                    IMPLEMENTATIONS["dense-triton"].kernel()(q, cache, tiling=tiling)
                else:
                    IMPLEMENTATIONS["sparq-triton"].kernel()(q, cache, self.config, tiling=tiling)
        return launches


def _shape(
    group: int, head_dim: int, dtype: DType, *, batch: int = 16, kv_heads: int = 8, seq_len: int
) -> AttentionShape:
    return AttentionShape(batch, seq_len, group * kv_heads, kv_heads, head_dim, dtype)


_PAPER = SparqConfig(rank=32, top_k=128)
_WINDOW = SparqConfig(rank=32, top_k=256, local_window=64)
_NO_MEAN = SparqConfig(rank=16, top_k=64, mean_value=False)
_SOFTMAX = SparqConfig(rank=32, top_k=128, group_score="softmax")
_LARGE = SparqConfig(rank=32, top_k=1024)

CASES: tuple[Step, ...] = (
    # Dense: one program a KV head, parts that are combined, Kᵀ only, and each type and head size.
    Step(_shape(1, 128, "float16", batch=64, kv_heads=32, seq_len=4 * _KIB)),
    Step(_shape(4, 128, "float16", batch=1, seq_len=32 * _KIB)),
    Step(_shape(16, 256, "bfloat16", batch=1, seq_len=32 * _KIB)),
    Step(_shape(4, 128, "float32", batch=1, seq_len=8 * _KIB)),
    Step(_shape(4, 96, "bfloat16", batch=1, seq_len=8 * _KIB), "channel_major"),
    # SparQ by multiply-adds: candidates few enough to select at once, or too many.
    Step(_shape(1, 128, "float16", kv_heads=32, seq_len=4 * _KIB), config=_PAPER),
    Step(_shape(4, 128, "float16", seq_len=32 * _KIB), config=_WINDOW, tail=37),
    Step(_shape(4, 128, "bfloat16", seq_len=32 * _KIB), "channel_major", config=_NO_MEAN),
    Step(_shape(8, 128, "float16", batch=1, seq_len=128 * _KIB), config=SparqConfig(rank=32, top_k=512), tail=1),
    Step(_shape(4, 128, "float16", batch=1, seq_len=128 * _KIB), config=SparqConfig(rank=16, top_k=256)),
    Step(_shape(5, 80, "float16", seq_len=8 * _KIB), config=_WINDOW),
    Step(_shape(1, 256, "float16", kv_heads=16, seq_len=8 * _KIB), config=_PAPER),
    Step(_shape(4, 128, "float32", seq_len=8 * _KIB), config=_PAPER),
    # SparQ by matrix products: rows of K, and groups that fill a tensor core.
    Step(_shape(4, 128, "float16", seq_len=32 * _KIB), "row_major", config=_PAPER),
    Step(_shape(16, 128, "bfloat16", batch=4, seq_len=32 * _KIB), config=_PAPER, tail=5),
    Step(_shape(16, 128, "float32", batch=4, seq_len=8 * _KIB), "row_major", config=_SOFTMAX),
    # The softmax rule, and a top_k so large that every score passes through memory.
    Step(_shape(4, 128, "float16", seq_len=64 * _KIB), config=_SOFTMAX, tail=11),
    Step(_shape(8, 128, "bfloat16", batch=1, seq_len=8 * _KIB), config=_LARGE, tail=3),
    Step(_shape(1, 64, "float16", batch=1, kv_heads=32, seq_len=64 * _KIB), config=_LARGE),
    # Append: a column of Kᵀ, a tile of it, or none.
    Step(_shape(1, 128, "float16", kv_heads=8, seq_len=4 * _KIB), append=True),
    Step(_shape(1, 128, "float16", kv_heads=8, seq_len=4 * _KIB + TRANSPOSED_TILE - 1), append=True, tail=63),
    Step(_shape(1, 128, "float16", kv_heads=8, seq_len=4 * _KIB + TRANSPOSED_TILE - 1), append=True, tail=40),
    Step(_shape(1, 80, "bfloat16", kv_heads=8, seq_len=4 * _KIB), "channel_major", append=True),
    Step(_shape(1, 256, "float32", kv_heads=8, seq_len=4 * _KIB), "row_major", append=True),
)
