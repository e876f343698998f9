"""Measured settings in place of the recipe's: what rows take, what a sizing says of them."""

from typing import Any

import pytest

from sparq_profiles import ConfigError, SparqConfig, load_hardware, load_model
from sparq_profiles.shape import K_LAYOUTS
from sparq_roofline.deployment.candidates import Demand
from sparq_roofline.deployment.measured_settings import MeasuredLoss, MeasuredSetting, MeasuredSettings
from sparq_roofline.deployment.question import Question
from sparq_roofline.deployment.sizing import Sizing, size

MODEL = load_model("llama-3-8b")
DEVICES = [load_hardware("h100-sxm-80gb"), load_hardware("l4-24gb")]
LOSS = MeasuredLoss("kl", 0.0276, 0.004, "wikitext", 6, 1024, "a model")


def settings(*configs: SparqConfig, loss: MeasuredLoss = LOSS, **more: Any) -> MeasuredSettings:
    return MeasuredSettings("kl=0.05", 9, tuple(MeasuredSetting(config, loss) for config in configs), **more)


def sized(measured: MeasuredSettings, **demand: Any) -> Sizing:
    asked: dict[str, Any] = {"context": 8000, "output": 192, "batch": 4, **demand}
    return size(Question(MODEL, DEVICES, Demand(**asked), settings=measured))


def test_each_device_and_layout_takes_its_fastest() -> None:
    configs = [SparqConfig(r, k, mean_value=False) for r, k in ((64, 64), (32, 512), (8, 1024))]
    alone = [{(row.hardware, row.k_layout): row for row in sized(settings(c)).rows} for c in configs]
    found = sized(settings(*configs))
    for row in found.rows:
        if row.k_layout is None:
            assert row.setting is None
            assert row.reasons["setting"] == row.reasons["rank"]
            continue
        rows = [each[row.hardware, row.k_layout] for each in alone]
        best = max(rows, key=lambda each: each.step_speedup.expected if each.step_speedup else 0)
        assert row == best
        assert row.setting is not None
        assert (row.setting.rank, row.setting.loss) == (row.rank, LOSS)
        assert found.setting_of(row.hardware, row.k_layout) == row.setting
    # Gathered positions are dear in Kᵀ alone, and gathered components in K alone.
    taken = {row.k_layout: row.rank for row in found.rows if row.hardware == "h100-sxm-80gb"}
    assert taken["channel_major"] == 64
    assert len({(setting.rank, setting.top_k) for setting in found.taken}) == len(found.taken) > 1
    (item,) = [item for item in found.recommendations if item.hardware == found.best]
    assert found.setting is not None
    assert (item.rank, item.top_k, item.group_score) == (found.setting.rank, found.setting.top_k, "logits")
    assert found.setting_reason is None


def test_a_setting_is_taken_whole() -> None:
    config = SparqConfig(16, 128, 7, True, "softmax")
    found = sized(settings(config))
    assert found.setting is not None
    for layout in K_LAYOUTS:
        setting = found.setting_of("l4-24gb", layout)
        assert setting is not None
        assert setting.config(layout) == SparqConfig(16, 128, 7, True, "softmax", layout)
    # (S·r + 2·k·d + 4·d) / (2·S·d + 2·d) at S = 8,097, d = 128.
    assert found.setting.transfer_ratio == pytest.approx((8097 * 16 + 2 * 128 * 128 + 512) / (2 * 8097 * 128 + 256))


def test_of_equally_fast_ones_the_first() -> None:
    plain, windowed = SparqConfig(16, 128), SparqConfig(16, 128, 32)
    for order in ((plain, windowed), (windowed, plain)):
        assert {setting.local_window for setting in sized(settings(*order)).taken} == {order[0].local_window}


