"""Time of a whole step worked by hand, its parts, and the speedups that follow."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparq_profiles import AttentionShape, ConfigError, HardwareProfile, SparqConfig, load_hardware, load_model
from sparq_profiles.shape import GROUP_SCORES, K_LAYOUTS, GroupScore, KLayout
from sparq_roofline import predict
from sparq_roofline.deployment.all_reduce import all_reduce_bytes, all_reduce_time
from sparq_roofline.deployment.attention import AttentionStep, attention_traffic, datasheet_time
from sparq_roofline.deployment.formats import KV, WEIGHTS
from sparq_roofline.deployment.served import Served
from sparq_roofline.deployment.sharding import shard
from sparq_roofline.deployment.span import Span
from sparq_roofline.deployment.step_time import StepTime, compare, step_time
from sparq_roofline.interval import Interval

MakeServed = Callable[..., Served]
MakeDevice = Callable[..., HardwareProfile]
MakeModel = Callable[..., Any]


def ends(span: Span) -> tuple[float, float, float]:
    return (float(span.lower), float(span.expected), float(span.upper))


def about(*values: float) -> Any:
    return pytest.approx(values, rel=1e-12)


def test_a_step_by_hand(served: MakeServed, tiny: MakeModel, linked: MakeDevice) -> None:
    """1 MB/s, 10 MFLOP/s, 1 ms a launch; efficiencies 0.5 and 0.8 of the stream, 0.4 and 0.5 of the arithmetic."""
    model = served(tiny())
    step = step_time(linked(), model, shard(model.model, 1), 1, 10, None)
    # A layer: 9,216 weights in matrices, 64 in norms, 2 bytes each; 2 layers; 2 FLOP a weight in a matrix.
    read, flops = 2 * (9216 + 64) * 2, 2 * 2 * 9216
    assert (read, flops) == (37_120, 36_864)
    assert ends(step.layers) == about(0.03712, 0.03712 / 0.8, 0.03712 / 0.5 + 0.0036864 / 0.4)
    # The LM head: 3,200 weights.
    assert ends(step.head) == about(0.0064, 0.0064 / 0.8, 0.0064 / 0.5 + 0.00064 / 0.4)
    # 8 launches in each of 2 layers, and 4.
    assert ends(step.launches) == about(0, 0.020, 0.020)
    # A layer's K and V of 2 heads, 10 tokens, 8 components: 640 bytes; 4 queries and outputs of 16 bytes each; the new
    # token's 64 bytes. 4 FLOP for each of 4 heads, 10 tokens, 8 components. Two launches.
    assert ends(step.attention) == about(
        2 * 832e-6, 2 * (768e-6 / 0.8 + 64e-6 / 0.8 + 2e-3), 2 * (832e-6 / 0.5 + 1280e-7 / 0.4 + 2e-3)
    )
    assert ends(step.all_reduce) == (0, 0, 0)
    parts = (step.layers, step.attention, step.head, step.launches, step.all_reduce)
    for end in range(3):
        assert ends(step.total)[end] == pytest.approx(sum(ends(part)[end] for part in parts))
        assert ends(step.total)[end] == pytest.approx(ends(step.rest)[end] + ends(step.attention)[end])


def test_llama_2_7b_waits_for_memory(served: MakeServed) -> None:
    """Batch 1 on an H100 at 3.35 TB/s: 13.2 GB of weights and 2.1 GB of KV cache are read once."""
    model = served("llama-2-7b")
    step = step_time(load_hardware("h100-sxm-80gb"), model, shard(model.model, 1), 1, 4096, None)
    weights = 2 * (6_738_415_616 - 2 * 32_000 * 4096 - 4096)  # all but the embedding, the head and the last norm
    assert step.layers.lower == pytest.approx(weights / 3350e9)
    assert step.head.lower == pytest.approx(2 * 32_000 * 4096 / 3350e9)
    cache = 32 * (2 * 4096 * 4096 * 2 + 2 * 4096 * 2 + 2 * 4096 * 2)  # K and V; query and output; append
    assert step.attention.lower == pytest.approx(cache / 3350e9)
    assert step.total.lower == pytest.approx((weights + 2 * 32_000 * 4096 + cache) / 3350e9)
    assert float(step.total.lower) == pytest.approx(4.586e-3, rel=1e-3)


def test_weights_are_read_once_whatever_the_batch(served: MakeServed) -> None:
    model = served("llama-2-7b")
    hardware = load_hardware("h100-sxm-80gb")
    steps = step_time(hardware, model, shard(model.model, 1), np.array([1.0, 8.0, 64.0]), 4096, None)
    assert steps.layers.lower == pytest.approx([steps.layers.lower[0]] * 3)
    assert steps.attention.lower == pytest.approx(np.array([1, 8, 64]) * steps.attention.lower[0])
    # 989 TFLOP/s over 3.35 TB/s are 295 FLOP a byte: beyond that batch arithmetic is the ceiling.
    large = step_time(hardware, model, shard(model.model, 1), 1024, 4096, None)
    assert float(large.layers.lower) == pytest.approx(2 * 1024 * 32 * (4 * 4096**2 + 3 * 4096 * 11008) / 989e12)


def test_element_sizes_shrink_the_weights_time(served: MakeServed) -> None:
    hardware = load_hardware("h100-sxm-80gb")
    times = {}
    for weights in ("bfloat16", "float8", "int4"):
        model = served("llama-3-8b", weights)
        times[weights] = float(step_time(hardware, model, shard(model.model, 1), 1, 4096, None).layers.lower)
    norms = 32 * 2 * 4096 * 2 / 3350e9
    matrices = times["bfloat16"] - norms
    assert times["float8"] == pytest.approx(matrices / 2 + norms)
    assert times["int4"] == pytest.approx(matrices * 0.515625 / 2 + norms)


@pytest.mark.parametrize("rule", GROUP_SCORES)
@pytest.mark.parametrize("layout", [None, *K_LAYOUTS])
@pytest.mark.parametrize("name", ["h100-sxm-80gb", "mi300x-192gb", "epyc-9004-32t"])
def test_attention_is_the_prediction_of_predict(name: str, layout: KLayout | None, rule: GroupScore) -> None:
    hardware = load_hardware(name)
    config = SparqConfig(24, 100, 60, group_score=rule, k_layout=layout) if layout else None
    step = AttentionStep(np.array([3.0, 16.0]), np.array([50.0, 9000.0]), 32, 8, 128, 2, config)
    found = datasheet_time(hardware, step)
    for index, (batch, seq_len) in enumerate([(3, 50), (16, 9000)]):
        prediction = predict(hardware, AttentionShape(batch, seq_len, 32, 8, 128), config)
        side = prediction.sparq or prediction.dense
        assert found.interval(index) == Interval(
            *(pytest.approx(end, rel=1e-12) for end in (side.time_s.lower, side.time_s.expected, side.time_s.upper))
        )


def test_each_choice_changes_attentions_bytes_as_the_formulas_say() -> None:
    """B=2, S=1000, 8 query heads, d=64: what moves, to the byte."""

    def moved(n_kv_heads: int, element_bytes: int, config: SparqConfig | None) -> float:
        step = AttentionStep(2, 1000, 8, n_kv_heads, 64, element_bytes, config)
        return sum(float(part.moved_bytes) for part in attention_traffic(step, 32))

    ends = 2 * 2 * 8 * 64  # queries and outputs, elements
    assert moved(8, 2, None) == 2 * (2 * 8 * (2 * 1000 * 64 + 2 * 64) + ends)
    assert moved(2, 2, None) == 2 * (2 * 2 * (2 * 1000 * 64 + 2 * 64) + ends)  # GQA: a quarter of K and V
    assert moved(8, 1, None) * 2 == moved(8, 2, None)  # fp8: half of all
    sparq = SparqConfig(16, 100, mean_value=False)
    assert moved(8, 2, sparq) == 2 * (2 * 8 * (16 * 1000 + 2 * 100 * 64 + 3 * 64) + ends)
    assert moved(8, 1, sparq) * 2 == moved(8, 2, sparq)
    softmax = SparqConfig(16, 100, 20, mean_value=False, group_score="softmax")
    assert moved(8, 2, softmax) == moved(8, 2, sparq)
    # Groups of 4: 980 scores in fp32 written and read would be 32 bytes a position; scoring twice is as many.
    assert moved(2, 2, softmax) == moved(2, 2, sparq) + 2 * 2 * 980 * 32
    assert moved(2, 1, softmax) == moved(2, 1, sparq) + 2 * 2 * 980 * 16  # fp8: scoring twice is half of that
    channels = SparqConfig(16, 100, mean_value=False, k_layout="channel_major")
    # K is gathered by sectors of 32 bytes, but never more than all of it: here all of it.
    assert moved(8, 2, channels) == 2 * (2 * 8 * (16 * 1000 + 1000 * 64 + 100 * 64 + 2 * 64) + ends)


def test_all_reduce_bytes_by_hand(linked: MakeDevice, tiny: MakeModel) -> None:
    llama = load_model("llama-2-7b")
    # A ring of 4 sends 2·3/4 of 8 sequences · 4,096 components · 2 bytes; of 8, 2·7/8 of it.
    assert all_reduce_bytes(llama, 8, 4) == 98_304
    assert all_reduce_bytes(llama, 8, 8) == 114_688
    assert all_reduce_bytes(llama, 8, 1) == 0
    # 80 layers, 2 all-reduces each, 2 GPUs: 2·1/2 · 16 · 8,192 · 2 bytes over 450 GB/s, and 2 hops of 0.5 to 2 µs.
    wire_s = 160 * 262_144 / 450e9
    time = all_reduce_time(load_hardware("h100-sxm-80gb"), load_model("llama-3-70b"), 16, 2)
    assert ends(time) == about(wire_s + 320 * 0.5e-6, wire_s / 0.7 + 320e-6, wire_s / 0.5 + 320 * 2e-6)
    # 2 layers, 4 in all; 2·3/4 · 1 · 32 · 2 = 96 bytes over 1 kB/s; 6 hops.
    assert ends(all_reduce_time(linked(), tiny(), 1, 4)) == about(
        4 * 0.096 + 24 * 0.5e-6, 4 * 0.096 / 0.7 + 24e-6, 4 * 0.096 / 0.5 + 24 * 2e-6
    )


def test_several_gpus_need_a_link(linked: MakeDevice, served: MakeServed, tiny: MakeModel) -> None:
    model = served(tiny())
    alone = linked(link_bandwidth_bytes_per_s=None)
    step_time(alone, model, shard(model.model, 1), 1, 10, None)
    with pytest.raises(ConfigError, match="link_bandwidth_bytes_per_s is not stated: a model cannot be split over 2"):
        step_time(alone, model, shard(model.model, 2), 1, 10, None)


def test_tensor_parallelism_splits_the_work(served: MakeServed) -> None:
    model, hardware = served("llama-3-70b"), load_hardware("h100-sxm-80gb")
    one, four = (step_time(hardware, model, shard(model.model, n), 8, 8192, None) for n in (1, 4))
    norms = 80 * 2 * 8192 * 2 / 3350e9
    assert four.layers.lower - norms == pytest.approx((one.layers.lower - norms) / 4)
    assert four.head.lower == pytest.approx(one.head.lower / 4)
    assert four.attention.lower == pytest.approx(one.attention.lower / 4)
    assert four.launches == one.launches
    assert float(four.all_reduce.lower) > 0 == float(one.all_reduce.lower)


def test_windowed_layers_see_their_window(served: MakeServed, tiny: MakeModel, linked: MakeDevice) -> None:
    def attention(seq_len: int, **window: int) -> float:
        model = served(tiny(**window))
        return float(step_time(linked(), model, shard(model.model, 1), 1, seq_len, None).attention.expected)

    assert attention(50, sliding_window=100) == attention(50)
    assert attention(1000, sliding_window=100) == pytest.approx(attention(100))
    both = (attention(1000) + attention(100)) / 2
    assert attention(1000, sliding_window=100, n_windowed_layers=1) == pytest.approx(both)


def test_another_attention_model_takes_the_seam(served: MakeServed) -> None:
    asked: list[AttentionStep] = []

    def constant(hardware: HardwareProfile, step: AttentionStep) -> Span:
        asked.append(step)
        return Span.exactly(1e-3 if step.config is None else 2.5e-4)

    model, hardware = served("llama-3-8b"), load_hardware("h100-sxm-80gb")
    held = shard(model.model, 4)
    dense = step_time(hardware, model, held, 8, 4096, None, constant)
    sparq = step_time(hardware, model, held, 8, 4096, SparqConfig(32, 128), constant)
    assert ends(dense.attention) == about(*[32e-3] * 3)
    assert asked[0] == AttentionStep(8, 4096, 8, 2, 128, 2, None)
    assert ends(compare(dense, sparq).attention_speedup) == about(4, 4, 4)


def steps(rest: tuple[float, float, float], attention: tuple[float, float, float]) -> StepTime:
    zero = Span.exactly(0.0)
    return StepTime(Span(*rest), Span(*attention), zero, zero, zero)


def test_amdahl_by_hand() -> None:
    compared = compare(steps((4.0, 5.0, 8.0), (4.0, 5.0, 6.0)), steps((4.0, 5.0, 8.0), (0.5, 1.0, 2.0)))
    assert ends(compared.attention_speedup) == about(4 / 2, 5 / 1, 6 / 0.5)
    # The slow rest makes the least of it, (8 + 4) / (8 + 2); the fast one the most, (4 + 6) / (4 + 0.5).
    assert ends(compared.step_speedup) == about(12 / 10, 10 / 6, 10 / 4.5)
    # Where SparQ may lose, a fast rest makes it worse.
    losing = compare(steps((4.0, 5.0, 8.0), (1.0, 2.0, 2.0)), steps((4.0, 5.0, 8.0), (0.5, 2.0, 4.0)))
    assert ends(losing.step_speedup) == about(5 / 8, 1, (4 + 2) / 4.5)


TIMES = st.tuples(*[st.floats(1e-6, 1.0)] * 3).map(sorted).map(tuple)


@given(rest=TIMES, dense=TIMES, sparq=TIMES)
def test_the_step_gains_less_than_attention(rest: Any, dense: Any, sparq: Any) -> None:
    compared = compare(steps(rest, dense), steps(rest, sparq))
    for end in range(3):
        attention, step = ends(compared.attention_speedup)[end], ends(compared.step_speedup)[end]
        low, high = sorted((1.0, attention))
        assert low * (1 - 1e-9) <= step <= high * (1 + 1e-9)
    lower, expected, upper = ends(compared.step_speedup)
    assert lower <= expected * (1 + 1e-9)
    assert expected <= upper * (1 + 1e-9)


@given(
    hardware=st.sampled_from(["a10g-24gb", "h100-sxm-80gb", "mi325x-256gb", "rtx5090-32gb"]),
    batch=st.integers(1, 256),
    seq_len=st.integers(1, 200_000),
    more=st.integers(1, 5000),
    n_gpus=st.sampled_from([1, 2, 8]),
    layout=st.sampled_from([None, *K_LAYOUTS]),
    rule=st.sampled_from(GROUP_SCORES),
    weights=st.sampled_from(["bfloat16", "float8", "int4"]),
)
def test_more_is_never_faster_and_nothing_beats_the_roofline(
    hardware: str,
    batch: int,
    seq_len: int,
    more: int,
    n_gpus: int,
    layout: KLayout | None,
    rule: GroupScore,
    weights: str,
) -> None:
    profile, model = load_hardware(hardware), load_model("llama-3-8b")
    served, held = Served(model, WEIGHTS[weights], KV["float16"]), shard(model, n_gpus)
    config = SparqConfig(32, 128, 32, mean_value=False, group_score=rule, k_layout=layout) if layout else None

    def total(batch: int, seq_len: int) -> tuple[float, float, float]:
        return ends(step_time(profile, served, held, batch, seq_len, config).total)

    time = total(batch, seq_len)
    assert 0 < time[0] <= time[1] <= time[2]
    assert all(longer >= now for now, longer in zip(time, total(batch, seq_len + more), strict=True))
    assert all(larger >= now for now, larger in zip(time, total(batch + more, seq_len), strict=True))
    step = AttentionStep(batch, seq_len, held.n_heads, held.n_kv_heads, 128, 2, config)
    cache = sum(float(part.moved_bytes) for part in attention_traffic(step, int(profile.sector_bytes.value)))
    read = held.layer_read_bytes(served.weights) + held.head_matrix * 2
    assert time[0] >= (read + 32 * cache) / profile.memory_bandwidth_bytes_per_s.value * (1 - 1e-12)


def test_rank_above_head_dim(served: MakeServed) -> None:
    model = served("llama-3-8b")
    with pytest.raises(ConfigError, match="rank is 129 and head_dim is 128"):
        step_time(load_hardware("l4-24gb"), model, shard(model.model, 1), 1, 10, SparqConfig(129, 128))
