"""`predict` and `sweep`: numbers worked by hand, as JSON, CSV and tables."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.cli.sweep import ROWS_SHOWN, parse_values
from sparq_profiles import ConfigError

HEADS = ("--n-heads", 32, "--head-dim", 128)
PREDICT = ("predict", "--hardware", "h100-sxm-80gb", "--seq-len", 4096, "--rank", 32, "--top-k", 128)
SWEEP = ("sweep", "--hardware", "h100-sxm-80gb", "--model", "llama-3-8b")


def predicted(call: Callable[..., Any], *arguments: object) -> dict[str, Any]:
    outcome = call(*PREDICT, *arguments, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    document = json.loads(outcome.out)
    assert isinstance(document, dict)
    return document


def test_predict_json_by_hand(call: Callable[..., Any]) -> None:
    document = predicted(call, *HEADS)
    dense, sparq = document["dense"], document["sparq"]
    # 32 heads, S=4096, d=128, r=32, k=128, 2 bytes an element.
    q = 32 * 128 * 2
    assert dense["read_bytes"] == 2 * 4096 * 128 * 2 * 32 + q == 67_117_056
    assert dense["write_bytes"] == 2 * 128 * 2 * 32 + q
    assert dense["flops"] == 4 * 4096 * 128 * 32
    # Kᵀ channels, gathered K and V, the running mean in float32, and q.
    assert sparq["read_bytes"] == (4096 * 32 * 2 + 2 * 128 * 128 * 2 + 4 * 128) * 32 + q == 10_510_336
    assert sparq["write_bytes"] == (3 * 128 * 2 + 4 * 128) * 32 + q
    assert dense["time_s"]["lower"] == pytest.approx((67_117_056 + 24_576) / 3.35e12)
    for side in (dense, sparq):
        time = side["time_s"]
        assert 0 < time["lower"] <= time["expected"] <= time["upper"]
        assert side["bound"] in ("memory", "compute", "latency")
    assert {"score", "gather"} <= {step["name"] for step in sparq["steps"]}
    assert sum(step["read_bytes"] for step in sparq["steps"]) == sparq["read_bytes"]
    speedup = document["speedup"]
    assert speedup["expected"] == pytest.approx(dense["time_s"]["expected"] / sparq["time_s"]["expected"])
    assert speedup["lower"] == pytest.approx(dense["time_s"]["lower"] / sparq["time_s"]["upper"])
    assert speedup["upper"] == pytest.approx(dense["time_s"]["upper"] / sparq["time_s"]["lower"])
    assert document["bound"] == sparq["bound"]


def test_predict_json_has_the_papers_counts(call: Callable[..., Any]) -> None:
    paper = predicted(call, *HEADS)["paper"]
    assert paper["dense_elements_per_head"] == 1_048_832
    assert paper["sparq_elements_per_head"] == 164_352
    assert paper["transfer_ratio"] == pytest.approx(164_352 / 1_048_832)


def test_predict_without_the_append(call: Callable[..., Any]) -> None:
    document = predicted(call, *HEADS, "--no-append")
    assert document["dense"]["write_bytes"] == 32 * 128 * 2
    assert "append" not in {step["name"] for step in document["dense"]["steps"]}


def test_predict_takes_the_models_heads_and_what_is_said_wins(call: Callable[..., Any]) -> None:
    shape = predicted(call, "--model", "llama-3-8b")["shape"]
    assert (shape["n_heads"], shape["n_kv_heads"], shape["head_dim"], shape["batch"]) == (32, 8, 128, 1)
    shape = predicted(call, "--model", "llama-3-8b", "--n-kv-heads", 4, "--dtype", "float32", "--batch", 3)["shape"]
    assert (shape["n_heads"], shape["n_kv_heads"], shape["dtype"], shape["batch"]) == (32, 4, "float32", 3)
    shape = predicted(call, "--model", "llama-3-8b", "--n-heads", 12)["shape"]
    assert (shape["n_heads"], shape["n_kv_heads"]) == (12, 12)


def test_predict_settings_arrive(call: Callable[..., Any]) -> None:
    options = ("--local-window", 16, "--no-mean-value", "--group-score", "softmax", "--k-layout", "row_major")
    assert predicted(call, *HEADS, *options)["config"] == {
        "rank": 32,
        "top_k": 128,
        "local_window": 16,
        "mean_value": False,
        "group_score": "softmax",
        "k_layout": "row_major",
    }


def test_predict_as_a_table(call: Callable[..., Any]) -> None:
    outcome = call(*PREDICT, *HEADS)
    assert (outcome.code, outcome.err) == (0, "")
    assert "h100-sxm-80gb: B=1 S=4,096 heads 32/32 d=128 float16" in outcome.out
    rows = [line.split() for line in outcome.out.splitlines()]
    assert next(row for row in rows if row[:1] == ["dense"])[1].startswith("67.1")
    assert next(row for row in rows if row[:1] == ["SparQ"])[1].startswith("10.5")
    assert "164,352 of 1,048,832 elements, ratio 0.157" in " ".join(outcome.out.split())


def test_sweep_json_agrees_with_predict(call: Callable[..., Any]) -> None:
    outcome = call(*SWEEP, "--seq-len", "4096,8192", "--rank", 32, "--batch", "1,4", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    rows = json.loads(outcome.out)
    assert [(row["batch"], row["seq_len"]) for row in rows] == [(1, 4096), (1, 8192), (4, 4096), (4, 8192)]
    document = predicted(call, "--model", "llama-3-8b")
    row = rows[0]
    for side in ("dense", "sparq"):
        assert row[f"{side}_read_bytes"] == document[side]["read_bytes"]
        assert row[f"{side}_time_s"] == pytest.approx(document[side]["time_s"]["expected"])
    assert row["speedup_upper"] == pytest.approx(document["speedup"]["upper"])
    assert row["sparq_bound"] == document["bound"]


def test_the_group_rule_arrives_in_both(call: Callable[..., Any]) -> None:
    outcome = call(*SWEEP, "--seq-len", 4096, "--rank", 32, "--group-score", "softmax", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    (row,) = json.loads(outcome.out)
    softmax = predicted(call, "--model", "llama-3-8b", "--group-score", "softmax")["sparq"]
    logits = predicted(call, "--model", "llama-3-8b")["sparq"]
    assert softmax["write_bytes"] - logits["write_bytes"] == softmax["read_bytes"] - logits["read_bytes"] == 524_288
    assert row["group_score"] == "softmax"
    assert [row["sparq_read_bytes"], row["sparq_write_bytes"]] == [softmax["read_bytes"], softmax["write_bytes"]]
    assert row["sparq_time_s"] == pytest.approx(softmax["time_s"]["expected"])


def test_sweep_csv_has_every_row(call: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    outcome = call(*SWEEP, "--seq-len", "1024..131072", "--rank", "16,32,64", "--top-k", "64,128,256", "--csv", path)
    assert outcome.code == 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 * 3 * 3
    assert {row["seq_len"] for row in rows} == {str(2**power) for power in range(10, 18)}
    assert all(float(row["speedup"]) > 0 for row in rows)
    assert f"{ROWS_SHOWN} of 72 rows: all are in" in outcome.out


def test_sweep_as_a_table(call: Callable[..., Any]) -> None:
    outcome = call(*SWEEP, "--seq-len", "4096..65536", "--rank", 16)
    assert outcome.code == 0
    assert [f"{length:,}" in outcome.out for length in (4096, 8192, 16384, 32768, 65536)] == [True] * 5
    assert "rows:" not in outcome.out


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("4096", [4096]),
        ("1,8, 64", [1, 8, 64]),
        ("1024..8192", [1024, 2048, 4096, 8192]),
        ("1000..5000", [1000, 2000, 4000, 5000]),
        ("16..16", [16]),
        ("4,1..4,2", [4, 1, 2]),
    ],
)
def test_values(text: str, values: list[int]) -> None:
    assert parse_values("--seq-len", text) == values


@pytest.mark.parametrize(
    "text", ["", "abc", "4096,", "1e5", "4096..", "..4096", "0", "-5", "8..4", "1..2..3", "9" * 30]
)
def test_malformed_values(text: str) -> None:
    with pytest.raises(ConfigError, match="--seq-len is '") as caught:
        parse_values("--seq-len", text)
    assert repr(text) in str(caught.value)
