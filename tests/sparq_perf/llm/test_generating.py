"""`generate` with SparQ: batches with padding, and each kind of cache."""

from typing import Any

import pytest
import torch

from sparq_perf.llm import LlmError, enable_sparq
from sparq_profiles import SparqConfig

CONFIG = SparqConfig(5, 10, 2)
EXACT = SparqConfig(16, 200)
NEW = 8
GREEDY = {"do_sample": False, "max_new_tokens": NEW, "min_new_tokens": NEW}


def test_a_padded_batch_equals_single_runs(family: str, tiny: Any, tokens: Any) -> None:
    model, lengths = tiny(family), (31, 24, 17)
    prompts = [tokens(1, length, seed=length)[0] for length in lengths]
    batch = torch.zeros(3, max(lengths), dtype=torch.int64)
    mask = torch.zeros_like(batch)
    for row, prompt in enumerate(prompts):
        batch[row, -len(prompt) :] = prompt
        mask[row, -len(prompt) :] = 1
    with enable_sparq(model, CONFIG):
        together = model.generate(batch, attention_mask=mask, **GREEDY)[:, -NEW:]
        alone = [model.generate(p[None], attention_mask=torch.ones(1, len(p)), **GREEDY)[0, -NEW:] for p in prompts]
    assert torch.equal(together, torch.stack(alone))
    dense = model.generate(batch, attention_mask=mask, **GREEDY)[:, -NEW:]
    with enable_sparq(model, EXACT):
        assert torch.equal(model.generate(batch, attention_mask=mask, **GREEDY)[:, -NEW:], dense)


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gemma2"])
def test_a_static_cache_equals_a_dynamic_one(family: str, tiny: Any, tokens: Any, decode_steps: Any) -> None:
    from transformers import StaticCache

    model, ids = tiny(family), tokens(2, 30)
    mask = torch.ones_like(ids)
    mask[0, :6] = 0
    with enable_sparq(model, CONFIG, layers=[1]):  # the other layer keeps its static cache
        dynamic = decode_steps(model, ids, 5, mask)
        cache = StaticCache(model.config, max_cache_len=48)
        static = decode_steps(model, ids, 5, mask, cache)
        assert cache.get_max_length() == 48
    torch.testing.assert_close(static, dynamic, rtol=0, atol=1e-5)
    with enable_sparq(model, CONFIG):
        dynamic = model.generate(ids, attention_mask=mask, **GREEDY)
        assert torch.equal(model.generate(ids, attention_mask=mask, cache_implementation="static", **GREEDY), dynamic)


def test_a_full_static_cache(tiny: Any, tokens: Any, decode_steps: Any) -> None:
    from transformers import StaticCache

    model = tiny("llama")
    with enable_sparq(model, CONFIG):
        decode_steps(model, tokens(1, 20), 3, cache=StaticCache(model.config, max_cache_len=20))
        with pytest.raises(LlmError, match="static cache is full at 20 tokens"):
            decode_steps(model, tokens(1, 21), 3, cache=StaticCache(model.config, max_cache_len=20))


def test_beam_search(tiny: Any, tokens: Any) -> None:
    model, ids = tiny("llama"), tokens(2, 24)
    mask = torch.ones_like(ids)
    mask[0, :5] = 0
    beams = {**GREEDY, "num_beams": 3, "attention_mask": mask}
    dense = model.generate(ids, **beams)
    with enable_sparq(model, EXACT):
        assert torch.equal(model.generate(ids, **beams), dense)


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_a_cache_outlives_sparq(kind: str, tiny: Any, tokens: Any) -> None:
    from transformers import DynamicCache, StaticCache
    from transformers.cache_utils import DynamicLayer, StaticLayer

    model, ids = tiny("llama"), tokens(2, 30)
    make = {"dynamic": lambda: DynamicCache(config=model.config), "static": lambda: StaticCache(model.config, 40)}[kind]
    caches = [make(), make()]
    with torch.inference_mode():
        for cache in caches:
            model(ids[:, :20], past_key_values=cache)
        with enable_sparq(model, EXACT):
            model(ids[:, 20:21], past_key_values=caches[0])
            model(ids[:, 21:22], past_key_values=caches[0])
        assert {type(layer) for layer in caches[0].layers} == {DynamicLayer if kind == "dynamic" else StaticLayer}
        model(ids[:, 20:21], past_key_values=caches[1])
        model(ids[:, 21:22], past_key_values=caches[1])
        after = [model(ids[:, 22:23], past_key_values=cache).logits for cache in caches]
    torch.testing.assert_close(after[0], after[1], rtol=0, atol=1e-4)


