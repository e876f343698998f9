from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparq_profiles import AttentionShape, ConfigError, HardwareProfile, SparqConfig, load_hardware
from sparq_profiles.shape import GROUP_SCORES, K_LAYOUTS
from sparq_roofline import Interval, Prediction, predict

Device = Callable[..., HardwareProfile]

# One KV head, two query heads, 1000 rows of 10 elements of 2 bytes.
SHAPE = AttentionShape(batch=1, seq_len=1000, n_heads=2, n_kv_heads=1, head_dim=10)
CONFIG = SparqConfig(rank=3, top_k=100)


def test_dense_by_hand(device: Device) -> None:
    dense = predict(device(), SHAPE, None).dense
    # attend: 2 * 1000 * 20 + query 40 read, output 40 written = 40,080 bytes: 40.08 ms, at 0.8: 50.1 ms; 80,000 FLOP:
    # 8 ms, at 0.5: 16 ms, hidden; a launch: 1 ms. append: 40 bytes at 0.8: 50 us, a launch: 1 ms.
    assert (dense.read_bytes, dense.write_bytes, dense.flops) == (40_040, 80, 80_000)
    assert [step.time_s for step in dense.steps] == pytest.approx([0.0511, 0.00105])
    assert dense.time_s.expected == pytest.approx(0.05215)
    assert dense.time_s.lower == pytest.approx(0.04012)
    # upper: 40,120 bytes at 0.5, 80,000 FLOP at 0.4, two launches
    assert dense.time_s.upper == pytest.approx(0.08024 + 0.02 + 0.002)
    assert dense.bound == "memory"


def test_what_the_softmax_rule_costs_on_an_h100() -> None:
    # GQA 32/8, S = 32k, r = 32, k = 128: 2.15 GB dense against 0.28, and 0.41 with 64 MiB of scores out and in again.
    shape = AttentionShape(batch=16, seq_len=32_768, n_heads=32, n_kv_heads=8, head_dim=128)
    speedups = {}
    for rule in GROUP_SCORES:
        config = SparqConfig(rank=32, top_k=128, mean_value=False, group_score=rule)
        predicted = predict(load_hardware("h100-sxm-80gb"), shape, config, include_append=False)
        assert predicted.sparq is not None
        assert predicted.speedup is not None
        speedups[rule] = predicted.speedup.expected
        moved = predicted.sparq.read_bytes + predicted.sparq.write_bytes
        assert moved == pytest.approx({"logits": 0.277e9, "softmax": 0.411e9}[rule], rel=2e-3)
    assert speedups["logits"] == pytest.approx(6.86, abs=0.01)
    # A second tally of the same spill, made apart from these formulas, has 4.9 where this has 4.8.
    assert speedups["softmax"] == pytest.approx(4.81, abs=0.01)


def test_sparq_by_hand(device: Device) -> None:
    prediction = predict(device(), SHAPE, CONFIG)
    sparq = prediction.sparq
    assert sparq is not None
    assert {step.name: step.time_s for step in sparq.steps} == pytest.approx(
        {
            "score": 6_040e-6 / 0.8 + 1e-3,  # 1000 * 3 * 2 bytes and the query
            "select": 1_000e-7 / 0.5 + 1e-3,  # a comparison a position
            "gather": 4_040e-6 / 0.5 + 1e-3,  # 2 * 100 rows of 20 bytes and the output
            "append": 60e-6 / 0.8 + 1e-3,  # K, its transpose, V
            "mean_value": 80e-6 / 0.8,  # 10 fp32 read and written, no launch of its own
        }
    )
    assert sparq.time_s.expected == pytest.approx(0.020005)
    assert (sparq.read_bytes, sparq.write_bytes, sparq.flops) == (10_080, 140, 21_030)
    assert sparq.time_s.lower == pytest.approx(0.01022)
    # upper: 6,180 bytes at 0.5, 4,040 gathered at 0.25, 21,030 FLOP at 0.4, four launches
    assert sparq.time_s.upper == pytest.approx(0.01236 + 0.01616 + 0.0052575 + 0.004)
    assert sparq.bound == prediction.bound == "memory"
    speedup = prediction.speedup
    assert speedup is not None
    assert speedup.lower == pytest.approx(0.04012 / 0.0377775)
    assert speedup.expected == pytest.approx(0.05215 / 0.020005)
    assert speedup.upper == pytest.approx(0.10224 / 0.01022)


def test_paper_counts_beside_the_bytes(device: Device) -> None:
    shape = AttentionShape(batch=2, seq_len=4096, n_heads=32, n_kv_heads=8, head_dim=128)
    counts = predict(device(), shape, SparqConfig(rank=32, top_k=128)).paper
    assert counts is not None
    assert (counts.dense_elements_per_head, counts.sparq_elements_per_head) == (1_048_832, 164_352)
    assert counts.transfer_ratio == 164_352 / 1_048_832


def test_without_a_config_there_is_no_sparq(device: Device) -> None:
    prediction = predict(device(), SHAPE, None)
    assert (prediction.sparq, prediction.speedup, prediction.paper) == (None, None, None)
    assert prediction.bound == prediction.dense.bound
    assert prediction.hardware == "round-numbers"


