from dataclasses import replace
from math import comb
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparq_profiles import AttentionShape, ConfigError, SparqConfig
from sparq_profiles.shape import ELEMENT_BYTES, K_LAYOUTS, DType, KLayout
from sparq_roofline import dense_traffic, kv_cache_bytes, sparq_traffic
from sparq_roofline.formulas import sector_fraction
from sparq_roofline.steps import StepTraffic, Traffic

# S = 4096, d = 128, 16-bit, r = 32, k = 128; one row of K is 256 bytes.
MHA = AttentionShape(batch=1, seq_len=4096, n_heads=32, n_kv_heads=32, head_dim=128)
GQA = AttentionShape(batch=1, seq_len=4096, n_heads=32, n_kv_heads=8, head_dim=128)
CONFIG = SparqConfig(rank=32, top_k=128)

QUERY = 32 * 256  # bytes of the query, and as many of the output


def reads(traffic: Traffic) -> dict[str, float]:
    return {step.name: step.read_bytes for step in traffic.steps}


def writes(traffic: Traffic) -> dict[str, float]:
    return {step.name: step.write_bytes for step in traffic.steps}


def moved(traffic: Traffic) -> float:
    return traffic.read_bytes + traffic.write_bytes


@pytest.mark.parametrize(("shape", "kv_heads"), [(MHA, 32), (GQA, 8)])
def test_dense_bytes(shape: AttentionShape, kv_heads: int) -> None:
    traffic = dense_traffic(shape)
    # K and V: 2 * 4096 rows of 256 bytes = 2,097,152 a KV head; append: 2 rows = 512.
    assert reads(traffic) == {"attend": kv_heads * 2_097_152 + QUERY, "append": 0}
    assert writes(traffic) == {"attend": QUERY, "append": kv_heads * 512}


def test_dense_bytes_as_totals() -> None:
    assert dense_traffic(MHA).read_bytes == 67_117_056
    assert dense_traffic(GQA).read_bytes == 16_785_408
    assert dense_traffic(GQA).write_bytes == 12_288


@pytest.mark.parametrize(("shape", "kv_heads"), [(MHA, 32), (GQA, 8)])
def test_two_copies_bytes(shape: AttentionShape, kv_heads: int) -> None:
    traffic = sparq_traffic(shape, CONFIG)
    assert reads(traffic) == {
        "score": kv_heads * 262_144 + QUERY,  # 32 channels of 4096 * 2 bytes
        "select": 0,
        "gather": kv_heads * 65_536,  # 128 rows of K and of V
        "append": 0,
        "mean_value": kv_heads * 512,  # 128 fp32
    }
    assert writes(traffic) == {
        "score": 0,
        "select": 0,
        "gather": QUERY,
        "append": kv_heads * 768,  # K, its transpose and V
        "mean_value": kv_heads * 512,
    }


@pytest.mark.parametrize("element", ["float16", "float32"])
@pytest.mark.parametrize("group", [1, 4])
def test_two_copies_is_the_written_formula(group: int, element: Any) -> None:
    # S*r*b + 2*k*d*b + 3*d*b + 8*d + 2*g*d*b for each sequence and KV head
    b = {"float16": 2, "float32": 4}[element]
    shape = AttentionShape(3, 1000, 5 * group, 5, 80, element)
    expected = 1000 * 24 * b + 2 * 50 * 80 * b + 3 * 80 * b + 8 * 80 + 2 * group * 80 * b
    traffic = sparq_traffic(shape, SparqConfig(rank=24, top_k=50))
    assert moved(traffic) == 15 * expected
    assert isinstance(moved(traffic), int)


def test_gqa_total_by_hand() -> None:
    assert moved(sparq_traffic(GQA, CONFIG)) == 8 * (262_144 + 65_536 + 768 + 1_024 + 2_048) == 2_652_160


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_kv_bytes_are_counted_per_kv_head(k_layout: KLayout) -> None:
    # Counting them per query head makes grouped queries look four times as expensive here.
    grouped, alone = GQA, replace(GQA, n_heads=8)
    config = replace(CONFIG, k_layout=k_layout)
    extra_queries = 2 * (32 - 8) * 256
    assert moved(dense_traffic(grouped)) - moved(dense_traffic(alone)) == extra_queries
    difference = moved(sparq_traffic(grouped, config)) - moved(sparq_traffic(alone, config))
    assert difference == pytest.approx(extra_queries, abs=1e-6)


def test_without_mean_value() -> None:
    traffic = sparq_traffic(MHA, replace(CONFIG, mean_value=False))
    step = traffic.step("mean_value")
    assert (step.read_bytes, step.write_bytes, step.flops) == (0, 0, 0)
    assert moved(sparq_traffic(MHA, CONFIG)) - moved(traffic) == 32 * 8 * 128


