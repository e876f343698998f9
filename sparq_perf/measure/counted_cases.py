"""Small configurations that cover what a kernel can get wrong; none takes the interpreter more than a second or two."""

from sparq_perf.measure.counted_traffic import Case
from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.shape import K_LAYOUTS

STANDARD_CASES = (
    # MHA, then GQA in every layout, so that what keeping K once costs can be read off, then MQA.
    Case(AttentionShape(1, 512, 4, 4, 64), SparqConfig(16, 64)),
    *(
        Case(AttentionShape(2, 512, 8, 2, 128), SparqConfig(32, 128, local_window=32, k_layout=layout))
        for layout in K_LAYOUTS
    ),
    Case(AttentionShape(1, 640, 8, 1, 64), SparqConfig(16, 64, k_layout="channel_major")),
    # Heads that are no power of two, whose lanes beyond the head must be masked; lengths that end inside a block.
    Case(AttentionShape(2, 1000, 4, 2, 80), SparqConfig(20, 96, k_layout="row_major")),
    Case(AttentionShape(1, 1023, 6, 2, 96), SparqConfig(24, 100)),
    Case(AttentionShape(1, 400, 4, 4, 256), SparqConfig(64, 64, local_window=16)),
    # The softmax rule, whose scores pass through memory, in every layout and type.
    Case(AttentionShape(2, 513, 8, 2, 64, "bfloat16"), SparqConfig(16, 64, group_score="softmax")),
    Case(
        AttentionShape(1, 777, 8, 2, 128, "float32"),
        SparqConfig(32, 64, local_window=8, group_score="softmax", k_layout="row_major"),
    ),
    Case(
        AttentionShape(3, 257, 4, 1, 80, "bfloat16"),
        SparqConfig(10, 33, mean_value=False, group_score="softmax", k_layout="channel_major"),
    ),
    # Several score tiles; a group that fills a tensor core; a top_k beyond a tile's candidates.
    Case(AttentionShape(1, 3001, 2, 1, 64, "float32"), SparqConfig(8, 200)),
    Case(AttentionShape(1, 2500, 16, 1, 64), SparqConfig(16, 128)),
    Case(AttentionShape(1, 2600, 2, 1, 64), SparqConfig(16, 700)),
    # The ends of what is allowed: one channel and position; every channel, and nothing but the window; all positions.
    Case(AttentionShape(4, 97, 2, 2, 64), SparqConfig(1, 1)),
    Case(AttentionShape(1, 600, 4, 2, 64), SparqConfig(64, 48, local_window=48)),
    Case(AttentionShape(2, 100, 4, 2, 64), SparqConfig(16, 128)),
)