@pytest.mark.parametrize(
    ("ceilings", "bound"),
    [
        ({"bandwidth": 1e6, "peak": 1e12, "launch": 1e-9}, "memory"),
        ({"bandwidth": 1e12, "peak": 1e6, "launch": 1e-9}, "compute"),
        ({"bandwidth": 1e12, "peak": 1e12, "launch": 1e-3}, "latency"),
    ],
)
def test_bound(device: Device, ceilings: dict[str, float], bound: str) -> None:
    prediction = predict(device(**ceilings), SHAPE, CONFIG)
    assert prediction.sparq is not None
    assert (prediction.bound, prediction.sparq.bound, prediction.dense.bound) == (bound, bound, bound)
    for time in (prediction.sparq, prediction.dense):
        assert time.steps[0].bound == bound


@pytest.mark.parametrize(("kind", "evidence"), [("measured", "measured"), ("datasheet", "datasheet")])
def test_evidence(device: Device, kind: str, evidence: str) -> None:
    assert predict(device(kind=kind), SHAPE, CONFIG).dense.evidence == evidence


def test_append_can_be_left_out(device: Device) -> None:
    with_append, without = (predict(device(), SHAPE, CONFIG, include_append=flag) for flag in (True, False))
    assert with_append.sparq is not None
    assert without.sparq is not None
    assert [step.name for step in without.dense.steps] == ["attend"]
    assert [step.name for step in without.sparq.steps] == ["score", "select", "gather", "mean_value"]
    assert with_append.dense.time_s.expected - without.dense.time_s.expected == pytest.approx(0.00105)
    assert with_append.sparq.time_s.expected - without.sparq.time_s.expected == pytest.approx(0.001075)
    assert with_append.sparq.write_bytes - without.sparq.write_bytes == 60


def test_rank_above_head_dim(device: Device) -> None:
    with pytest.raises(ConfigError, match="rank is 11 and head_dim is 10"):
        predict(device(), SHAPE, SparqConfig(rank=11, top_k=1))


def test_interval_quotient() -> None:
    assert Interval(2.0, 6.0, 12.0).over(Interval(1.0, 2.0, 4.0)) == Interval(0.5, 3.0, 12.0)


@st.composite
def cases(draw: st.DrawFn) -> tuple[AttentionShape, SparqConfig]:
    n_kv_heads = draw(st.integers(1, 8))
    shape = AttentionShape(
        batch=draw(st.integers(1, 64)),
        seq_len=draw(st.integers(1, 200_000)),
        n_heads=n_kv_heads * draw(st.integers(1, 8)),
        n_kv_heads=n_kv_heads,
        head_dim=draw(st.integers(1, 256)),
        dtype=draw(st.sampled_from(["float16", "float32", "float64"])),
    )
    config = SparqConfig(
        rank=draw(st.integers(1, shape.head_dim)),
        top_k=draw(st.integers(1, 2 * shape.seq_len)),
        mean_value=draw(st.booleans()),
        k_layout=draw(st.sampled_from(K_LAYOUTS)),
    )
    return shape, config


def both(prediction: Prediction) -> list:
    assert prediction.sparq is not None
    return [prediction.dense, prediction.sparq]


@settings(derandomize=True, deadline=None, max_examples=100)
@given(case=cases(), launch=st.sampled_from([1e-9, 1e-3, 10.0]), append=st.booleans())
def test_intervals_are_ordered_and_above_the_roofline(
    device: Device, case: tuple[AttentionShape, SparqConfig], launch: float, append: bool
) -> None:
    hardware = device(launch=launch)
    prediction = predict(hardware, *case, include_append=append)
    for time in both(prediction):
        assert 0 < time.time_s.lower <= time.time_s.expected <= time.time_s.upper
        assert sum(step.time_s for step in time.steps) == pytest.approx(time.time_s.expected, rel=1e-12)
        assert time.time_s.lower >= (time.read_bytes + time.write_bytes) / 1e6 * (1 - 1e-12)
        assert time.time_s.lower >= time.flops / 1e7 * (1 - 1e-12)
    speedup = prediction.speedup
    assert speedup is not None
    assert 0 < speedup.lower <= speedup.expected <= speedup.upper


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    case=cases(),
    field=st.sampled_from(["batch", "seq_len", "head_dim", "n_heads", "rank", "top_k"]),
    more=st.integers(2, 5),
)
def test_more_work_never_takes_less_time(
    device: Device, case: tuple[AttentionShape, SparqConfig], field: str, more: int
) -> None:
    shape, config = case
    if field in ("rank", "top_k"):
        larger_config = replace(config, **{field: min(shape.head_dim, config.rank * more)} if field == "rank" else
                                {field: config.top_k * more})  # fmt: skip
        larger_shape = shape
    else:
        larger_config = config
        larger_shape = replace(shape, **{field: getattr(shape, field) * more})
    small, large = predict(device(), shape, config), predict(device(), larger_shape, larger_config)
    for less, greater in zip(both(small), both(large), strict=True):
        # A relative 1e-9 for rounding: row_major's sectors are a product of ratios.
        for end in ("lower", "expected", "upper"):
            assert getattr(greater.time_s, end) >= getattr(less.time_s, end) * (1 - 1e-9)