def test_keys_and_mean_are_kept_and_not_rebuilt(
    tiny: Any, tokens: Any, decode_steps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sparq_kernels import KVCache

    built, appended, seen = [], [], []
    from_tensors, append = KVCache.from_tensors.__func__, KVCache.append  # type: ignore[attr-defined]

    def count_built(cls: Any, k: Any, v: Any, **kwargs: Any) -> Any:
        built.append(k.shape[2])
        return from_tensors(cls, k, v, **kwargs)

    def count_appended(self: Any, *args: Any, **kwargs: Any) -> None:
        appended.append(self.seq_len)
        append(self, *args, **kwargs)

    monkeypatch.setattr(KVCache, "from_tensors", classmethod(count_built))
    monkeypatch.setattr(KVCache, "append", count_appended)
    model, ids = tiny("llama"), tokens(1, 40)
    with enable_sparq(model, CONFIG) as handle:

        def check(layer: int, q: Any, kv: Any, config: SparqConfig, y: Any) -> None:
            seen.append(layer)
            torch.testing.assert_close(kv.mean_value, kv.values.mean(2), rtol=0, atol=1e-5)
            assert torch.equal(kv.keys_transposed, kv.keys.mT)

        handle.session.observer = check
        decode_steps(model, ids, 10)
    assert built == [30, 30]  # once a layer
    assert appended == [length for length in range(30, 40) for _ in range(2)]
    assert len(seen) == 20


def test_a_cache_that_is_cropped_reset_and_reordered(tiny: Any, tokens: Any) -> None:
    model, ids = tiny("llama"), tokens(2, 30)
    with enable_sparq(model, CONFIG), torch.inference_mode():
        cache = model(ids[:, :20], use_cache=True).past_key_values
        first = model(ids[:, 20:21], past_key_values=cache).logits
        second = model(ids[:, 21:22], past_key_values=cache).logits
        cache.crop(-2)
        assert cache.get_seq_length() == 20
        torch.testing.assert_close(model(ids[:, 20:21], past_key_values=cache).logits, first, rtol=0, atol=1e-5)
        cache.reorder_cache(torch.tensor([1, 0]))
        swapped = model(ids[[1, 0], 21:22], past_key_values=cache).logits
        torch.testing.assert_close(swapped, second[[1, 0]], rtol=0, atol=1e-5)
        cache.reset()
        model(ids[:, :20], past_key_values=cache)
        torch.testing.assert_close(model(ids[:, 20:21], past_key_values=cache).logits, first, rtol=0, atol=1e-5)


def test_caches_that_cannot_be_taken_over(tiny: Any, tokens: Any) -> None:
    from transformers.cache_utils import Cache, DynamicSlidingWindowLayer

    model, ids = tiny("llama"), tokens(1, 20)
    cache = Cache(layers=[DynamicSlidingWindowLayer(sliding_window=64) for _ in range(2)])
    with enable_sparq(model, CONFIG), torch.inference_mode():
        model(ids, past_key_values=cache)
        with pytest.raises(LlmError, match="cache holds a DynamicSlidingWindowLayer: use a DynamicCache"):
            model(ids[:, :1], past_key_values=cache)
