"""Placing, crossing over, choosing: rules checked by hand and against trying every number."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from sparq_profiles import ConfigError, HardwareProfile, SparqConfig, load_hardware, load_model
from sparq_profiles.load import all_hardware
from sparq_profiles.shape import K_LAYOUTS
from sparq_roofline.deployment.assumptions import stated
from sparq_roofline.deployment.attention import AttentionStep, datasheet_time
from sparq_roofline.deployment.candidates import Demand, Placement, place
from sparq_roofline.deployment.crossover import first_win
from sparq_roofline.deployment.economics import rates
from sparq_roofline.deployment.points import Prices, evaluate
from sparq_roofline.deployment.question import Question
from sparq_roofline.deployment.recipe import rank_within, settings
from sparq_roofline.deployment.rows import Row
from sparq_roofline.deployment.served import Served
from sparq_roofline.deployment.sharding import shard
from sparq_roofline.deployment.sizing import Sizing, size
from sparq_roofline.deployment.span import Span
from sparq_roofline.deployment.step_time import compare, step_time
from sparq_roofline.paper import transfer_ratio

MakeServed = Callable[..., Served]
H100 = load_hardware("h100-sxm-80gb")


def placed(hardware: HardwareProfile, served: Served, demand: Demand, config: SparqConfig | None = None) -> Placement:
    found = place(hardware, served, demand, config, datasheet_time)
    assert isinstance(found, Placement), found
    return found


def refused(hardware: HardwareProfile, served: Served, demand: Demand) -> str:
    found = place(hardware, served, demand, None, datasheet_time)
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize(("output", "seq_len"), [(1, 1001), (2, 1002), (3, 1002), (512, 1257)])
def test_the_length_of_a_step_is_the_mean_rounded_up(output: int, seq_len: int) -> None:
    demand = Demand(1000, output)
    mean = sum(1000 + step for step in range(1, output + 1)) / output
    assert demand.seq_len == seq_len == int(np.ceil(mean))
    assert demand.tokens == 1000 + output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"context": 0}, "context is 0"),
        ({"output": -1}, "output is -1"),
        ({"batch": 0}, "batch is 0"),
        ({"tpot_s": 0.0}, "tpot_s is 0.0"),
        ({"tpot_s": float("nan")}, "tpot_s is nan"),
        ({"most_gpus": 0}, "most_gpus is 0"),
        ({"reserve_fraction": 1.0}, "reserve_fraction is 1.0"),
    ],
)
def test_demands_that_cannot_be(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Demand(**{"context": 10, "output": 10, **arguments})


def test_without_a_batch_memory_decides(served: MakeServed) -> None:
    """80 GB less 8 and 16.06 of weights hold 55,939,477,504 bytes; 8,192 tokens take 1,073,741,824."""
    found = placed(H100, served("llama-3-8b", "bfloat16"), Demand(8000, 192))
    assert (found.held.n_gpus, found.batch, found.most) == (1, 52, 52)
    assert found.memory.fits


def test_more_gpus_where_the_weights_need_them(served: MakeServed) -> None:
    """141.1 GB in bfloat16: 72 GB of one GPU and of two hold no weights and cache, of two barely, of four well."""
    model = served("llama-3-70b", "bfloat16")
    assert placed(H100, model, Demand(1000, 24)).held.n_gpus == 2
    assert placed(H100, model, Demand(8000, 192, batch=8)).held.n_gpus == 4
    assert placed(H100, served("llama-3-70b", "int4"), Demand(8000, 192, batch=8)).held.n_gpus == 1
    assert placed(H100, model, Demand(1000, 24, most_gpus=2)).held.n_gpus == 2
    one = "does not fit: 1 GPU of 80 GB holds no sequence of 1,024 tokens beside 141.1 GB of weights"
    assert refused(H100, model, Demand(1000, 24, most_gpus=1)) == one
    few = refused(load_hardware("l4-24gb"), model, Demand(8000, 192, batch=100))
    held = "8 GPUs of 24 GB hold at most 11 sequences of 8,192 tokens beside 17.6 GB of weights each"
    assert few == f"does not fit: {held}"


def test_no_link_no_second_gpu(linked: Callable[..., HardwareProfile], served: MakeServed, tiny: Any) -> None:
    model = served(tiny())
    hardware = linked(memory_bytes=40_000.0, link_bandwidth_bytes_per_s=None)
    message = refused(hardware, model, Demand(10, 10))
    assert message.endswith("link_bandwidth_bytes_per_s is not stated, so more than one cannot be used")
    assert placed(linked(memory_bytes=40_000.0), model, Demand(10, 10)).held.n_gpus == 2


@pytest.mark.parametrize("tpot_s", [0.0084, 0.01, 0.0151, 0.02])
def test_a_latency_sets_the_batch(served: MakeServed, tpot_s: float) -> None:
    """The largest batch within the latency, against trying every batch."""
    model = served("llama-3-8b", "bfloat16")
    found = placed(H100, model, Demand(8000, 192, tpot_s=tpot_s))
    held = shard(model.model, 1)
    times = [float(step_time(H100, model, held, batch, 8097, None).total.expected) for batch in range(1, 53)]
    assert found.batch == sum(time <= tpot_s for time in times)
    assert found.most == 52


def test_a_latency_that_needs_more_gpus(served: MakeServed) -> None:
    model = served("llama-3-70b", "float8")
    slow = placed(H100, model, Demand(8000, 192, batch=1))
    fast = placed(H100, model, Demand(8000, 192, batch=1, tpot_s=0.012))
    assert slow.held.n_gpus < fast.held.n_gpus
    held = shard(model.model, fast.held.n_gpus // 2)
    assert float(step_time(H100, model, held, 1, 8097, None).total.expected) > 0.012
    message = refused(H100, model, Demand(8000, 192, batch=1, tpot_s=0.001))
    assert message.startswith("too slow: ")
    assert message.endswith(" ms a token at batch 1 on 8 GPUs, 1 ms wanted")


@pytest.mark.parametrize("threshold", [1, 2, 3, 500, 77_777, 2**20])
def test_the_first_win_is_found(threshold: int) -> None:
    assert first_win(lambda n: 1.0 + 1e-9 * (n - threshold + 0.5), 1, 2**20) == threshold


def test_no_win() -> None:
    assert first_win(lambda n: np.ones(n.shape), 1, 2**20) is None


def test_crossovers_against_every_number(served: MakeServed) -> None:
    question = Question(load_model("llama-3-8b"), [load_hardware("rtx4090-24gb")], Demand(8000, 192, batch=4), "fp8")
    model = served("llama-3-8b", "float8", "bfloat16")
    for row in size(question).rows[1:]:
        config = settings(model.model, rank=row.rank or 0, top_k=128, k_layout=row.k_layout or "two_copies")
        held = shard(model.model, row.n_gpus or 0)

        def wins(batch: Any, seq_len: Any, config: SparqConfig = config, held: Any = held) -> Any:
            hardware = load_hardware("rtx4090-24gb")
            steps = [step_time(hardware, model, held, batch, seq_len, which) for which in (None, config)]
            return compare(*steps).step_speedup.expected > 1

        lengths = np.arange(1.0, 20_000.0)
        assert row.crossover_seq_len == 1 + int(np.argmax(wins(np.full(lengths.shape, 4.0), lengths)))
        batches = np.arange(1.0, (row.largest_batch or 0) + 1)
        assert row.crossover_batch == 1 + int(np.argmax(wins(batches, np.full(batches.shape, 8097.0))))


def test_rates_by_hand() -> None:
    """A batch of 32 in 16 ms on 4 GPUs of 3.60 dollars an hour and 700 W."""
    found = rates(
        Span(0.008, 0.016, 0.032),
        batch=32,
        n_gpus=4,
        price_usd_per_h=3.6,
        power_limit_w=700.0,
        power_share=(0.5, 0.75, 1.0),
    )
    assert found.tokens_per_s == Span(1000, 2000, 4000)
    assert found.tokens_per_s_per_gpu == Span(250, 500, 1000)
    # 0.1 cent a second for each of 4 GPUs, 2,000 tokens a second: 2 dollars a million.
    assert found.usd_per_mtok == Span(*(pytest.approx(value) for value in (1, 2, 4)))
    assert found.energy_per_token_j == Span(*(pytest.approx(value) for value in (0.35, 1.05, 2.8)))
    unknown = rates(
        Span(1.0, 1.0, 1.0), batch=1, n_gpus=1, price_usd_per_h=None, power_limit_w=None, power_share=(1.0, 1.0, 1.0)
    )
    assert (unknown.usd_per_mtok, unknown.energy_per_token_j) == (None, None)


def test_the_recipe_by_hand() -> None:
    llama = load_model("llama-2-7b")
    # At 4,096 tokens r=16 moves 98,816 of 1,048,832 elements; r=24, 131,584: more than an eighth.
    assert transfer_ratio(4096, 128, 16, 128) == 98_816 / 1_048_832
    assert rank_within(llama, seq_len=4096) == 16
    assert rank_within(llama, seq_len=4096, budget=4) == 48
    assert rank_within(llama, seq_len=2**20) == 24
    assert rank_within(llama, seq_len=2**20, budget=1) == 64
    assert rank_within(load_model("smollm2-135m"), seq_len=2**20, budget=1) == 64
    # Mistral never sees more than 4,096 tokens.
    assert rank_within(load_model("mistral-7b"), seq_len=32_000) == 16
    with pytest.raises(ConfigError, match=r"no rank is within 1/8 of the dense transfers at 1,024 tokens: r=8, k=128"):
        rank_within(llama, seq_len=1024)
    assert settings(llama, rank=16, top_k=128) == SparqConfig(16, 128, 32, True)
    assert settings(load_model("llama-3-8b"), rank=16, top_k=64).mean_value is False


def sized(model: str = "llama-3-8b", hardware: tuple[str, ...] = ("h100-sxm-80gb",), **more: Any) -> Sizing:
    asked = {"context": 8000, "output": 192, "batch": None, "tpot_s": None}
    demand = Demand(**{name: more.pop(name, value) for name, value in asked.items()})
    return size(Question(load_model(model), [load_hardware(name) for name in hardware], demand, **more))


def test_rows_hold_together() -> None:
    sizing = sized(hardware=("h100-sxm-80gb", "l4-24gb", "rtx5090-32gb"))
    assert [row.k_layout for row in sizing.rows] == [None, *K_LAYOUTS] * 3
    for row in sizing.rows:
        assert row.tpot_s is not None
        assert row.tokens_per_s is not None
        assert row.tokens_per_s_per_gpu is not None
        assert row.parts is not None
        assert row.memory is not None
        assert row.memory.fits
        assert row.batch == row.largest_batch
        parts = asdict(row.parts).values()
        for end in ("lower", "expected", "upper"):
            assert getattr(row.tpot_s, end) == pytest.approx(sum(part[end] for part in parts))
        assert row.tokens_per_s.expected == pytest.approx((row.batch or 0) / row.tpot_s.expected)
        assert row.tokens_per_s_per_gpu.expected == pytest.approx(row.tokens_per_s.expected / (row.n_gpus or 0))
        nulls = {name for name, value in asdict(row).items() if value is None}
        assert nulls == set(row.reasons)
        assert all(row.reasons.values())
        assert (row.usd_per_mtok is None) == (row.hardware != "h100-sxm-80gb")


def test_kt_lowers_the_largest_batch() -> None:
    dense, two, channels, rows = sized("llama-2-7b", context=4000, output=96).rows
    assert (dense.largest_batch, two.largest_batch, channels.largest_batch, rows.largest_batch) == (27, 18, 27, 27)


def test_speedups_of_a_row_are_against_the_same_batch() -> None:
    row = sized().rows[1]
    served = Question(load_model("llama-3-8b"), [H100], Demand(8000, 192)).served()
    held = shard(served.model, 1)
    config = settings(served.model, rank=24, top_k=128)
    steps = [step_time(H100, served, held, row.batch, 8097, which) for which in (None, config)]
    compared = compare(*steps)
    assert row.rank == 24
    assert row.attention_speedup == compared.attention_speedup.interval()
    assert row.step_speedup == compared.step_speedup.interval()
    assert row.tpot_s == compared.sparq.total.interval()


def test_what_does_not_fit_is_a_row_with_its_reason() -> None:
    sizing = sized("llama-2-70b", ("a10g-24gb", "mi300x-192gb"), context=32_000, output=512, batch=64)
    a10g = [row for row in sizing.rows if row.hardware == "a10g-24gb"]
    for row in a10g:
        assert (row.n_gpus, row.batch, row.tpot_s, row.step_speedup) == (None, None, None, None)
        assert row.reasons["tpot_s"].startswith("does not fit: 8 GPUs of 24 GB hold ")
    assert [item.hardware for item in sizing.recommendations] == ["mi300x-192gb"]
    assert sizing.best == "mi300x-192gb"
    nothing = sized("llama-2-70b", ("a10g-24gb",), context=32_000, output=512, batch=64)
    assert (nothing.recommendations, nothing.best, nothing.ranked_by) == ((), None, "nothing fits")


def test_a_budget_out_of_reach_leaves_dense() -> None:
    sizing = sized(context=500, output=12)
    assert sizing.setting is None
    dense, *sparq = sizing.rows
    assert dense.batch
    for row in sparq:
        assert row.rank is row.batch is None
        assert row.reasons["rank"] == row.reasons["batch"] == sizing.setting_reason
    (only,) = sizing.recommendations
    assert (only.attention, only.gain, only.certain) == ("dense", 1.0, None)
    assert only.why == sizing.setting_reason
    fixed = sized(context=500, output=12, rank=16, top_k=64)
    assert fixed.setting is not None
    assert (fixed.setting.rank, fixed.setting.top_k, fixed.setting.local_window) == (16, 64, 16)


def test_a_recommendation_compares_equal_numbers_of_gpus() -> None:
    """70B in bfloat16: dense squeezes one sequence into 2 GPUs, and Kᵀ needs 4; the gain is against dense on 4."""
    sizing = sized("llama-3-70b")
    dense, two = sizing.rows[:2]
    assert (dense.n_gpus, dense.batch, two.n_gpus) == (2, 1, 4)
    (item,) = sizing.recommendations
    assert item.n_gpus == 4
    question = Question(load_model("llama-3-70b"), [H100], Demand(8000, 192))
    served = question.served()
    on_four = placed_on(served, question.demand, 4)
    time = step_time(H100, served, on_four.held, on_four.batch, 8097, None).total.expected
    assert item.gain == pytest.approx(item.tokens_per_s_per_gpu * 4 / (on_four.batch / float(time)))
    assert 1 < item.gain < 2


def placed_on(served: Served, demand: Demand, n_gpus: int) -> Placement:
    found = place(H100, served, demand, None, datasheet_time, n_gpus)
    assert isinstance(found, Placement)
    return found


def test_the_best_is_the_cheapest_where_all_prices_are_known() -> None:
    priced = sized(hardware=("h100-sxm-80gb", "a100-sxm-80gb"))
    assert priced.ranked_by == "usd_per_mtok"
    cheapest = min(priced.recommendations, key=lambda item: item.usd_per_mtok or 0)
    assert priced.best == cheapest.hardware
    unpriced = sized(hardware=("h100-sxm-80gb", "l4-24gb"))
    assert (unpriced.ranked_by, unpriced.best) == ("tokens_per_s_per_gpu", "h100-sxm-80gb")
    given = sized(hardware=("h100-sxm-80gb", "l4-24gb"), prices_usd_per_h={"l4-24gb": 0.001, "h100-sxm-80gb": 399.0})
    assert (given.ranked_by, given.best) == ("usd_per_mtok", "l4-24gb")
    ours = {row.k_layout: row for row in given.rows if row.hardware == "h100-sxm-80gb"}
    theirs = {row.k_layout: row for row in priced.rows if row.hardware == "h100-sxm-80gb"}
    for layout, row in ours.items():
        assert row.usd_per_mtok is not None
        listed = theirs[layout].usd_per_mtok
        assert listed is not None
        assert row.usd_per_mtok.expected == pytest.approx(100 * listed.expected)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            {"prices_usd_per_h": {"l4-24gb": 1.0}},
            "price of 'l4-24gb': it is not among the hardware that is sized: h100",
        ),
        ({"prices_usd_per_h": {"h100-sxm-80gb": -1.0}}, "price of 'h100-sxm-80gb' is -1.0"),
        ({"budget": 0.5}, "transfer ratio is 0.5"),
        ({"weights": "int3"}, "weights is 'int3'"),
        ({"kv": "int3"}, "kv is 'int3'"),
        ({"rank": 129}, "rank is 129 and head_dim is 128"),
        ({"rank": 16, "top_k": 0}, "top_k is 0"),
    ],
)
def test_questions_that_cannot_be(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        sized(**arguments)


def test_a_device_is_named_once() -> None:
    with pytest.raises(ConfigError, match="named twice"):
        sized(hardware=("l4-24gb", "l4-24gb"))


def test_warnings(tiny: Callable[..., Any]) -> None:
    assert sized().warnings == ()
    (long,) = sized(context=32_000).warnings
    assert long.startswith("context + output is 32,192 tokens and llama-3-8b was made for 8,192")
    (window,) = sized("mistral-7b").warnings
    assert window == "32 of 32 layers see the last 4,096 tokens only"
    (widened,) = sized(hardware=("a100-sxm-80gb",), weights="fp8").warnings
    assert widened == "no float8 arithmetic on a100-sxm-80gb: weights are widened to 16 bits there"
    (uncounted,) = size(Question(tiny(), [H100], Demand(1000, 24), rank=8)).warnings
    assert uncounted.startswith("tiny states no n_parameters: 24,992 were counted")
    (outside,) = sized(rank=100).warnings
    assert outside == "rank 100 is outside the range that the authors tune, 8 to 64"


def test_assumptions_are_stated() -> None:
    names = [item.name for item in sized().assumptions]
    assert names == [item.name for item in stated()]
    assert {"memory reserve", "launches", "tensor parallelism", "power", "length of a step"} <= set(names)
    assert "25%" in next(item.value for item in stated(0.25) if item.name == "memory reserve")


def test_many_points_are_the_same_as_one_at_a_time(served: MakeServed) -> None:
    model, hardware = served("llama-3-8b"), load_hardware("a100-sxm-40gb")
    held = shard(model.model, 2)
    batch, seq_len = np.array([1.0, 5.0, 40.0]), np.array([100.0, 9000.0, 30_000.0])
    prices = Prices(2.0, 400.0, (0.5, 0.7, 1.0), 0.1)
    configs = (None, SparqConfig(16, 128), SparqConfig(16, 128, k_layout="row_major"))
    sides = evaluate(hardware, model, held, batch, seq_len, configs, prices)
    for side, config in zip(sides, configs, strict=True):
        for index in range(3):
            one = [step_time(hardware, model, held, batch[index], seq_len[index], which) for which in (None, config)]
            assert side.time.total.interval(index) == pytest.approx(one[1].total.interval())
            assert side.step_speedup.expected[index] == pytest.approx(compare(*one).step_speedup.expected)
            assert side.rates.tokens_per_s.expected[index] == pytest.approx(batch[index] / one[1].total.expected)
        # 36 GB less 8.03 of weights hold one sequence of each length, and 27 of 30,000 tokens' 1.97 GB dense.
        assert list(side.fits) == [True, True, False]


def test_every_shipped_gpu_and_model_can_be_sized() -> None:
    gpus = [profile for profile in all_hardware() if profile.kind == "gpu"]
    for name in ("smollm2-135m", "gemma-7b", "pythia-2.8b", "llama-2-70b"):
        sizing = size(Question(load_model(name), gpus, Demand(2048, 128, tpot_s=0.1)))
        assert len(sizing.rows) == 4 * len(gpus)
        assert all(isinstance(row, Row) for row in sizing.rows)
        assert sizing.best


def test_a_cpu_is_sized_alone() -> None:
    sizing = sized("llama-2-7b", ("epyc-9004-32t",), weights="q8_0", batch=1, context=30_000)
    assert [row.n_gpus for row in sizing.rows] == [1] * 4
    assert all(row.evidence == "measured" for row in sizing.rows)
    assert sizing.rows[0].reasons["energy_per_token_j"] == "epyc-9004-32t states no power_limit_w"


def test_a_calibrated_attention_takes_the_seam() -> None:
    """Another model of attention moves every row, and labels it."""

    def constant(hardware: HardwareProfile, step: AttentionStep) -> Span:
        return Span.exactly((4e-4 if step.config is None else 1e-4) + 0.0 * step.batch * step.seq_len)

    for row in sized(batch=8, attention=constant, evidence={"h100-sxm-80gb": "calibrated"}).rows:
        assert row.evidence == "calibrated"
        assert row.parts is not None
        assert row.attention_speedup is not None
        dense = row.k_layout is None
        assert row.parts.attention_s.expected == pytest.approx(32 * (4e-4 if dense else 1e-4))
        assert row.attention_speedup.expected == pytest.approx(1 if dense else 4)


def test_the_worked_number_of_the_documentation() -> None:
    """docs/sizing.md, Llama 3 8B on an H100 SXM at batch 32."""
    dense, two = sized(batch=32).rows[:2]
    assert dense.tpot_s is not None
    assert two.tpot_s is not None
    assert two.step_speedup is not None
    assert two.attention_speedup is not None
    shown = [f"{number * 1e3:.1f}" for row in (dense, two) for number in asdict(row.tpot_s or two.tpot_s).values()]
    assert shown == ["14.6", "18.1", "21.1", "5.6", "8.0", "9.9"]
    assert [f"{number:.2f}" for number in asdict(two.step_speedup).values()] == ["1.81", "2.25", "3.17"]
    assert f"{two.attention_speedup.expected:.2f}" == "6.43"
    assert (dense.largest_batch, two.largest_batch, two.crossover_seq_len) == (52, 34, 381)
    prices = [row.usd_per_mtok.expected for row in (dense, two) if row.usd_per_mtok]
    assert [f"{price:.2f}" for price in prices] == ["0.63", "0.28"]
