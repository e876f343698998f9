"""`size`: JSON that others read, the table, prices, and bad input."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.records.store import RecordWriter
from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.load import all_hardware

SIZE = {"--model": "llama-3-8b", "--hardware": "h100-sxm-80gb", "--context": 8000, "--output": 192}
ENDS = ("lower", "expected", "upper")


def command(**changes: Any) -> list[object]:
    given = {**SIZE, **{f"--{name.replace('_', '-')}": value for name, value in changes.items()}}
    pairs = {option: value for option, value in given.items() if value is not None}
    every = [
        (option, one) for option, value in pairs.items() for one in (value if isinstance(value, list) else [value])
    ]
    return ["size", *(part for pair in every for part in pair)]


def sized(call: Callable[..., Any], **changes: Any) -> dict[str, Any]:
    outcome = call(*command(**changes), "--json")
    assert (outcome.code, outcome.err) == (0, "")
    document = json.loads(outcome.out)
    assert isinstance(document, dict)
    return document


def test_json_rows_by_hand(call: Callable[..., Any]) -> None:
    document = sized(call, batch=8)
    dense, two, channels, rows = document["rows"]
    assert [row["k_layout"] for row in document["rows"]] == [None, "two_copies", "channel_major", "row_major"]
    for row in document["rows"]:
        assert (row["hardware"], row["batch"], row["seq_len"], row["n_gpus"]) == ("h100-sxm-80gb", 8, 8097, 1)
        for name in (
            "attention_speedup",
            "step_speedup",
            "tpot_s",
            "tokens_per_s",
            "usd_per_mtok",
            "energy_per_token_j",
        ):
            assert row[name]["lower"] <= row[name]["expected"] <= row[name]["upper"]
        assert row["evidence"] == "datasheet"
    # 72 GB less 16.06 of weights, 131,072 bytes a token, 8,192 tokens at the end.
    assert dense["memory"]["kv_bytes"] == 8 * 8192 * 131_072
    assert dense["memory"]["weight_bytes"] == 16_060_522_496
    assert dense["memory"]["total_bytes"] == 16_060_522_496 + 8 * 8192 * 131_072 + 8e9
    assert two["memory"]["kv_bytes"] * 2 == 3 * dense["memory"]["kv_bytes"]
    assert (dense["largest_batch"], two["largest_batch"], channels["largest_batch"]) == (52, 34, 52)
    assert dense["step_speedup"] == {"lower": 1, "expected": 1, "upper": 1}
    for row in (two, channels, rows):
        assert row["step_speedup"]["expected"] == pytest.approx(dense["tpot_s"]["expected"] / row["tpot_s"]["expected"])
        assert 1 < row["step_speedup"]["expected"] < row["attention_speedup"]["expected"]
        assert (row["rank"], row["top_k"]) == (24, 128)
    # 3.99 dollars an hour, 8 tokens a step.
    assert dense["usd_per_mtok"]["expected"] == pytest.approx(3.99 / 3600 * dense["tpot_s"]["expected"] / 8 * 1e6)
    assert dense["energy_per_token_j"]["expected"] == pytest.approx(700 * 0.7 * dense["tpot_s"]["expected"] / 8)
    assert document["setting"]["local_window"] == 32
    assert document["demand"]["tokens"] == 8192
    (item,) = document["recommendations"]
    assert (item["hardware"], item["rank"], item["top_k"]) == ("h100-sxm-80gb", 24, 128)
    assert document["best"] == "h100-sxm-80gb"
    assert {item["name"] for item in document["assumptions"]} >= {"memory reserve", "power", "prefill"}


def test_every_null_has_its_reason(call: Callable[..., Any]) -> None:
    for row in sized(call, hardware=["l4-24gb", "h100-sxm-80gb"], model="llama-3-70b", batch=20)["rows"]:
        nulls = {name for name, value in row.items() if value is None}
        assert set(row["reasons"]) == nulls
        if row["hardware"] == "l4-24gb":
            assert row["step_speedup"] is row["attention_speedup"] is row["batch"] is None
            assert row["reasons"]["step_speedup"].startswith("does not fit: 8 GPUs of 24 GB")


def test_all_shipped_gpus_by_default(call: Callable[..., Any]) -> None:
    names = [profile.name for profile in all_hardware() if profile.kind == "gpu"]
    rows = sized(call, hardware=None)["rows"]
    assert list(dict.fromkeys(row["hardware"] for row in rows)) == names
    assert len(names) == 14


def test_prices_of_the_command_line_win(call: Callable[..., Any]) -> None:
    listed = sized(call, batch=8)["rows"][0]["usd_per_mtok"]["expected"]
    given = sized(call, batch=8, price="h100-sxm-80gb=39.9")["rows"][0]["usd_per_mtok"]["expected"]
    assert given == pytest.approx(10 * listed)
    unpriced = sized(call, hardware="l4-24gb", model="pythia-1.4b")["rows"][0]
    assert unpriced["usd_per_mtok"] is None
    assert unpriced["reasons"]["usd_per_mtok"] == "l4-24gb states no price_usd_per_h: give --price l4-24gb=USD_PER_H"


def test_a_latency_is_met(call: Callable[..., Any]) -> None:
    rows = sized(call, tpot_ms=10)["rows"]
    assert all(row["tpot_s"]["expected"] <= 0.010 for row in rows)
    assert rows[0]["batch"] < rows[0]["largest_batch"]


def test_settings_are_taken(call: Callable[..., Any]) -> None:
    document = sized(call, rank=40, top_k=256, weights="fp8", kv="fp8", reserve=0.2, power_share=1)
    row = document["rows"][1]
    assert (row["rank"], row["top_k"], document["weights"], document["kv"]) == (40, 256, "float8", "float8")
    assert row["memory"]["reserve_bytes"] == 16e9
    assert sized(call, transfer_ratio=4)["setting"]["rank"] == 56


def test_the_table_prints_it_all(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = command(hardware=["h100-sxm-80gb", "l4-24gb", "a10g-24gb"], model="llama-3-70b", batch=9)
    outcome = call(*arguments)
    assert (outcome.code, outcome.err) == (0, "")
    for words in (
        "steps of 8,097 tokens on average; batch 9",
        "SparQ r=24 k=128 l=32, mean of V off: 0.110 of the dense transfers",
        "l4-24gb two_copies: does not fit: 8 GPUs of 24 GB hold at most 7 sequences of 8,192 tokens",
        "? no price is known for l4-24gb, a10g-24gb",
        "h100-sxm-80gb: two_copies r=24 k=128 on 4 GPUs: attention ",
        "best by tokens a second and GPU, since not all prices are known: h100-sxm-80gb",
        "memory reserve: 10% of the capacity",
        "predicted, not measured",
    ):
        assert words in outcome.out
    # Numbers are cut off on no terminal, and no speedup of attention stands alone.
    monkeypatch.setenv("COLUMNS", "40")
    lines = call(*arguments).out.splitlines()
    assert "…" not in "".join(lines)
    layout = next(line for line in lines if "*two_copies" in line)
    assert layout.count("×") == 2


def test_nothing_fits(call: Callable[..., Any]) -> None:
    outcome = call(*command(hardware="l4-24gb", model="llama-3-70b", batch=500))
    assert outcome.code == 0
    assert "l4-24gb dense, channel_major, row_major: does not fit: 8 GPUs of 24 GB hold" in outcome.out
    assert "nothing fits: try more GPUs" in outcome.out


@pytest.fixture
def fidelity(lines: Any, tmp_path: Path) -> Path:
    """Two settings of SmolLM2-135M at 1,024 tokens: a dear one that loses little, a cheap one that loses much."""
    path = tmp_path / "fidelity.jsonl"
    shape = AttentionShape(1, 1048, 9, 3, 64, "float32")
    with RecordWriter(path) as writer:
        for config, kl in ((SparqConfig(32, 256, 64, False), 0.01), (SparqConfig(8, 64, 16, False, "softmax"), 0.1)):
            fields = {"model": "SmolLM2", "shape": shape, "n_layers": 30, "context": 1024, "n_examples": 6}
            line = lines.fidelity(key=str(config), config=config, scores={"kl_nats": kl}, layers=(), **fields)
            writer.append(line)
    return path


def small(records: Path, **changes: Any) -> dict[str, Any]:
    asked = {"model": "smollm2-135m", "hardware": "l4-24gb", "context": 1000, "output": 9, "batch": 64}
    return {**asked, "fidelity": records, "tolerance": "kl=0.2", **changes}


def test_a_setting_from_measured_fidelity(call: Callable[..., Any], fidelity: Path, tmp_path: Path) -> None:
    document = sized(call, **small(fidelity))
    assert (document["measured"]["n_measured"], len(document["measured"]["within"])) == (2, 2)
    for row in document["rows"][1:]:
        assert (row["rank"], row["top_k"], row["setting"]["group_score"]) == (8, 64, "softmax")
        loss = row["setting"]["loss"]
        assert (loss["score"], loss["value"], loss["stderr"], loss["task"]) == ("kl", 0.1, 0.01, "wikitext")
        assert (loss["n_examples"], loss["context"], loss["model"]) == (6, 1024, "SmolLM2")
    assert document["rows"][0]["setting"] is None
    assert not any("losses were measured" in warning for warning in document["warnings"])
    strict = sized(call, **small(fidelity, tolerance="kl=0.05", context=4000))
    assert {row["rank"] for row in strict["rows"][1:]} == {32}
    assert "losses were measured at 1,024 tokens of context and 4,000 are sized" in strict["warnings"][0]
    page = tmp_path / "sizing.html"
    told = call(*command(**small(fidelity, html=page)))
    assert told.code == 0
    for words in (
        "SparQ: 2 of 2 measured settings are within kl=0.2; each device and layout takes its fastest",
        "r=8 k=64 l=16, mean of V off: 0.12",
        "sum of softmax; KL 0.1 ± 0.01 nats, measured on SmolLM2: wikitext, 6 examples, 1,024 tokens of context",
        "*two_copies r=8 k=64",
    ):
        assert words in told.out
    text = page.read_text(encoding="utf-8")
    assert 'id="settings-table"' in text
    assert "KL 0.1 ± 0.01 nats, measured on SmolLM2" in text
    assert "not predicted: r is the largest" not in text


def test_no_measured_setting_within(call: Callable[..., Any], fidelity: Path, tmp_path: Path) -> None:
    page = tmp_path / "sizing.html"
    outcome = call(*command(**small(fidelity, tolerance="kl=0.001", html=page)))
    reason = "none of 2 measured settings is within kl=0.001: the nearest, r=32 k=256 l=64, mean of V off"
    assert outcome.code == 0
    assert f"no SparQ: {reason}" in outcome.out
    assert f"l4-24gb: dense on 1 GPU: {reason}" in outcome.out
    assert reason in page.read_text(encoding="utf-8")
    document = sized(call, **small(fidelity, tolerance="kl=0.001"))
    assert all(row["reasons"]["step_speedup"].startswith(reason) for row in document["rows"][1:])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"fidelity": None}, "--tolerance is kl=0.2: it is held against measured fidelity: give --fidelity as well"),
        ({"tolerance": None}, "say what loss is allowed: give --tolerance, such as kl=0.05"),
        ({"tolerance": "kl"}, "tolerance 'kl': write METRIC=LIMIT"),
        ({"tolerance": "kl=small"}, "'small' is no number"),
        ({"tolerance": "bleu=1"}, "metric is 'bleu'"),
        ({"tolerance": "agreement=2"}, "the limit must be from 0 to 1"),
        ({"tolerance": "accuracy=0.1"}, "holds no accuracy of SmolLM2"),
        ({"fidelity": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
        ({"model": "llama-3-8b"}, "was measured on SmolLM2 (n_layers 30, n_heads 9, n_kv_heads 3, head_dim 64)"),
        ({"rank": 8}, "--rank and --fidelity both choose the setting"),
        ({"top_k": 8}, "--top-k and --fidelity both choose the setting"),
        ({"transfer_ratio": 8}, "--transfer-ratio and --fidelity both choose the setting"),
        ({"context": 0}, "context is 0"),
    ],
)
def test_bad_fidelity(refused: Callable[..., str], fidelity: Path, changes: dict[str, Any], complaint: str) -> None:
    assert complaint in refused(*command(**small(fidelity, **changes)))


def test_no_sparq_within_the_budget(call: Callable[..., Any]) -> None:
    outcome = call(*command(context=500, output=12))
    assert "no SparQ: no rank is within 1/8 of the dense transfers at 507 tokens" in outcome.out
    assert "dense on 1 GPU: no rank is within" in outcome.out


def test_a_context_beyond_the_model_is_a_note(call: Callable[..., Any]) -> None:
    assert (
        "note: context + output is 32,192 tokens and llama-3-8b was made for 8,192"
        in call(*command(context=32_000)).out
    )


def test_a_model_of_its_own(call: Callable[..., Any], tmp_path: Path) -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_attention_heads": 32,
        "num_hidden_layers": 16,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "vocab_size": 128256,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    document = sized(call, model=path)
    # Llama 3.2 1B: 1,235,814,400 weights.
    assert document["rows"][0]["memory"]["weight_bytes"] == 2 * 1_235_814_400
    assert "1,235,814,400 were counted from its geometry" in document["warnings"][0]
    path.write_text(json.dumps({**config, "model_type": "mixtral"}))
    assert "is a mixture of experts" in call(*command(model=path)).err


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model": "llama-9"}, "unknown model 'llama-9': did you mean"),
        ({"hardware": "h100"}, "unknown hardware 'h100': did you mean"),
        ({"hardware": ["l4-24gb", "l4-24gb"]}, "a device is named twice"),
        ({"context": 0}, "context is 0"),
        ({"output": -5}, "output is -5"),
        ({"batch": 0}, "batch is 0"),
        ({"batch": "many"}, "'many'"),
        ({"tpot_ms": 0}, "tpot_s is 0.0"),
        ({"tpot_ms": "nan"}, "tpot_s is nan"),
        ({"max_gpus": 0}, "most_gpus is 0"),
        ({"weights": "int3"}, "weights is 'int3': choose one of float32, float16, bfloat16, float8, int4"),
        ({"kv": "int4"}, "kv is 'int4': choose one of"),
        ({"transfer_ratio": 0.5}, "transfer ratio is 0.5"),
        ({"rank": 0}, "rank is 0"),
        ({"rank": 200}, "rank is 200 and head_dim is 128"),
        ({"top_k": 0}, "top_k is 0"),
        ({"price": "h100-sxm-80gb"}, "--price is 'h100-sxm-80gb': give NAME=USD_PER_H"),
        ({"price": "h100-sxm-80gb=cheap"}, "--price is 'h100-sxm-80gb=cheap'"),
        ({"price": "=3"}, "--price is '=3'"),
        ({"price": "l4-24gb=1"}, "price of 'l4-24gb': it is not among the hardware that is sized: h100-sxm-80gb"),
        ({"price": "h100-sxm-80gb=0"}, "price of 'h100-sxm-80gb' is 0.0"),
        ({"price": ["h100-sxm-80gb=1", "h100-sxm-80gb=2"]}, "--price h100-sxm-80gb: given twice"),
        ({"power_share": 0.2}, "--power-share is 0.2: it must be from 0.5 to 1"),
        ({"reserve": 1}, "reserve_fraction is 1.0"),
        ({"context": None}, "--context"),
        ({"html": "no\0where"}, "--html"),
        ({"loud": 1}, "--loud"),
    ],
)
def test_bad_input(refused: Callable[..., str], changes: dict[str, Any], complaint: str) -> None:
    assert complaint in refused(*command(**changes))


def test_a_page_that_cannot_be_written(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "sizing.html"
    assert f"--html {target}: cannot be written: " in refused(*command(html=target))
