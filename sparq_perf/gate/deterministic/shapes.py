"""The decode steps whose analytic bytes and FLOPs are facts: models' heads, every layout, and awkward sizes."""

from dataclasses import dataclass

from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.shape import K_LAYOUTS


@dataclass(frozen=True, slots=True)
class Step:
    """One decode step."""

    shape: AttentionShape
    config: SparqConfig

    @property
    def shape_title(self) -> str:
        """The shape in a line, the element type aside: an implementation may take another."""
        s = self.shape
        return f"B={s.batch} S={s.seq_len} heads {s.n_heads}/{s.n_kv_heads} d={s.head_dim}"

    @property
    def title(self) -> str:
        """Shape and settings in a line."""
        c = self.config
        settings = f"r={c.rank} k={c.top_k} l={c.local_window} {c.group_score}"
        return " · ".join([self.shape_title, settings + ("" if c.mean_value else " no mean"), c.k_layout])


STEPS = (
    # The paper's table 4; Llama-3 8B and 70B; heads of 256; one KV head.
    Step(AttentionShape(64, 4096, 32, 32, 128), SparqConfig(32, 128, 32)),
    Step(AttentionShape(16, 32768, 32, 8, 128), SparqConfig(32, 128, 32, mean_value=False)),
    Step(AttentionShape(1, 131072, 64, 8, 128), SparqConfig(64, 512, 128)),
    Step(AttentionShape(4, 8192, 16, 16, 256), SparqConfig(64, 256)),
    Step(AttentionShape(8, 16384, 16, 1, 256, "bfloat16"), SparqConfig(32, 128)),
    *(Step(AttentionShape(2, 8192, 8, 2, 128), SparqConfig(32, 128, 32, k_layout=layout)) for layout in K_LAYOUTS),
    # Scores of a group kept for the softmax rule, and fewer bytes where they are made twice.
    Step(AttentionShape(4, 8192, 32, 8, 128, "float32"), SparqConfig(16, 64, group_score="softmax")),
    Step(AttentionShape(8, 16384, 16, 1, 256, "bfloat16"), SparqConfig(32, 128, 32, group_score="softmax")),
    # No power of two anywhere; a top_k that spills scores; one that covers everything.
    Step(AttentionShape(3, 5001, 15, 3, 80), SparqConfig(20, 100, 7)),
    Step(AttentionShape(2, 8192, 32, 8, 128), SparqConfig(32, 1024)),
    Step(AttentionShape(2, 100, 8, 8, 64), SparqConfig(16, 128)),
)
