"""Maps of one head: by hand, under left padding, in a group, and through the command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sparq_kernels import KVCache
from sparq_kernels.reference import sparq_steps
from sparq_perf.fidelity.attention_map import Head, kept_steps, map_step
from sparq_perf.fidelity.loading import LoadedModel
from sparq_perf.fidelity.mapping import check_heads
from sparq_perf.records.attention_map import MAX_WEIGHTS, AttentionMap, MapStep
from sparq_perf.records.schema import ANY_LINE
from sparq_perf.records.store import read_lines
from sparq_profiles import ConfigError, SparqConfig


def softmax(*logits: float) -> list[float]:
    return torch.tensor(logits, dtype=torch.float64).softmax(0).tolist()  # type: ignore[no-any-return]


def test_a_map_by_hand() -> None:
    # One head of 4 components, of which the first is used: q_r = 3, Σ|q| = 4, temperature √(4 · 3/4) = √3.
    q = torch.tensor([[[3.0, 1.0, 0.0, 0.0]]])
    k = torch.tensor([[[[2.0, 0.0, 0, 0], [0.0, 2.0, 0, 0], [1.0, 4.0, 0, 0], [-1.0, 0.0, 0, 0]]]])
    cache = KVCache.from_tensors(k, torch.ones_like(k))
    found = map_step(5, 0, q, cache, SparqConfig(1, 2, 1))
    root = 3**0.5
    approximate, exact = softmax(6 / root, 0, 3 / root, -3 / root), softmax(3, 1, 3.5, -1.5)
    assert found.approximate == pytest.approx(approximate, rel=1e-3)
    assert found.exact == pytest.approx(exact, rel=1e-3)
    assert found.selected == (0, 3)  # the highest score, and the window's one
    assert found.coverage == pytest.approx(approximate[0] + approximate[3], rel=1e-3)
    assert found.mass == pytest.approx(exact[0] + exact[3], rel=1e-3)
    assert (found.step, found.n_positions) == (5, 4)


def test_padding_is_not_shown_and_does_not_count() -> None:
    torch.manual_seed(1)
    q, k = torch.randn(2, 4, 8), torch.randn(2, 2, 12, 8)
    config = SparqConfig(3, 4, 2)
    padded = KVCache.from_tensors(k, k.clone(), valid_start=torch.tensor([5, 0]))
    bare = KVCache.from_tensors(k[:1, :, 5:], k[:1, :, 5:].clone())
    for head in range(4):
        found = map_step(0, head, q, padded, config)
        assert found == map_step(0, head, q[:1], bare, config)
        assert found.n_positions == 7
        assert set(found.selected) >= {5, 6}  # the window counts from the sequence's end


@pytest.mark.parametrize("rule", ["logits", "softmax"])
def test_heads_of_a_group_share_the_selection_and_nothing_else(rule: Any) -> None:
    torch.manual_seed(2)
    q, k = torch.randn(1, 6, 8), torch.randn(1, 2, 40, 8)
    config = SparqConfig(3, 9, 2, group_score=rule)
    cache = KVCache.from_tensors(k, torch.randn_like(k))
    steps = sparq_steps(q, k, k, config)
    for head in range(6):
        found = map_step(0, head, q, cache, config)
        assert list(found.selected) == steps.selected[0, head // 3].nonzero().flatten().tolist()
        assert found.approximate == pytest.approx(steps.scores[0, head // 3, head % 3].softmax(-1).tolist(), rel=1e-3)
        assert found.coverage == pytest.approx(float(steps.coverage[0, head // 3, head % 3]), rel=1e-3)
    maps = [map_step(0, head, q, cache, config) for head in range(3)]
    assert len({each.selected for each in maps}) == 1
    assert len({each.approximate for each in maps}) == 3


def test_steps_that_a_line_holds() -> None:
    assert kept_steps(5, 100) == (0, 1, 2, 3, 4)
    assert kept_steps(1, 30_000) == (0,)
    assert kept_steps(9, MAX_WEIGHTS // 3) == (0, 4, 8)
    assert kept_steps(100, MAX_WEIGHTS // 2) == (0, 99)
    with pytest.raises(ConfigError, match="18,001 positions are too many to draw: 18,000 at most"):
        kept_steps(2, MAX_WEIGHTS // 2 + 1)


def test_the_longest_line_stays_below_a_megabyte(lines: Any) -> None:
    n = MAX_WEIGHTS // 2
    weights = (0.9999, *[1.234e-10] * (n - 1))  # as many characters as a weight can have
    steps = [
        MapStep(step=i, approximate=weights, exact=weights, selected=tuple(range(n)), coverage=1, mass=1)
        for i in range(2)
    ]
    assert 900_000 < len(lines.attention_map(steps=steps).model_dump_json()) < 1e6


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"approximate": (0.5, 0.5)}, "2 approximate and 3 exact weights"),
        ({"exact": (0.5, 0.5, 0.5)}, "exact weights sum to 1.5"),
        ({"selected": (2, 1)}, "selected positions must ascend"),
        ({"selected": (1, 3)}, "some of the 3 positions"),
        ({"selected": ()}, "some of the 3 positions"),
        ({"mass": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_step_that_cannot_be(lines: Any, change: dict[str, Any], complaint: str) -> None:
    fields = lines.attention_map().steps[0].model_dump()
    with pytest.raises(ValueError, match=complaint):
        MapStep(**{**fields, **change})


def test_a_map_that_cannot_be(lines: Any) -> None:
    good = lines.attention_map()
    assert good.group == (2, 3)
    for change, complaint in (
        ({"head": 1}, "head 1 with KV head 1 is not one of the shape's"),
        ({"head": 4, "kv_head": 2}, "head 4 with KV head 2"),
        ({"steps": good.steps[::-1]}, "steps must ascend"),
        ({"n_steps": 3}, "step 3 is not one of 3"),
        ({"steps": ()}, "at least 1 item"),
    ):
        with pytest.raises(ValueError, match=complaint):
            lines.attention_map(**change)


def run_command(*arguments: Any) -> Any:
    from typer.testing import CliRunner

    from sparq_perf.cli.main import app

    return CliRunner().invoke(app, ["fidelity", *map(str, arguments)])


@pytest.mark.parametrize("task", ["wikitext", "squad"])
def test_the_command_records_maps(model_folder: Path, tmp_path: Path, task: str) -> None:
    out = tmp_path / "records.jsonl"
    # The question that is drawn is the shorter one of its batch.
    sizes = ("--context", 500, "--new-tokens", 5, "--examples", 2, "--batch", 2, "--seed", 6)
    options = ("--model", model_folder, *sizes, "--task", task, "--no-speed", "--out", out, "--top-k", 16)
    done = run_command(*options, "--rank", "4,8", "--map", "1:2", "--map", "0:3")
    assert done.exit_code == 0, done.output
    assert f"maps        4 of 1:2, 0:3: draw them with sparq-perf report {out}" in done.stdout
    maps = [line for line in read_lines(out) if isinstance(line, AttentionMap)]
    assert [(m.config.rank, m.layer, m.head, m.kv_head) for m in maps] == [
        (4, 1, 2, 1),
        (4, 0, 3, 1),
        (8, 1, 2, 1),
        (8, 0, 3, 1),
    ]
    n_steps = 5 if task == "wikitext" else 4
    assert all((one.padding > 0) == (task == "squad") for one in maps)
    for one in maps:
        assert [step.step for step in one.steps] == list(range(n_steps))
        lengths = [step.n_positions for step in one.steps]
        assert lengths == list(range(lengths[0], lengths[0] + n_steps))
        # The prompt, the new token, and padding are the longest prompt.
        assert lengths[0] - 1 + one.padding == one.shape.seq_len - 5
        for step in one.steps:
            assert len(step.selected) == 16
            assert set(range(step.n_positions - 4, step.n_positions)) <= set(step.selected)
            assert step.coverage == pytest.approx(sum(step.approximate[i] for i in step.selected), abs=2e-3)
            assert step.mass == pytest.approx(sum(step.exact[i] for i in step.selected), abs=2e-3)
    # The first layer's first query and keys are the same under every setting: only later steps of generation differ.
    assert maps[1].steps[0].exact == maps[3].steps[0].exact
    before = out.read_bytes()
    again = run_command(*options, "--rank", "4,8", "--map", "1:2", "--map", "0:3", "--json")
    assert again.exit_code == 0
    assert out.read_bytes() == before
    assert len(json.loads(again.stdout)) == 3
    for raw in before.splitlines():
        assert len(raw) < 1_000_000
        ANY_LINE.validate_json(raw)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("--map 1", "--map is '1': give LAYER:HEAD, such as 8:0"),
        ("--map a:b", "--map is 'a:b'"),
        ("--map 2:0", "--map is 2:0: tiny-llama has layers 0 to 1 and heads 0 to 3"),
        ("--map 0:4", "--map is 0:4"),
        ("--map 0:1 --map 0:1", "a head is named twice"),
        ("--map 0:1 --task squad --new-tokens 1", "squad decodes nothing with --new-tokens 1"),
    ],
)
def test_maps_that_cannot_be_made(model_folder: Path, tmp_path: Path, arguments: str, complaint: str) -> None:
    more = () if "--task" in arguments else ("--task", "wikitext")
    options = ("--context", 300, "--examples", 1, "--no-speed", "--out", tmp_path / "r.jsonl", "--top-k", 16)
    done = run_command("--model", model_folder, *options, *more, "--rank", 4, *arguments.split())
    assert isinstance(done.exception, ConfigError)
    assert complaint in str(done.exception)


def test_a_layer_that_stays_dense(tokenizer: Any, one_line: Callable[[BaseException], str]) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    config.sliding_window = 64
    loaded = LoadedModel("windowed", MistralForCausalLM(config).eval(), tokenizer)
    with pytest.raises(ConfigError) as caught:
        check_heads(loaded, [Head(0, 0)])
    assert one_line(caught.value) == "--map is 0:0: the layer stays dense: it has sliding attention"
