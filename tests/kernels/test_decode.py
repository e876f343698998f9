import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch

import sparq_kernels
from sparq_kernels import IMPLEMENTATIONS, KVCache, bind, decode, find_implementation, implementations
from sparq_kernels.reference import dense_attention
from sparq_profiles import ConfigError, SparqConfig

Refusal = Callable[..., str]
CONFIG = SparqConfig(rank=4, top_k=5)
FOLDERS = {
    "dense-triton": "dense_triton",
    "dense-cpu": "dense_cpu",
    "dense-sdpa": "dense_sdpa",
    "sparq-triton": "sparq_triton",
    "sparq-cpu": "sparq_cpu",
    "sparq-torch": "sparq_torch",
}


def make_cache(dtype: torch.dtype = torch.float32, **changes: Any) -> KVCache:
    k = torch.zeros(1, 2, 20, 8, dtype=dtype)
    return KVCache.from_tensors(k, k, **changes)


def make_query(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(1, 4, 8, dtype=dtype)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the kernels that were called; none of them computes anything."""
    names: list[str] = []
    # All imported before any is replaced: one takes another's decode by name.
    modules = {name: importlib.import_module(f"sparq_kernels.{folder}.kernel") for name, folder in FOLDERS.items()}
    for name, module in modules.items():

        def fake(q: Any, cache: Any, *config: Any, name: str = name) -> str:
            names.append(name)
            assert len(config) == int(name.startswith("sparq"))
            return f"y of {name}"

        monkeypatch.setattr(module, "decode", fake)
    return names


@pytest.mark.parametrize("name", FOLDERS)
def test_the_named_implementation_runs(ran: list[str], name: str) -> None:
    config = CONFIG if name.startswith("sparq") else None
    assert decode(make_query(), make_cache(), config, implementation=name) == f"y of {name}"
    assert ran == [name]


@pytest.mark.parametrize(
    ("config", "dtype", "expected"),
    [
        (None, torch.float32, "dense-cpu"),
        (CONFIG, torch.float32, "sparq-cpu"),
        (None, torch.bfloat16, "dense-sdpa"),
        (CONFIG, torch.float16, "sparq-torch"),
        (CONFIG, torch.float64, "sparq-torch"),
    ],
)
def test_auto_takes_the_first_that_fits(
    ran: list[str], config: SparqConfig | None, dtype: torch.dtype, expected: str
) -> None:
    decode(make_query(dtype), make_cache(dtype), config)
    assert ran == [expected]


def test_a_top_k_of_the_whole_sequence_runs_the_dense_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    from sparq_kernels.sparq_cpu import kernel

    calls = []
    monkeypatch.setattr(kernel, "dense_decode", lambda q, cache: calls.append("dense"))
    decode(make_query(), make_cache(), SparqConfig(rank=4, top_k=20), implementation="sparq-cpu")
    assert calls == ["dense"]
    decode(make_query(), make_cache(), SparqConfig(rank=4, top_k=19), implementation="sparq-cpu")
    assert calls == ["dense"]


def test_names() -> None:
    assert (
        set(implementations()) == set(implementations("cpu")) >= {"dense-cpu", "dense-sdpa", "sparq-cpu", "sparq-torch"}
    )
    assert not {"dense-triton", "sparq-triton"} & set(
        implementations("cpu")
    )  # interpreted only where asked for by name
    assert {"dense-sdpa", "sparq-torch"} <= set(implementations("cuda"))
    assert "dense-cpu" not in implementations("cuda")
    assert implementations("abacus") == []
    assert {name: entry.name for name, entry in IMPLEMENTATIONS.items()} == {name: name for name in IMPLEMENTATIONS}


def test_unknown_implementation(refusal: Refusal) -> None:
    message = refusal(decode, make_query(), make_cache(), CONFIG, implementation="sparq-gpu")
    assert "unknown implementation 'sparq-gpu'" in message
    assert "sparq-cpu" in message
    assert "unknown implementation ''" in refusal(find_implementation, "")


def test_dense_is_not_sparse(refusal: Refusal) -> None:
    message = refusal(decode, make_query(), make_cache(), CONFIG, implementation="dense-cpu")
    assert "dense-cpu computes dense attention: leave config out" in message
    message = refusal(decode, make_query(), make_cache(), None, implementation="sparq-torch")
    assert "sparq-torch computes SparQ attention: give a SparqConfig" in message


@pytest.mark.parametrize("name", ["dense-cpu", "sparq-cpu"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_type_that_it_does_not_take(refusal: Refusal, name: str, dtype: torch.dtype) -> None:
    config = CONFIG if name.startswith("sparq") else None
    message = refusal(decode, make_query(dtype), make_cache(dtype), config, implementation=name)
    assert f"{name} takes caches of float32; the cache is {str(dtype).removeprefix('torch.')} on cpu" in message


def test_no_implementation_takes_it(refusal: Refusal) -> None:
    message = refusal(decode, make_query(torch.int32), make_cache(torch.float32))
    assert "q is torch.int32" in message


def test_refusals_by_device() -> None:
    entry = IMPLEMENTATIONS["dense-cpu"]
    assert entry.refusal("float32", "cpu") is None
    assert entry.refusal("float32", "cuda") == "runs on cpu"


def test_the_query_is_of_the_caches_type(refusal: Refusal) -> None:
    message = refusal(decode, make_query(torch.float64), make_cache())
    assert "q is torch.float64 on cpu and the cache torch.float32 on cpu" in message


def test_an_empty_cache(refusal: Refusal) -> None:
    cache = KVCache(1, 2, 8, capacity=4, dtype=torch.float32)
    for config in (None, CONFIG):
        assert "the cache is empty: append" in refusal(decode, make_query(), cache, config)


@pytest.mark.parametrize("shape", [(4, 8), (2, 4, 8), (1, 4, 7), (1, 4, 1, 8)])
def test_a_query_of_another_shape(refusal: Refusal, shape: tuple[int, ...]) -> None:
    message = refusal(decode, torch.zeros(shape), make_cache(), CONFIG)
    assert f"q is {shape}: it must be [batch, n_heads, head_dim] = [1, n_heads, 8]" in message


def test_heads_not_a_multiple(refusal: Refusal) -> None:
    message = refusal(decode, torch.zeros(1, 3, 8), make_cache(), CONFIG)
    assert "q has 3 heads and the cache 2: n_heads must be a multiple of n_kv_heads" in message


def test_rank_above_head_dim(refusal: Refusal, sparse_name: str) -> None:
    config = SparqConfig(rank=9, top_k=2)
    message = refusal(decode, make_query(), make_cache(), config, implementation=sparse_name)
    assert "rank is 9 and head_dim is 8" in message


def test_every_public_name_resolves() -> None:
    for name in sparq_kernels.__all__:
        assert getattr(sparq_kernels, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'KVCaches'"):
        sparq_kernels.KVCaches  # noqa: B018


def test_sdpa_variants(make_inputs: Callable[..., Any], assert_close: Callable[..., None], refusal: Any) -> None:
    case = make_inputs(2, 2, 3, 90, 64)
    start = torch.tensor([0, 40])
    kernel = IMPLEMENTATIONS["dense-sdpa-gqa"].kernel()
    for valid_start in (None, start):
        cache = KVCache.from_tensors(case.k, case.v, valid_start=valid_start)
        expected = dense_attention(case.q.double(), case.k.double(), case.v.double(), valid_start=valid_start)
        assert_close(kernel(case.q, cache), expected)
    cache = KVCache.from_tensors(case.k, case.v)
    assert_close(IMPLEMENTATIONS["dense-sdpa-flash"].kernel()(case.q, cache), dense_attention(case.q, case.k, case.v))
    # A backend that has no kernel here says so, and is no other one in disguise.
    message = refusal(IMPLEMENTATIONS["dense-sdpa-cudnn"].kernel(), case.q, cache)
    assert "no cudnn kernel" in message
    assert set(implementations("cuda")) >= {"dense-triton", "dense-sdpa-flash", "dense-sdpa-cudnn", "sparq-triton"}
    assert IMPLEMENTATIONS["dense-sdpa-cudnn"].traffic(cache.shape_for(6), None).read_bytes > 0


@pytest.mark.parametrize(
    ("implementation", "config"), [("dense-cpu", None), ("sparq-cpu", CONFIG), ("sparq-torch", CONFIG), ("auto", None)]
)
def test_a_bound_call_is_decode_with_the_choice_made_before(implementation: str, config: SparqConfig | None) -> None:
    torch.manual_seed(0)
    k, v = torch.randn(1, 2, 20, 8), torch.randn(1, 2, 20, 8)
    cache = KVCache.from_tensors(k, v)
    attend = bind(cache, config, implementation)
    for _ in range(2):
        q = torch.randn(1, 4, 8)
        assert torch.equal(attend(q), decode(q, cache, config, implementation))
    # The cache is bound, not what it held: a token more is attended to.
    cache.append(torch.randn(1, 2, 8), torch.randn(1, 2, 8))
    assert torch.equal(attend(q), decode(q, cache, config, implementation))


@pytest.mark.parametrize(
    ("implementation", "config", "words"),
    [
        ("sparq-cpu", None, "computes SparQ attention"),
        ("nothing", None, "unknown implementation"),
        ("sparq-cpu", SparqConfig(rank=9, top_k=5), "rank"),
    ],
)
def test_what_cannot_be_bound_is_refused_at_once(implementation: str, config: SparqConfig | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        bind(make_cache(), config, implementation)
