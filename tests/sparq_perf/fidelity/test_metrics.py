"""Metrics worked out by hand, and attention's against the definition."""

import math
from typing import Any

import pytest
import torch

from sparq_kernels import KVCache, decode
from sparq_kernels.reference import dense_attention
from sparq_perf.fidelity.attention_scores import AttentionScores, attention_scores
from sparq_perf.fidelity.decoding import forced_log_probabilities, greedy, prefill
from sparq_perf.fidelity.token_scores import next_token_scores, summarised, with_perplexity
from sparq_profiles import SparqConfig


def test_next_token_scores() -> None:
    dense = torch.tensor([[[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]]).log()
    sparq = torch.tensor([[[0.25, 0.5, 0.25], [0.25, 0.5, 0.25]]]).log()
    scores = next_token_scores(dense, sparq, torch.tensor([[0, 1]]))
    # Step 1: ½ ln 2 − ¼ ln 2 = ¼ ln 2, another best token; step 2: the same distribution.
    assert scores["kl_nats"].item() == pytest.approx(math.log(2) / 8)
    assert scores["agreement"].item() == 0.5
    assert scores["nll_nats"].item() == pytest.approx((math.log(4) + math.log(2)) / 2)
    assert scores["nll_increase_nats"].item() == pytest.approx(math.log(2) / 2)


def test_means_errors_and_perplexity() -> None:
    means, errors = summarised({"nll_nats": torch.tensor([1.0, 2.0, 3.0])})
    assert means == {"nll_nats": 2.0}
    assert errors == {"nll_nats": pytest.approx(1 / math.sqrt(3))}
    assert summarised({"nll_nats": torch.tensor([1.0])}) == ({"nll_nats": 1.0}, {})
    full = with_perplexity({"nll_nats": math.log(8)}, n_tokens=10, n_characters=15)
    assert full["perplexity"] == pytest.approx(8)
    assert full["bits_per_character"] == pytest.approx(3 * 10 / 15)


def test_attention_scores_by_hand() -> None:
    # One head, one channel of two: logits are √2·(q·k)/2 = k₀·√2/2·2; position 2 is hidden by rank 1, which sees k₀.
    q = torch.tensor([[[2.0, 1.0]]])
    k = torch.tensor([[[[1.0, 0.0], [0.0, 0.0], [0.0, 9.0]]]])
    v = torch.tensor([[[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]]])
    cache = KVCache.from_tensors(k, v)
    config = SparqConfig(1, 1, mean_value=False)
    y = decode(q, cache, config)
    scores = {name: float(value) for name, value in attention_scores(q, cache, config, y).items()}
    logits = [2 / math.sqrt(2), 0.0, 9 / math.sqrt(2)]
    total = sum(map(math.exp, logits))
    mass = math.exp(logits[0]) / total
    assert scores["recall"] == 0  # it took position 0; the best is 2
    assert scores["mass"] == pytest.approx(mass)
    temperature = math.sqrt(2 * 2 / 3)
    estimated = math.exp(2 / temperature) / (math.exp(2 / temperature) + 2)
    assert scores["coverage_error"] == pytest.approx(estimated - mass)
    exact = (mass, math.exp(logits[1]) / total)
    expected = math.hypot(1 - exact[0], exact[1]) / math.hypot(*exact)
    assert scores["output_error"] == pytest.approx(expected, rel=1e-5)


def test_every_position_selected_is_without_error() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(size, generator=generator) for size in ((2, 4, 8), (2, 2, 20, 8), (2, 2, 20, 8)))
    start = torch.tensor([0, 13])
    cache = KVCache.from_tensors(k, v, valid_start=start)
    for config in (SparqConfig(8, 20), SparqConfig(3, 20)):
        scores = attention_scores(q, cache, config, dense_attention(q, k, v, valid_start=start))
        assert torch.equal(scores["recall"], torch.ones(2, 4))
        torch.testing.assert_close(scores["mass"], torch.ones(2, 4))
        assert float(scores["coverage_error"].max()) < 1e-6
        assert float(scores["output_error"].max()) < 1e-5
    # 7 valid positions, all among the 10 selected: padding is nobody's top-k.
    config = SparqConfig(3, 10)
    assert torch.equal(attention_scores(q, cache, config, decode(q, cache, config))["recall"][1], torch.ones(4))


def test_means_by_layer_and_head() -> None:
    generator = torch.Generator().manual_seed(0)
    looking, seen = AttentionScores(), []
    config = SparqConfig(2, 6)
    for call in range(3):
        q, k, v = (torch.randn(size, generator=generator) for size in ((2, 4, 8), (2, 2, 20, 8), (2, 2, 20, 8)))
        cache = KVCache.from_tensors(k, v)
        looking.active = call != 1
        looking(7, q, cache, config, decode(q, cache, config))
        if looking.active:
            seen.append(attention_scores(q, cache, config, decode(q, cache, config))["mass"])
    (layer,) = looking.by_layer()
    assert layer.layer == 7
    assert layer.mass == pytest.approx(torch.cat(seen).mean(0).tolist(), abs=1e-5)
    assert looking.mean("mass") == pytest.approx(float(torch.cat(seen).mean()))


def test_decoding_from_a_copied_cache(small_model: Any) -> None:
    prompts, forced = [[5, 6, 7, 8, 9, 10], [11, 12, 13]], torch.tensor([[20, 21, 22], [23, 24, 25]])
    read = prefill(small_model, prompts, 0)
    assert read.lengths.tolist() == [6, 3]
    first = forced_log_probabilities(small_model, read, forced)
    assert torch.equal(forced_log_probabilities(small_model, read, forced), first)  # the cache was left as it was
    for row, prompt in enumerate(prompts):
        with torch.inference_mode():
            whole = small_model(torch.tensor([[*prompt, *forced[row].tolist()]])).logits[0].log_softmax(-1)
        torch.testing.assert_close(first[row], whole[len(prompt) : len(prompt) + 2], rtol=0, atol=1e-4)
    ids = torch.tensor([[0, 0, 0, *prompts[1]], prompts[0]])
    done = small_model.generate(
        ids, attention_mask=(ids > 0).long(), max_new_tokens=4, min_new_tokens=4, do_sample=False, eos_token_id=[]
    )
    assert torch.equal(greedy(small_model, read, 4)[[1, 0]], done[:, -4:])