@pytest.mark.parametrize(("rank", "fraction"), [(16, 0.898), (32, 0.993), (64, 1.0)])
def test_row_major_touches_a_fraction_of_the_sectors(rank: int, fraction: float) -> None:
    exact = 1 - comb(112, rank) / comb(128, rank)
    assert exact == pytest.approx(fraction, abs=5e-4)
    config = SparqConfig(rank=rank, top_k=128, k_layout="row_major")
    score = sparq_traffic(MHA, config).step("score")
    assert score.read_bytes == pytest.approx(32 * 4096 * 256 * exact + QUERY, rel=1e-12)


def test_row_major_gathers_and_appends_once() -> None:
    traffic = sparq_traffic(MHA, replace(CONFIG, k_layout="row_major"))
    assert traffic.step("gather").read_bytes == 32 * 65_536
    assert traffic.step("append").write_bytes == 32 * 512


def test_sector_fraction_at_the_ends() -> None:
    assert sector_fraction(128, 128, 16) == 1
    assert sector_fraction(128, 113, 16) == 1  # only 15 channels are left: no sector can be missed
    assert sector_fraction(20, 1, 8) == pytest.approx(8 / 20, rel=1e-12)
    assert sector_fraction(64, 1, 1) == pytest.approx(1 / 64, rel=1e-12)


def test_channel_major_gathers_a_sector_per_channel() -> None:
    traffic = sparq_traffic(GQA, replace(CONFIG, k_layout="channel_major"))
    # K: 32 bytes * 128 keys * 128 channels = 524,288 a KV head; V: 128 rows of 256.
    assert traffic.step("gather").read_bytes == 8 * (524_288 + 32_768)
    assert traffic.step("score").read_bytes == 8 * 262_144 + QUERY
    assert traffic.step("append").write_bytes == 8 * 512


def test_channel_major_never_gathers_more_than_all_of_k() -> None:
    shape = replace(GQA, seq_len=200)
    traffic = sparq_traffic(shape, replace(CONFIG, k_layout="channel_major"))
    assert traffic.step("gather").read_bytes == 8 * (200 * 256 + 128 * 256)


def test_sector_size_matters_to_single_copies_only() -> None:
    def at(sector_bytes: int, k_layout: KLayout, step: str) -> float:
        config = SparqConfig(rank=8, top_k=64, k_layout=k_layout)
        return sparq_traffic(MHA, config, sector_bytes=sector_bytes).step(step).read_bytes

    assert at(64, "two_copies", "gather") == at(32, "two_copies", "gather")
    assert at(64, "two_copies", "score") == at(32, "two_copies", "score")
    assert at(64, "row_major", "score") > at(32, "row_major", "score")
    values = 32 * 64 * 256
    assert at(64, "channel_major", "gather") - values == 2 * (at(32, "channel_major", "gather") - values)


def test_flops_by_hand() -> None:
    assert dense_traffic(GQA).flops == 4 * 32 * 4096 * 128  # q*K and weights*V, a multiply and an add each
    traffic = sparq_traffic(GQA, CONFIG)
    assert {step.name: step.flops for step in traffic.steps} == {
        "score": 2 * 32 * 4096 * 32,
        "select": 8 * 4096,
        "gather": 4 * 32 * 128 * 128,
        "append": 0,
        "mean_value": 3 * 8 * 128,
    }


def softmax(config: SparqConfig) -> SparqConfig:
    return replace(config, group_score="softmax")


def added_by_softmax(shape: AttentionShape, config: SparqConfig) -> tuple[float, float]:
    """Bytes that score writes and select reads for the rule, after seeing that nothing else moves by it."""
    logits, softmaxes = sparq_traffic(shape, config), sparq_traffic(shape, softmax(config))
    score, select = softmaxes.step("score"), softmaxes.step("select")
    unkept = (score._replace(write_bytes=0), select._replace(read_bytes=0, elements=0), *softmaxes.steps[2:])
    assert unkept == logits.steps
    return score.write_bytes, select.read_bytes


def test_softmaxes_of_a_group_are_kept_by_hand() -> None:
    # 4 heads of 4096 fp32 scores, written and read: 131,072 bytes a KV head; scoring twice would be 262,144.
    assert added_by_softmax(GQA, CONFIG) == (8 * 65_536, 8 * 65_536)
    assert sparq_traffic(GQA, softmax(CONFIG)).step("select").elements == 32 * 4096
    assert sparq_traffic(GQA, CONFIG).step("select").elements == 0
    # What is selected anyway waits for nothing: 4096 - 32 positions are left.
    windowed = replace(CONFIG, local_window=32)
    assert added_by_softmax(GQA, windowed) == (8 * 4 * 4064 * 4,) * 2
    assert sparq_traffic(GQA, softmax(windowed)).step("select").elements == 32 * 4064
    assert added_by_softmax(replace(GQA, batch=3), CONFIG) == (24 * 65_536, 24 * 65_536)


