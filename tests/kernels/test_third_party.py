"""Dense kernels of other packages: how a cache is handed to them, on stand-ins that have their signatures.

None of them runs without a GPU. The stand-ins read exactly what the real ones read: strided tensors, pages by index.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from sparq_kernels import KVCache, decode, find_implementation, implementations
from sparq_kernels.dense_flash_attn.kernel import decode as flash_attn_decode
from sparq_kernels.dense_flashinfer import kernel as flashinfer_kernel
from sparq_kernels.dense_flashinfer.kernel import decode as flashinfer_decode
from sparq_kernels.reference import dense_attention
from sparq_profiles.shape import AttentionShape, KLayout

NAMES = ("dense-flash-attn", "dense-flash-attn-3", "dense-flashinfer", "dense-flashinfer-tensor-cores")
MODULES = ("flash_attn", "flash_attn_interface", "flashinfer")


def installed(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    module.__dict__.update(content)
    monkeypatch.setitem(sys.modules, name, module)


class FlashAttention:
    """Stands for flash_attn_with_kvcache, of either version."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, Tensor]] = []
        self.error: Exception | None = None

    def __call__(self, q: Tensor, k_cache: Tensor, v_cache: Tensor, k: Tensor | None = None, **_: Any) -> Tensor:
        assert k_cache.stride(-1) == v_cache.stride(-1) == 1
        if self.error is not None:
            raise self.error
        self.calls.append((k_cache, v_cache))
        return dense_attention(q[:, 0].double(), *(t.transpose(1, 2).double() for t in (k_cache, v_cache)))[:, None].to(
            q.dtype
        )


class Wrapper:
    """Stands for BatchDecodeWithPagedKVCacheWrapper: reads pages where the plan's table says they are."""

    made: list["Wrapper"]

    def __init__(self, float_workspace_buffer: Tensor, kv_layout: str = "NHD", *, use_tensor_cores: bool) -> None:
        assert not float_workspace_buffer.any()
        assert kv_layout == "HND"
        self.use_tensor_cores = use_tensor_cores
        self.plan_of: dict[str, Any] = {}
        self.made.append(self)

    def plan(
        self,
        indptr: Tensor,
        indices: Tensor,
        last_page_len: Tensor,
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim: int,
        page_size: int,
        pos_encoding_mode: str = "NONE",
        *,
        q_data_type: torch.dtype,
        kv_data_type: torch.dtype,
    ) -> None:
        assert indptr.dtype == indices.dtype == last_page_len.dtype == torch.int32
        assert indptr.shape[0] == last_page_len.shape[0] + 1
        assert q_data_type == kv_data_type
        assert num_qo_heads % num_kv_heads == 0
        assert ((last_page_len >= 1) & (last_page_len <= page_size)).all()
        if head_dim not in (64, 128, 256):
            raise ValueError(f"Unsupported head_dim: {head_dim}\nand more")
        self.plan_of = {"starts": indptr.tolist(), "indices": indices, "last": last_page_len, "page": page_size}

    def run(self, q: Tensor, paged_kv_cache: tuple[Tensor, Tensor]) -> Tensor:
        starts, page = self.plan_of["starts"], self.plan_of["page"]
        rows = []
        for sequence, (begin, end) in enumerate(pairwise(starts)):
            chosen = self.plan_of["indices"][begin:end].long()
            held = (end - begin - 1) * page + int(self.plan_of["last"][sequence])
            k, v = (t[chosen].transpose(0, 1).flatten(1, 2)[None, :, :held].double() for t in paged_kv_cache)
            rows.append(dense_attention(q[sequence : sequence + 1].double(), k, v))
        return torch.cat(rows).to(q.dtype)


@pytest.fixture
def flash_attention(monkeypatch: pytest.MonkeyPatch) -> FlashAttention:
    stand_in = FlashAttention()
    for module in ("flash_attn", "flash_attn_interface"):
        installed(monkeypatch, module, flash_attn_with_kvcache=stand_in)
    return stand_in


