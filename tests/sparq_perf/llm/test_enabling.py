"""SparQ in decode steps of models of each family: what is computed, in which layers, and off again."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from sparq_perf.llm import LlmError, enable_sparq
from sparq_profiles import ConfigError, SparqConfig
from sparq_profiles.shape import K_LAYOUTS, KLayout

STEPS = 5
EXACT = SparqConfig(16, 200)
SETTINGS = (
    SparqConfig(4, 8),
    SparqConfig(6, 12, local_window=3, mean_value=False),
    SparqConfig(3, 9, local_window=9, group_score="softmax"),
)


def padded(ids: torch.Tensor, starts: tuple[int, ...]) -> torch.Tensor:
    """Attention mask of left padding, which is written into ``ids`` too."""
    mask = torch.ones_like(ids)
    for row, start in enumerate(starts):
        ids[row, :start] = 0
        mask[row, :start] = 0
    return mask


def test_every_position_selected_is_dense(family: str, tiny: Any, tokens: Any, decode_steps: Any) -> None:
    model, ids = tiny(family), tokens(2, 40)
    dense = decode_steps(model, ids, STEPS)
    with enable_sparq(model, EXACT) as handle:
        sparq = decode_steps(model, ids, STEPS)
    assert dict(handle.layers) == {0: EXACT, 1: EXACT}
    torch.testing.assert_close(sparq, dense, rtol=0, atol=1e-4)


@pytest.mark.parametrize("config", SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_settings_equal_the_reference_by_hand(
    family: str, tiny: Any, tokens: Any, decode_steps: Any, by_hand: Any, config: SparqConfig, dtype: torch.dtype
) -> None:
    model, ids = tiny(family, dtype=dtype), tokens(2, 40)
    mask = padded(ids, (7, 0))
    dense = decode_steps(model, ids, STEPS, mask)
    with enable_sparq(model, config):
        sparq = decode_steps(model, ids, STEPS, mask)
    by_hand(model, {0: config, 1: config})
    expected = decode_steps(model, ids, STEPS, mask)
    torch.testing.assert_close(sparq, expected, rtol=0, atol=1e-9 if dtype == torch.float64 else 2e-4)
    assert (sparq - dense).abs().max() > 0.01  # it does leave something out


@pytest.mark.parametrize("k_layout", K_LAYOUTS)
@pytest.mark.parametrize("base", ["sdpa", "eager"])
def test_layouts_and_the_models_own_attention(
    tiny: Any, tokens: Any, decode_steps: Any, by_hand: Any, k_layout: KLayout, base: str
) -> None:
    model, ids = tiny("llama"), tokens(2, 40)
    config = SparqConfig(6, 12, 3, k_layout=k_layout)
    mask = padded(ids, (0, 5))
    model.set_attn_implementation(base)
    with enable_sparq(model, config):
        sparq = decode_steps(model, ids, STEPS, mask)
    assert model.config._attn_implementation == base
    by_hand(model, {0: config, 1: config})
    torch.testing.assert_close(sparq, decode_steps(model, ids, STEPS, mask), rtol=0, atol=2e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sixteen_bits(tiny: Any, tokens: Any, decode_steps: Any, dtype: torch.dtype) -> None:
    model, ids = tiny("gemma2", dtype=dtype), tokens(2, 30)
    dense = decode_steps(model, ids, 3)
    with enable_sparq(model, EXACT):
        torch.testing.assert_close(decode_steps(model, ids, 3), dense, rtol=0, atol=0.05)


@pytest.mark.parametrize("implementation", ["sparq-torch", "sparq-cpu"])
def test_named_implementations_agree(tiny: Any, tokens: Any, decode_steps: Any, implementation: str) -> None:
    model, ids = tiny("llama"), tokens(1, 30)
    with enable_sparq(model, SETTINGS[0]):
        expected = decode_steps(model, ids, 3)
    with enable_sparq(model, SETTINGS[0], implementation=implementation):
        torch.testing.assert_close(decode_steps(model, ids, 3), expected, rtol=0, atol=2e-4)


def test_settings_by_layer(tiny: Any, tokens: Any, decode_steps: Any, by_hand: Any) -> None:
    model, ids = tiny("llama", n_layers=4, dtype=torch.float64), tokens(1, 40)
    first, other = SETTINGS[:2]
    cases: tuple[tuple[Any, dict[int, SparqConfig | None]], ...] = (
        ({0: other, 2: None}, {0: other, 1: first, 2: None, 3: first}),
        ([1, 3], {0: None, 1: first, 2: None, 3: first}),
        (range(0), dict.fromkeys(range(4))),
    )
    for layers, settings in cases:
        plain = model.config._attn_implementation
        with enable_sparq(model, first, layers=layers) as handle:
            sparq = decode_steps(model, ids, STEPS)
        assert dict(handle.layers) == {index: config for index, config in settings.items() if config}
        assert set(handle.left_dense) == {index for index, config in settings.items() if config is None}
        by_hand(model, settings)
        torch.testing.assert_close(sparq, decode_steps(model, ids, STEPS), rtol=0, atol=1e-9)
        model.config._attn_implementation_internal = plain


@pytest.mark.parametrize("family", ["mistral", "gemma2", "qwen2"])
def test_sliding_windows_stay_dense(family: str, tiny: Any, tokens: Any, decode_steps: Any, by_hand: Any) -> None:
    types = {"layer_types": ["sliding_attention", "full_attention"]}
    changes: dict[str, Any] = {
        "mistral": {"sliding_window": 8},  # in every layer
        "gemma2": {"sliding_window": 8, **types},
        "qwen2": {"sliding_window": 8, "use_sliding_window": True, **types},
    }[family]
    model, ids = tiny(family, dtype=torch.float64, **changes), tokens(1, 40)
    config = SETTINGS[0]
    dense = decode_steps(model, ids, STEPS)
    with enable_sparq(model, config) as handle:
        sparq = decode_steps(model, ids, STEPS)
    assert handle.left_dense[0] == "sliding attention"
    if family == "mistral":
        assert not handle.layers
        assert torch.equal(sparq, dense)
        return
    assert dict(handle.layers) == {1: config}
    by_hand(model, {1: config})
    torch.testing.assert_close(sparq, decode_steps(model, ids, STEPS), rtol=0, atol=1e-9)
    with pytest.raises(LlmError, match="layer 0 is sliding attention: it stays dense"):
        enable_sparq(model, config, layers=[0])


def test_prefill_is_dense(tiny: Any, tokens: Any) -> None:
    model, ids = tiny("llama"), tokens(2, 40)
    with torch.inference_mode():
        dense = model(ids).logits
        with enable_sparq(model, SETTINGS[0]):
            assert torch.equal(model(ids).logits, dense)
            assert torch.equal(model(ids, use_cache=False).logits, dense)
            torch.testing.assert_close(model(ids[:, :1]).logits, dense[:, :1], rtol=0, atol=1e-5)  # a prompt of one


def test_off_again_without_a_trace(family: str, tiny: Any, tokens: Any, decode_steps: Any) -> None:
    from transformers import AttentionInterface, AttentionMaskInterface

    model, ids = tiny(family), tokens(2, 40)
    names = (set(AttentionInterface._global_mapping), set(AttentionMaskInterface._global_mapping))
    own = model.config._attn_implementation
    configuration = copy.deepcopy(model.config.to_dict())
    dense = decode_steps(model, ids, STEPS)
    handle = enable_sparq(model, SETTINGS[0])
    assert handle.enabled
    assert not torch.equal(decode_steps(model, ids, STEPS), dense)
    handle.disable()
    handle.disable()
    assert not handle.enabled
    assert torch.equal(decode_steps(model, ids, STEPS), dense)
    assert (set(AttentionInterface._global_mapping), set(AttentionMaskInterface._global_mapping)) == names
    assert model.config._attn_implementation == own
    assert model.config.to_dict() == configuration
    assert all(not module._forward_pre_hooks for module in model.modules())


def test_an_error_inside_the_block_switches_it_off(tiny: Any) -> None:
    model = tiny("llama")
    with pytest.raises(KeyError, match="inside"), enable_sparq(model, EXACT):
        raise KeyError("inside")
    with enable_sparq(model, EXACT):
        pass


def test_two_models_at_once(tiny: Any, tokens: Any, decode_steps: Any) -> None:
    llama, neox, ids = tiny("llama"), tiny("gpt_neox"), tokens(1, 30)
    with enable_sparq(llama, SETTINGS[0]):
        alone = decode_steps(llama, ids, 3)
        with enable_sparq(neox, SETTINGS[1]):
            assert torch.equal(decode_steps(llama, ids, 3), alone)
            other = decode_steps(neox, ids, 3)
        assert torch.equal(decode_steps(llama, ids, 3), alone)
    with enable_sparq(neox, SETTINGS[1]):
        assert torch.equal(decode_steps(neox, ids, 3), other)


def test_the_observer_sees_every_call(tiny: Any, tokens: Any, decode_steps: Any) -> None:
    model, ids, seen = tiny("gemma2"), tokens(2, 30), []
    with enable_sparq(model, EXACT) as handle:
        handle.session.observer = lambda layer, q, kv, config, y: seen.append((layer, kv.seq_len, q.shape, y.shape))
        decode_steps(model, ids, 3)
    assert [(layer, length) for layer, length, _, _ in seen] == [(i, n) for n in (28, 29, 30) for i in (0, 1)]
    assert {shape for _, _, *shapes in seen for shape in shapes} == {(2, 4, 16)}


BAD: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "rank above head_dim": (
        lambda m: enable_sparq(m, SparqConfig(17, 8)),
        ConfigError,
        "rank is 17 and head",
    ),
    "no such layer": (lambda m: enable_sparq(m, EXACT, layers=[2]), ConfigError, "layers names 2: the model has 0 … 1"),
    "a dense one": (lambda m: enable_sparq(m, EXACT, implementation="dense-cpu"), ConfigError, "computes dense"),
    "unknown": (lambda m: enable_sparq(m, EXACT, implementation="x"), ConfigError, "unknown implementation 'x'"),
    "training": (lambda m: enable_sparq(m.train(), EXACT), LlmError, r"training mode.*call model\.eval\(\)"),
    "not a model": (
        lambda m: enable_sparq(torch.nn.Linear(2, 2), EXACT),
        LlmError,
        "Linear is not a transformers",
    ),
    "flash": (lambda m: enable_sparq(flash(m), EXACT), LlmError, "attention is flex_attention: load it with"),
}


def flash(model: Any) -> Any:
    model.config._attn_implementation_internal = "flex_attention"
    return model


@pytest.mark.parametrize("case", BAD)
def test_bad_requests(case: str, tiny: Any) -> None:
    call, error, match = BAD[case]
    model = tiny("llama")
    with pytest.raises(error, match=match):
        call(model)
    assert all(not module._forward_pre_hooks for module in model.modules())


def test_architectures_that_sparq_cannot_take(tiny: Any) -> None:
    import transformers

    small = {"n_embd": 32, "n_layer": 1, "n_head": 2, "vocab_size": 50}
    gptj = transformers.GPTJForCausalLM(transformers.GPTJConfig(**small, n_positions=64, rotary_dim=8)).eval()
    with pytest.raises(LlmError, match="GPTJForCausalLM has no attention layer that uses transformers' attention"):
        enable_sparq(gptj, EXACT)
    capped = tiny("gemma2", attn_logit_softcapping=50.0)
    with pytest.raises(LlmError, match=r"layer 0 \(Gemma2Attention\) caps its logits"):
        enable_sparq(capped, EXACT)
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    bart = transformers.BartConfig(**sizes, encoder_attention_heads=2, decoder_attention_heads=2, vocab_size=50)
    with pytest.raises(LlmError, match="is an encoder-decoder"):
        enable_sparq(transformers.BartForConditionalGeneration(bart).eval(), EXACT)


def test_enabled_already(tiny: Any) -> None:
    model = tiny("llama")
    with enable_sparq(model, EXACT), pytest.raises(LlmError, match="enabled in this model already"):
        enable_sparq(model, EXACT)


def test_bad_calls(tiny: Any, tokens: Any) -> None:
    model, ids = tiny("llama"), tokens(2, 30)
    with enable_sparq(model, EXACT), torch.inference_mode():
        cache = model(ids[:, :20], use_cache=True).past_key_values
        with pytest.raises(LlmError, match="3 new tokens after 20: SparQ decodes one token a step"):
            model(ids[:, 20:23], past_key_values=cache)
        assert cache.get_seq_length() == 20
        model.train()
        with pytest.raises(LlmError, match="training mode"):
            model(ids[:, 20:21], past_key_values=cache)
        model.eval()
        hole = torch.ones(2, 21, dtype=torch.int64)
        hole[0, 3] = 0
        with pytest.raises(LlmError, match="other than padding on the left"):
            model(ids[:, 20:21], past_key_values=cache, attention_mask=hole)
        model(ids[:, 20:21], past_key_values=cache)
        hole = torch.ones(2, 22, dtype=torch.int64)
        hole[0, :3] = 0
        with pytest.raises(LlmError, match=r"began at \[0, 0\] and the attention mask now says \[3, 0\]"):
            model(ids[:, 21:22], past_key_values=cache, attention_mask=hole)