def test_scoring_twice_where_that_is_fewer_bytes() -> None:
    # r * b = 16 bytes a position against 8 * g = 32: the 4096 * 16 bytes once more, half of them in either step.
    assert added_by_softmax(GQA, replace(CONFIG, rank=8)) == (8 * 32_768, 8 * 32_768)
    assert added_by_softmax(GQA, replace(CONFIG, rank=16)) == (8 * 65_536, 8 * 65_536)  # equally many
    assert added_by_softmax(GQA, replace(CONFIG, rank=8, local_window=96)) == (8 * 32_000, 8 * 32_000)
    # Whole rows of K are 256 bytes a position: 40 heads keep 320.
    many = replace(GQA, n_heads=40, n_kv_heads=1)
    rows = SparqConfig(rank=128, top_k=128, k_layout="row_major")
    assert added_by_softmax(many, rows) == (4096 * 128, 4096 * 128)
    assert added_by_softmax(GQA, replace(rows, rank=8)) == (8 * 65_536, 8 * 65_536)


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_softmaxes_that_nothing_waits_for(k_layout: KLayout) -> None:
    config = replace(CONFIG, k_layout=k_layout)
    assert added_by_softmax(MHA, config) == (0, 0)  # one head's softmax keeps the order of its logits
    for whole in (4096, 10**9):  # everything is selected
        assert added_by_softmax(GQA, replace(config, top_k=whole)) == (0, 0)
    assert added_by_softmax(GQA, replace(config, top_k=4095)) == (8 * 65_536, 8 * 65_536)


@given(
    seq_len=st.integers(1, 10_000),
    n_kv_heads=st.integers(1, 4),
    group=st.integers(1, 40),
    rank=st.integers(1, 64),
    top_k=st.integers(1, 12_000),
    window=st.floats(0, 1),
    dtype=st.sampled_from(["float16", "float32"]),
    k_layout=st.sampled_from(K_LAYOUTS),
)
def test_softmaxes_never_move_less_and_at_most_either_way(
    seq_len: int, n_kv_heads: int, group: int, rank: int, top_k: int, window: float, dtype: DType, k_layout: KLayout
) -> None:
    shape = AttentionShape(2, seq_len, n_kv_heads * group, n_kv_heads, 64, dtype)
    config = SparqConfig(rank, top_k, int(window * top_k), k_layout=k_layout)
    added = sum(added_by_softmax(shape, config))
    assert added >= 0
    assert (added > 0) == (group > 1 and top_k < seq_len)
    assert added <= 2 * 2 * shape.n_heads * seq_len * 4
    queries = 2 * shape.n_heads * 64 * ELEMENT_BYTES[dtype]
    assert added <= (sparq_traffic(shape, config).step("score").read_bytes - queries) * (1 + 1e-12)


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
def test_top_k_beyond_the_sequence_counts_as_the_sequence(k_layout: KLayout) -> None:
    whole = SparqConfig(rank=32, top_k=4096, k_layout=k_layout)
    assert sparq_traffic(GQA, replace(whole, top_k=10**9)) == sparq_traffic(GQA, whole)
    assert sparq_traffic(GQA, replace(whole, top_k=4095)) != sparq_traffic(GQA, whole)


def test_rank_above_head_dim() -> None:
    with pytest.raises(ConfigError, match="rank is 129 and head_dim is 128"):
        sparq_traffic(MHA, SparqConfig(rank=129, top_k=1))


def test_batch_multiplies_everything() -> None:
    assert moved(sparq_traffic(replace(GQA, batch=7), CONFIG)) == 7 * moved(sparq_traffic(GQA, CONFIG))
    assert moved(dense_traffic(replace(GQA, batch=7))) == 7 * moved(dense_traffic(GQA))


def test_steps_by_name() -> None:
    traffic = dense_traffic(MHA)
    assert traffic.step("append").write_bytes == 32 * 512
    with pytest.raises(KeyError, match="score"):
        traffic.step("score")
    assert [step.name for step in traffic.without(["append"]).steps] == ["attend"]
    assert Traffic((StepTraffic("a", 3, 4),)).steps[0].moved_bytes == 7


def test_kv_cache_bytes() -> None:
    dense = 2 * 8 * 4096 * 256
    mean = 4 * 8 * 128
    assert kv_cache_bytes(GQA, None) == dense == GQA.kv_bytes
    without = replace(CONFIG, mean_value=False)
    assert kv_cache_bytes(GQA, without) == dense * 3 // 2
    assert kv_cache_bytes(GQA, CONFIG) == dense * 3 // 2 + mean
    for single in ("row_major", "channel_major"):
        assert kv_cache_bytes(GQA, replace(without, k_layout=single)) == dense