@pytest.fixture
def wrappers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Wrapper]]:
    Wrapper.made = []
    installed(monkeypatch, "flashinfer", BatchDecodeWithPagedKVCacheWrapper=Wrapper)
    monkeypatch.setattr(flashinfer_kernel, "WORKSPACE_BYTES", 1024)
    flashinfer_kernel._workspace.cache_clear()
    yield Wrapper.made
    flashinfer_kernel._workspace.cache_clear()


Make = Callable[..., Any]
Close = Callable[..., None]
SIZES = [(1, 2, 1, 64), (3, 2, 4, 96), (2, 1, 4, 33), (1, 8, 4, 50), (4, 3, 2, 24)]


def cache_with_room(case: Any, **settings: Any) -> KVCache:
    """Sequences that do not follow each other in memory without a gap, as where tokens are still to come."""
    return KVCache.from_tensors(case.k, case.v, capacity=case.k.shape[2] + 24, **settings)


@pytest.mark.parametrize("variant", [None, "3"])
@pytest.mark.parametrize("size", SIZES)
def test_flash_attention(
    make_inputs: Make, assert_close: Close, flash_attention: FlashAttention, size: Any, variant: str | None
) -> None:
    case = make_inputs(*size, 64, dtype=torch.float16)
    cache = cache_with_room(case)
    y = flash_attn_decode(case.q, cache, variant=variant)
    assert_close(y, dense_attention(case.q.double(), case.k.double(), case.v.double()))
    ((keys, values),) = flash_attention.calls
    assert (keys.data_ptr(), values.data_ptr()) == (cache.any_keys.data_ptr(), cache.values.data_ptr())


@pytest.mark.parametrize("variant", [None, "tensor-cores"])
@pytest.mark.parametrize("size", SIZES)
def test_flashinfer(
    make_inputs: Make, assert_close: Close, wrappers: list[Wrapper], size: Any, variant: str | None
) -> None:
    case = make_inputs(*size, 64, dtype=torch.float16)
    y = flashinfer_decode(case.q, cache_with_room(case), variant=variant)
    assert_close(y, dense_attention(case.q.double(), case.k.double(), case.v.double()))
    assert [wrapper.use_tensor_cores for wrapper in wrappers] == [variant is not None]


def test_flashinfer_reads_the_cache_in_place(make_inputs: Make, wrappers: list[Wrapper]) -> None:
    case = make_inputs(2, 4, 1, 128, 64, dtype=torch.float16)
    cache = cache_with_room(case)
    table = flashinfer_kernel.PageTable.of(cache.any_keys)
    pages = table.pages(cache.any_keys)
    assert table.page_tokens == 16
    assert pages.data_ptr() == cache.any_keys.data_ptr()
    assert torch.equal(pages[table.indices[8].long(), 3], case.k[1, 3, :16])


def test_flashinfer_plans_once_a_length(make_inputs: Make, assert_close: Close, wrappers: list[Wrapper]) -> None:
    case = make_inputs(2, 2, 2, 64, 64, dtype=torch.float16)
    cache = cache_with_room(case)
    for _ in range(3):
        flashinfer_decode(case.q, cache)
    assert len(wrappers) == 1
    k, v = torch.randn(2, 2, 2, 64).half()
    cache.append(k, v)
    y = flashinfer_decode(case.q, cache)
    assert len(wrappers) == 2
    assert_close(y, dense_attention(case.q.double(), cache.any_keys.double(), cache.values.double()))
    more_heads = make_inputs(2, 2, 8, 1, 64, dtype=torch.float16).q
    y = flashinfer_decode(more_heads, cache)
    assert_close(y, dense_attention(more_heads.double(), cache.any_keys.double(), cache.values.double()))
    assert len(wrappers) == 3


def test_a_plan_goes_with_its_cache(make_inputs: Make, wrappers: list[Wrapper]) -> None:
    case = make_inputs(1, 2, 2, 64, 64, dtype=torch.float16)
    cache = KVCache.from_tensors(case.k, case.v)
    before = len(flashinfer_kernel._plans)
    flashinfer_decode(case.q, cache)
    assert len(flashinfer_kernel._plans) == before + 1
    del cache
    gc.collect()
    assert len(flashinfer_kernel._plans) == before


