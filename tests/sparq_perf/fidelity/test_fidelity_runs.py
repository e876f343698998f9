"""The grid over a tiny model: records, going on, the command, and what stops it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sparq_perf.fidelity.loading import LoadedModel, load_model
from sparq_perf.fidelity.run import SPEED, Plan, run_fidelity
from sparq_perf.fidelity.speed import predicted_step_speedup, time_steps
from sparq_perf.fidelity.tasks import TASKS
from sparq_perf.llm import LlmError
from sparq_perf.records.schema import Fidelity
from sparq_perf.records.store import read_lines
from sparq_profiles import ConfigError, SparqConfig
from sparq_roofline.deployment.attention import AttentionStep

CONFIGS = (SparqConfig(16, 400), SparqConfig(4, 16, 4))


class Silent:
    def __init__(self) -> None:
        self.stages: list[str] = []
        self.total_s = self.done_s = 0.0

    def start(self, total_s: float) -> None:
        self.total_s = total_s

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def advance(self, seconds: float) -> None:
        self.done_s += seconds


@pytest.fixture
def loaded(small_model: Any, tokenizer: Any) -> LoadedModel:
    return LoadedModel("tiny-llama", small_model, tokenizer)


def plan(out: Path, *names: str, **changes: Any) -> Plan:
    tasks = tuple((TASKS[name], TASKS[name].files) for name in names or TASKS)
    known: dict[str, Any] = {"context": 150, "new_tokens": 6, "n_examples": 3, "batch": 2, "seed": 0, **changes}
    return Plan(tasks, CONFIGS, out=out, **known)


def test_every_task_with_every_setting(loaded: LoadedModel, tmp_path: Path) -> None:
    watcher = Silent()
    out = tmp_path / "new" / "records.jsonl"
    lines = run_fidelity(loaded, plan(out), watcher)
    assert read_lines(out) == lines
    assert [(line.task, line.config) for line in lines] == [
        (task, config)
        for task in ("wikitext", SPEED, "repetition", "squad", "triviaqa", "cnn_dailymail")
        for config in (None, *CONFIGS)
    ]
    assert watcher.done_s == pytest.approx(watcher.total_s)
    by = {(line.task, line.config): line for line in lines}
    for task in TASKS.values():
        dense, exact = by[task.name, None], by[task.name, CONFIGS[0]]
        for name in exact.scores.keys() & dense.scores.keys():
            assert exact.scores[name] == pytest.approx(dense.scores[name], abs=1e-4), (task.name, name)
        assert dense.implementation == "sdpa"
        assert exact.implementation == "sparq-cpu"
    text, sparse = by["wikitext", CONFIGS[0]], by["wikitext", CONFIGS[1]]
    assert text.scores["kl_nats"] < 1e-6
    assert text.scores["recall"] == text.scores["agreement"] == 1
    assert sparse.scores["kl_nats"] > text.scores["kl_nats"]
    # The paired difference is that of the means; only its error is another.
    increase = sparse.scores["nll_nats"] - by["wikitext", None].scores["nll_nats"]
    assert sparse.scores["nll_increase_nats"] == pytest.approx(increase, abs=1e-5)
    assert sparse.stderr["nll_increase_nats"] > 0
    for name, metric in (("squad", "accuracy"), ("repetition", "matched_characters"), ("cnn_dailymail", "rouge_l")):
        line, dense = by[name, CONFIGS[1]], by[name, None]
        assert line.scores[f"{metric}_drop"] == pytest.approx(dense.scores[metric] - line.scores[metric])
        assert f"{metric}_drop" in line.stderr
        assert f"{metric}_drop" not in dense.scores
    # Three examples tell of a drop of a third at best, also where none of them shows one.
    assert by["squad", CONFIGS[1]].stderr["accuracy_drop"] >= 1 / 3
    assert [(layer.layer, len(layer.recall)) for layer in sparse.layers] == [(0, 4), (1, 4)]
    assert sparse.scores["recall"] == pytest.approx(sum(sum(each.recall) for each in sparse.layers) / 8, abs=1e-5)
    # (S·r + 2·k·d + 4·d) / (2·S·d + 2·d) at S = 156, r = 4, k = 16, d = 16.
    assert sparse.transfer_ratio == pytest.approx((156 * 4 + 2 * 16 * 16 + 64) / (2 * 156 * 16 + 32))
    assert (sparse.shape.batch, sparse.shape.seq_len, sparse.n_examples) == (2, 156, 3)
    speed = by[SPEED, CONFIGS[1]].scores
    assert speed["step_speedup"] == pytest.approx(by[SPEED, None].scores["step_time_s"] / speed["step_time_s"])
    assert speed["tokens_per_s"] == pytest.approx(2 / speed["step_time_s"])


def test_going_on(loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "records.jsonl"
    first = run_fidelity(loaded, plan(out, "wikitext", with_speed=False), Silent())
    before = out.read_bytes()
    out.write_bytes(before[: before.rindex(b'{"schema_version"') + 40])  # killed inside the last line
    watcher = Silent()
    again = run_fidelity(loaded, plan(out, "wikitext", with_speed=False), watcher)
    assert [line.key for line in again] == [line.key for line in first]
    assert [line.scores for line in again] == [line.scores for line in first]  # deterministic
    assert again[:2] == first[:2]
    assert watcher.stages == ["wikitext: reading", "wikitext: r=4 k=16 l=4 mean logits"]
    watcher = Silent()
    assert run_fidelity(loaded, plan(out, "wikitext", with_speed=False), watcher) == again
    assert watcher.stages == []
    other = run_fidelity(loaded, plan(out, "wikitext", with_speed=False, seed=3), Silent())
    assert not {line.key for line in other} & {line.key for line in again}


def test_a_prediction_by_hand(small_model: Any) -> None:
    # 4 heads on 2 KV heads of 16, fp32, S = 100, batch 1, two layers.
    weights = sum(p.numel() for p in small_model.parameters()) - small_model.get_input_embeddings().weight.numel()
    config = SparqConfig(4, 10, mean_value=False)
    heads = AttentionStep(1, 100, 4, 2, 16, 4, config)
    both = 2 * 4 * 16 * 4  # q and output
    dense = 2 * (2 * 100 * 16 * 4 + 2 * 16 * 4) + both
    sparq = 2 * (100 * 4 * 4 + 2 * 10 * 16 * 4 + 3 * 16 * 4) + both
    expected = (4 * weights + 2 * dense) / (4 * weights + 2 * sparq)
    assert predicted_step_speedup(small_model, heads, 2) == pytest.approx(expected, rel=1e-3)


def test_the_faster_dense_is_what_sparq_is_held_to(small_model: Any) -> None:
    from sparq_perf.fidelity.decoding import prefill

    read = prefill(small_model, [[5, 6, 7, 8]], 0)
    ticks = iter([0.0, 9.0] * 3 + [0.0, 4.0, 0.0, 2.0, 0.0, 1.0] * 5)
    times = time_steps(small_model, read, CONFIGS[1:], clock=lambda: next(ticks))
    # 4 steps a round; the first round is thrown away.
    assert (times.dense_s, times.dense_by) == (0.5, "dense kernel")
    assert times.sparq_s == {CONFIGS[1]: 0.25}
    assert next(ticks, None) is None


def test_a_model_without_a_layer_for_sparq(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        sliding_window=64,
    )
    loaded = LoadedModel("windowed", MistralForCausalLM(config).eval(), tokenizer)
    with pytest.raises(LlmError, match="windowed: no layer can run SparQ: sliding attention"):
        run_fidelity(loaded, plan(tmp_path / "r.jsonl", "wikitext", with_speed=False), Silent())


def run_command(*arguments: Any) -> Any:
    from typer.testing import CliRunner

    from sparq_perf.cli.main import app

    return CliRunner().invoke(app, ["fidelity", *map(str, arguments)])


def test_the_command(model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.jsonl"
    sizes = ("--context", 120, "--new-tokens", 4, "--examples", 2)
    options = (*sizes, "--task", "wikitext", "--task", "squad", "--no-speed", "--json")
    grid = ("--rank", "4,8", "--top-k", 16, "--mean-value", "both", "--group-score", "logits,softmax")
    done = run_command("--model", model_folder, *options, *grid, "--out", out)
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert len(rows) == 2 * (1 + 2 * 2 * 2)
    configs = [row["config"] for row in rows[1:9]]
    assert {c["local_window"] for c in configs} == {4}  # a quarter of top_k
    assert len({(c["rank"], c["mean_value"], c["group_score"]) for c in configs}) == 8
    assert {row["model"] for row in rows} == {"tiny-llama"}
    assert all(isinstance(line, Fidelity) for line in read_lines(out))
    text = run_command("--model", model_folder, *options[:-1], *grid, "--out", out, "--markdown", tmp_path / "t.md")
    assert text.exit_code == 0
    assert text.stdout.splitlines()[0].startswith("wikitext       dense ")
    assert len(read_lines(out)) == 18
    assert (tmp_path / "t.md").read_text(encoding="utf-8").count("\n| 1") == 18


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ("--model ./nowhere", LlmError, "no such folder"),
        ("--model {here}", LlmError, "holds no config.json, and it holds no .gguf"),
        ("--model {here} --gguf-file x.gguf", LlmError, "x.gguf: no such file: it holds no .gguf"),
        ("--model {here}/a.gguf", LlmError, "is a file: give its folder"),
        ("--model {here} --dtype int4", LlmError, "--dtype is 'int4'"),
        ("--model {here} --gguf-file a.gguf --device tpu", LlmError, "--device is 'tpu'"),
        ("--model {here} --setting 8", ConfigError, "--setting is '8': give rank:top_k"),
        ("--model {here} --mean-value maybe", ConfigError, "choose on, off or both"),
        ("--model {here} --local-window half", ConfigError, "--local-window is 'half'"),
        ("--model {here} --data squad=none.json", ConfigError, "none.json is no file"),
    ],
)
def test_bad_requests(arguments: str, error: type[Exception], match: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    if "a.gguf" in arguments:
        (tmp_path / "a.gguf").write_bytes(b"GGUF")
    done = run_command(*arguments.format(here=tmp_path).split())
    assert isinstance(done.exception, error)
    assert match in str(done.exception)


def test_without_transformers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(LlmError, match=r"needs transformers .*: pip install 'sparq-perf\[llm\]'"):
        load_model(str(tmp_path))


def test_a_broken_file_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    (tmp_path / "config.json").write_text('{"model_type": "llama"', encoding="utf-8")
    with pytest.raises(LlmError, match="transformers cannot load it") as caught:
        load_model(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_model_folder_is_loaded(model_folder: Path) -> None:
    loaded = load_model(str(model_folder))
    assert (loaded.name, loaded.model.dtype, loaded.model.training) == ("tiny-llama", torch.float32, False)
    assert loaded.tokenizer("abc")["input_ids"] == [loaded.tokenizer.convert_tokens_to_ids(c) for c in "abc"]