def test_the_softmax_rule_costs_time_and_is_taken_where_it_still_is_faster() -> None:
    logits, softmax = SparqConfig(16, 128), SparqConfig(16, 128, group_score="softmax")
    assert {setting.group_score for setting in sized(settings(softmax, logits)).taken} == {"logits"}
    alone = {config: sized(settings(config)).rows[1].attention_speedup for config in (logits, softmax)}
    assert alone[logits] is not None
    assert alone[softmax] is not None
    assert alone[softmax].expected < alone[logits].expected
    # A position is 96 bytes at r = 48, and 32 + 32 at r = 16 with the scores kept; in rows of K both read all 256.
    taken = {row.k_layout: row for row in sized(settings(SparqConfig(48, 128), softmax)).rows}
    rules = {layout: row.setting.group_score for layout, row in taken.items() if row.setting}
    assert rules == {"two_copies": "softmax", "channel_major": "softmax", "row_major": "logits"}


def test_a_latency_decides_by_tokens_a_second() -> None:
    slow, quick = SparqConfig(64, 1024), SparqConfig(8, 64)
    found = sized(settings(slow, quick), batch=None, tpot_s=0.012)
    row = next(row for row in found.rows if row.hardware == "h100-sxm-80gb" and row.k_layout == "two_copies")
    assert row.rank == 8
    assert row.batch is not None
    assert row.batch > 1


def test_nothing_within() -> None:
    found = sized(MeasuredSettings("kl=0.001", 9, (), "none of 9 is within"))
    for row in found.rows:
        assert (row.setting is None) == (row.rank is None)
        if row.k_layout is not None:
            assert row.batch is None
            assert row.reasons["batch"] == row.reasons["setting"] == "none of 9 is within"
    assert {(item.attention, item.why) for item in found.recommendations} == {("dense", "none of 9 is within")}
    assert (found.setting, found.setting_reason, found.taken) == (None, "none of 9 is within", ())


def test_settings_that_do_not_fit_keep_their_name() -> None:
    row = sized(settings(SparqConfig(16, 128)), batch=100_000).rows[1]
    assert row.batch is None
    assert row.setting is not None
    assert row.reasons["batch"].startswith("does not fit")


@pytest.mark.parametrize(
    ("context", "far"), [(511, True), (512, False), (1024, False), (2048, False), (2049, True), (16, True)]
)
def test_a_context_far_from_the_measured_one_is_told(context: int, far: bool) -> None:
    warnings = settings(SparqConfig(16, 128), notes=("a note",)).warnings(context)
    told = f"losses were measured at 1,024 tokens of context and {context:,} are sized"
    assert warnings[0] == "a note"
    assert [warning.startswith(told) for warning in warnings[1:]] == [True] * far
    assert sized(settings(SparqConfig(16, 128)), context=context).warnings[-1:] == (
        warnings[1:] if far else sized(settings(SparqConfig(16, 128)), context=1024).warnings[-1:]
    )


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (LOSS, "KL 0.0276 ± 0.004 nats, measured on a model: wikitext, 6 examples, 1,024 tokens of context"),
        (
            MeasuredLoss("agreement", 0.951, None, "wikitext", 1, 64, "m"),
            "agreement 0.951 without a standard error, measured on m: wikitext, 1 example, 64 tokens of context",
        ),
        (
            MeasuredLoss("perplexity", 1.02, 0.0123, "wikitext", 2, 64, "m"),
            "perplexity 1.02 ± 0.012 of dense's, measured on m: wikitext, 2 examples, 64 tokens of context",
        ),
        (
            MeasuredLoss("accuracy", 0.01, 0.02, "squad", 2, 64, "m"),
            "accuracy 0.01 ± 0.02 below dense, measured on m: squad, 2 examples, 64 tokens of context",
        ),
    ],
)
def test_a_loss_in_words(loss: MeasuredLoss, words: str) -> None:
    assert str(loss) == words


def test_what_cannot_be_asked() -> None:
    with pytest.raises(ConfigError, match="a reason must be given exactly"):
        settings(SparqConfig(16, 128), reason="why")
    with pytest.raises(ConfigError, match="a reason must be given exactly"):
        MeasuredSettings("kl=0.05", 3, ())
    with pytest.raises(ConfigError, match="give one of the two"):
        Question(MODEL, DEVICES, Demand(8000, 192), rank=16, settings=settings(SparqConfig(16, 128)))