@pytest.mark.parametrize("kernel", [flash_attn_decode, flashinfer_decode])
def test_caches_that_are_refused(
    make_inputs: Make,
    refusal: Callable[..., str],
    flash_attention: FlashAttention,
    wrappers: list[Wrapper],
    kernel: Callable[..., Tensor],
) -> None:
    case = make_inputs(2, 2, 1, 40, 64, dtype=torch.float16)
    layout: KLayout = "channel_major"
    by_channel = KVCache.from_tensors(case.k, case.v, k_layout=layout)
    assert "reads K row-major" in refusal(kernel, case.q, by_channel)
    padded = KVCache.from_tensors(case.k, case.v, valid_start=torch.tensor([0, 3]))
    assert "no padded cache" in refusal(kernel, case.q, padded)


def test_what_the_packages_refuse(
    make_inputs: Make, refusal: Callable[..., str], flash_attention: FlashAttention, wrappers: list[Wrapper]
) -> None:
    case = make_inputs(1, 2, 1, 40, 80, dtype=torch.float16)
    cache = KVCache.from_tensors(case.k, case.v)
    told = refusal(flashinfer_decode, case.q, cache)
    assert told == "dense-flashinfer: refuses torch.float16, head_dim 80 on cpu: ValueError: Unsupported head_dim: 80"
    flash_attention.error = RuntimeError("FlashAttention only supports Ampere GPUs or newer.")
    assert "only supports Ampere" in refusal(flash_attn_decode, case.q, cache)


@pytest.mark.parametrize("kernel", [flash_attn_decode, flashinfer_decode])
def test_a_package_that_does_not_load(
    make_inputs: Make,
    refusal: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kernel: Callable[..., Tensor],
) -> None:
    """Found, and built for another torch."""
    for module in MODULES:
        monkeypatch.delitem(sys.modules, module, raising=False)
        (tmp_path / f"{module}.py").write_text("raise ImportError('undefined symbol: _ZN3c10')")
    monkeypatch.syspath_prepend(tmp_path)
    case = make_inputs(1, 2, 1, 40, 64, dtype=torch.float16)
    monkeypatch.setattr(flashinfer_kernel, "WORKSPACE_BYTES", 1024)
    told = refusal(kernel, case.q, KVCache.from_tensors(case.k, case.v))
    assert told.endswith("on cpu: ImportError: undefined symbol: _ZN3c10")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: an illegal memory access")]
)
def test_what_is_no_refusal(make_inputs: Make, flash_attention: FlashAttention, error: Exception) -> None:
    """A device that failed, or is full, says nothing about what a package has kernels for."""
    case = make_inputs(1, 2, 1, 40, 64, dtype=torch.float16)
    flash_attention.error = error
    with pytest.raises(type(error)) as caught:
        flash_attn_decode(case.q, KVCache.from_tensors(case.k, case.v))
    assert caught.value is error


def test_they_are_there_where_installed(
    monkeypatch: pytest.MonkeyPatch, make_inputs: Make, refusal: Callable[..., str]
) -> None:
    for module in MODULES:
        monkeypatch.setitem(sys.modules, module, None)  # not to be found, whatever this machine has
    assert not set(NAMES) & set(implementations("cuda"))
    told = find_implementation("dense-flashinfer").refusal("float16", "cuda")
    assert told == "needs the module flashinfer, which is not installed here: pip install flashinfer-python"
    case = make_inputs(1, 2, 1, 40, 64, dtype=torch.float16)
    cache = KVCache.from_tensors(case.k, case.v)
    assert "runs on cuda" in refusal(decode, case.q, cache, implementation="dense-flash-attn")
    monkeypatch.undo()
    for module in MODULES:
        installed(monkeypatch, module)
    assert set(NAMES) <= set(implementations("cuda"))
    assert find_implementation("dense-flash-attn-3").refusal("float16", "cuda") is None
    assert find_implementation("dense-flash-attn-3").refusal("float32", "cuda") == "takes caches of float16, bfloat16"


@pytest.mark.parametrize("name", NAMES)
def test_bytes(name: str) -> None:
    """K and V once."""
    shape = AttentionShape(2, 1000, 32, 8, 128)
    (step,) = find_implementation(name).traffic(shape, None).steps
    assert step.name == "attend"
    assert step.read_bytes >= shape.kv_bytes
