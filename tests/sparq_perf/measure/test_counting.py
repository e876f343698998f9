"""Accesses of toy kernels, counted by hand: bytes, sectors, requests, and what strays out of a tensor."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from triton.runtime import interpreter
from triton.runtime.jit import JITFunction

from sparq_kernels.gpu.launching import launch
from sparq_perf.measure.counting import OPERATIONS, counting
from sparq_perf.measure.counts import LaunchCount, TensorCount
from sparq_perf.measure.interpreting import kernel_is_interpreted, use_interpreter
from sparq_perf.measure.tallying import distinct
from sparq_profiles import SparqPerfError

pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="TRITON_INTERPRET=1 is not set")


@triton.jit
def copy(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n, other=0), mask=at < n)


@triton.jit
def copy_all(x, y, shift, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at + shift))


@triton.jit
def copy_out(x, y, shift, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at + shift, tl.load(x + at))


@triton.jit
def copy_column(x, y, column, stride, BLOCK: tl.constexpr):
    row = tl.arange(0, BLOCK)
    tl.store(y + row, tl.load(x + row * stride + column))


@triton.jit
def gather(x, index, y, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(y + tl.program_id(0) * BLOCK + at, tl.load(x + tl.load(index + at)))


@triton.jit
def masked_gather(x, index, mask, y, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + tl.load(index + at), mask=tl.load(mask + at) != 0, other=-1))


@triton.jit
def add_pairs(x, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.atomic_add(x + at % 2, 1.0, mask=at < BLOCK - 1)


@triton.jit
def swap(x, at):
    tl.atomic_cas(x + at, 0, 7)


@triton.jit
def read_wide(x, y, at):
    pointer = (x + at).to(tl.pointer_type(tl.int32), bitcast=True)
    tl.store(y, tl.load(pointer))


@triton.jit
def write_wide(x, value):
    tl.store(x.to(tl.pointer_type(tl.int32), bitcast=True), value)


@triton.jit
def copy_tile(x, y, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    source = tl.make_tensor_descriptor(x, [ROWS, COLUMNS], [COLUMNS, 1], [4, COLUMNS])
    target = tl.make_tensor_descriptor(y, [ROWS, COLUMNS], [COLUMNS, 1], [4, COLUMNS])
    target.store([ROWS - 2, 0], source.load([0, 0]))


@triton.jit
def fill_even(y, BLOCK: tl.constexpr):
    tl.store(y + 2 * tl.arange(0, BLOCK), 1.0)


@triton.jit
def either(x, absent, y, HAS: tl.constexpr):
    if HAS:
        tl.store(y, tl.load(absent))
    else:
        tl.store(y, tl.load(x))


@triton.jit
def fails(x):
    tl.store(x, tl.load(x))
    tl.static_assert(False)


def count(kernel: Any, grid: tuple[int, ...] = (1,), step: str = "step", **parameters: Any) -> LaunchCount:
    """Launch once; capitals are constants."""
    constants = {name: value for name, value in parameters.items() if name.isupper()}
    arguments = {name: value for name, value in parameters.items() if not name.isupper()}
    with counting() as launches:
        launch(step, kernel, grid, arguments, constants, num_warps=4)
    (counted,) = launches
    return counted


def ones(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.ones(size, dtype=dtype)


def reads(counted: TensorCount) -> tuple[int, int, int, int]:
    return counted.read_elements, counted.read_bytes, counted.read_sectors, counted.read_requests


def writes(counted: TensorCount) -> tuple[int, int, int, int]:
    return counted.write_elements, counted.write_bytes, counted.write_sectors, counted.write_requests


@pytest.mark.parametrize(("dtype", "size"), [(torch.float16, 2), (torch.bfloat16, 2), (torch.float32, 4)])
def test_contiguous(dtype: torch.dtype, size: int) -> None:
    x, y = torch.arange(256).to(dtype), torch.zeros(256, dtype=dtype)
    counted = count(copy, (4,), step="a step", x=x, y=y, n=256, BLOCK=64)
    assert (counted.step, counted.kernel, counted.grid) == ("a step", "copy", (4,))
    assert [tensor.parameter for tensor in counted.tensors] == ["x", "y"]
    whole, nothing = (256, 256 * size, 8 * size, 8 * size), (0, 0, 0, 0)
    assert (reads(counted.tensor("x")), writes(counted.tensor("x"))) == (whole, nothing)
    assert (reads(counted.tensor("y")), writes(counted.tensor("y"))) == (nothing, whole)
    assert (counted.read_bytes, counted.write_bytes) == (256 * size, 256 * size)
    assert counted.unique_sector_bytes == 2 * 256 * size
    assert counted.sector_requests == 2 * 8 * size
    assert (counted.atomics, counted.out_of_bounds) == (0, ())
    assert torch.equal(x, y)
    with pytest.raises(KeyError):
        counted.tensor("z")


def test_only_lanes_whose_mask_is_true_count() -> None:
    # 100 of 128 lanes. In fp32 8 elements a sector: 64 fill 8, the other 36 reach into 5. In fp16: 4, and 72 B in 3.
    x = torch.randn(100)
    y = torch.zeros(100)
    assert reads(count(copy, (2,), x=x, y=y, n=100, BLOCK=64).tensor("x")) == (100, 400, 13, 13)
    assert torch.equal(x, y)
    counted = count(copy, (2,), x=x.half(), y=y.half(), n=100, BLOCK=64)
    assert reads(counted.tensor("x")) == writes(counted.tensor("y")) == (100, 200, 7, 7)
    assert counted.out_of_bounds == ()  # the lanes beyond the tensors are masked


@pytest.mark.parametrize(
    ("dtype", "columns", "sectors"),
    [(torch.float16, 32, 64), (torch.float32, 4, 32), (torch.float16, 2, 8)],
    ids=["a sector or more apart", "two rows a sector", "eight rows a sector"],
)
def test_a_strided_column_touches_a_sector_a_row(dtype: torch.dtype, columns: int, sectors: int) -> None:
    x = ones(64, columns, dtype=dtype)
    counted = count(copy_column, x=x, y=x.new_zeros(64), column=1, stride=columns, BLOCK=64)
    assert reads(counted.tensor("x")) == (64, 64 * x.element_size(), sectors, sectors)


def test_repeated_rows_are_elements_and_requests_again_but_no_new_sectors() -> None:
    # fp32: index 0 is in sector 0, 8 in 1, 16 in 2. Each of two programs asks for all three.
    x, index = torch.arange(32.0), torch.tensor([0, 0, 0, 0, 16, 16, 8, 0])
    y = torch.zeros(2, 8)
    counted = count(gather, (2,), x=x, index=index, y=y, BLOCK=8)
    assert reads(counted.tensor("x")) == (16, 64, 3, 6)
    assert reads(counted.tensor("index")) == (16, 128, 2, 4)
    assert torch.equal(y[1], x[index])
    assert counted.unique_sector_bytes == 32 * (3 + 2 + 2)


def test_atomics_read_and_write() -> None:
    x = torch.zeros(8)
    counted = count(add_pairs, x=x, BLOCK=8)
    assert counted.atomics == 7
    assert reads(counted.tensor("x")) == writes(counted.tensor("x")) == (7, 28, 1, 1)
    assert x.tolist() == [4, 3, 0, 0, 0, 0, 0, 0]


def test_compare_and_swap() -> None:
    x = torch.tensor([5, 0], dtype=torch.int32)
    assert count(swap, x=x, at=0).tensor("x").atomics == 1
    assert x.tolist() == [5, 0]
    count(swap, x=x, at=1)
    assert x.tolist() == [5, 7]
    counted = count(swap, x=x, at=2)
    assert [(stray.access, stray.lowest_offset_bytes) for stray in counted.out_of_bounds] == [("atomic", 8)]
    assert counted.atomics == 0


def test_sectors_begin_where_the_storage_does() -> None:
    # 8 fp32 elements from byte 16 on: half of one sector and half of the next.
    x = torch.arange(16.0)[4:]
    counted = count(copy, x=x, y=torch.zeros(8), n=8, BLOCK=8)
    assert reads(counted.tensor("x")) == (8, 32, 2, 2)
    assert counted.tensor("x").storage_bytes == 48


def test_an_element_across_two_sectors_touches_both() -> None:
    x = torch.arange(64, dtype=torch.int8)
    y = torch.zeros(1, dtype=torch.int32)
    assert reads(count(read_wide, x=x, y=y, at=28).tensor("x")) == (1, 4, 1, 1)
    assert reads(count(read_wide, x=x, y=y, at=30).tensor("x")) == (1, 4, 2, 2)
    assert y.item() == int.from_bytes(bytes([30, 31, 32, 33]), "little")


def test_descriptors_are_counted_within_their_bounds() -> None:
    # The target's last two of four rows lie outside its shape.
    x, y = torch.randn(8, 16), torch.zeros(8, 16)
    counted = count(copy_tile, x=x, y=y, ROWS=8, COLUMNS=16)
    assert reads(counted.tensor("x")) == (64, 256, 8, 8)
    assert writes(counted.tensor("y")) == (32, 128, 4, 4)
    assert torch.equal(y[6:], x[:2])


def test_arguments_that_are_none_are_no_tensors() -> None:
    counted = count(either, x=ones(1), absent=None, y=ones(1), HAS=False)
    assert [tensor.parameter for tensor in counted.tensors] == ["x", "y"]


def test_what_a_launch_leaves_unwritten() -> None:
    y = torch.zeros(8, 2)
    counted = count(fill_even, y=y, BLOCK=8)
    assert counted.tensor("y").unwritten_elements == 8
    # The same storage seen as its first column, which is written whole.
    assert count(fill_even, y=y[:, 0], BLOCK=8).tensor("y").unwritten_elements == 0
    assert count(copy, x=y, y=y.clone(), n=16, BLOCK=16).tensor("x").unwritten_elements is None
    # A wide store writes two narrow elements.
    narrow = torch.zeros(4, dtype=torch.int16)
    counted = count(write_wide, x=narrow, value=-1)
    assert counted.tensor("x").unwritten_elements == 2
    assert writes(counted.tensor("x")) == (1, 4, 1, 1)
    assert narrow.tolist() == [-1, -1, 0, 0]


def test_a_read_out_of_bounds_is_reported_not_made() -> None:
    x, y = torch.arange(1.0, 11.0), torch.full((16,), 9.0)
    counted = count(copy_all, x=x, y=y, shift=0, BLOCK=16)
    (stray,) = counted.out_of_bounds
    assert (stray.kernel, stray.parameter, stray.access, stray.lanes) == ("copy_all", "x", "read", 6)
    assert (stray.lowest_offset_bytes, stray.highest_offset_bytes, stray.storage_bytes) == (40, 60, 40)
    assert str(stray) == "copy_all: 6 read accesses outside x, at byte 40 … 60 of 40, first in program (0, 0, 0)"
    assert reads(counted.tensor("x")) == (10, 40, 2, 2)
    assert y.tolist() == [*x.tolist(), *[0] * 6]


def test_a_write_out_of_bounds_is_reported_not_made() -> None:
    memory = np.zeros(64, dtype=np.float32)
    y = torch.from_numpy(memory[:8])  # what follows belongs to this process, and not to the tensor
    counted = count(copy_out, x=ones(16), y=y, shift=4, BLOCK=16)
    (stray,) = counted.out_of_bounds
    assert (stray.parameter, stray.access, stray.lanes) == ("y", "write", 12)
    assert (stray.lowest_offset_bytes, stray.highest_offset_bytes) == (32, 76)
    assert writes(counted.tensor("y")) == (4, 16, 1, 1)
    assert memory.tolist() == [0] * 4 + [1] * 4 + [0] * 56


@pytest.mark.parametrize("shift", [-4, -(2**31), 2**31 - 16, 10**12])
def test_far_strays_do_not_crash(shift: int) -> None:
    counted = count(copy_all, (2,), x=ones(32), y=torch.zeros(32), shift=shift, BLOCK=16)
    (stray,) = counted.out_of_bounds
    assert (stray.parameter, stray.access) == ("x", "read")
    assert stray.lanes == (4 if shift == -4 else 32)
    assert stray.lowest_offset_bytes == 4 * shift
    assert stray.program == (0, 0, 0)


def test_a_stray_into_another_argument_is_a_stray() -> None:
    # Exactly where y lies: by real addresses this would be a read of y.
    x, y = ones(16), torch.zeros(16)
    between = (y.data_ptr() - x.data_ptr()) // 4
    counted = count(copy_all, x=x, y=y, shift=between, BLOCK=16)
    (stray,) = counted.out_of_bounds
    assert (stray.parameter, stray.lanes, stray.lowest_offset_bytes) == ("x", 16, 4 * between)
    assert reads(counted.tensor("y")) == (0, 0, 0, 0)


def test_arguments_that_share_a_storage_stay_apart() -> None:
    both = torch.arange(32.0)
    counted = count(copy, x=both[:16], y=both[16:], n=16, BLOCK=16)
    assert reads(counted.tensor("x")) == writes(counted.tensor("y")) == (16, 64, 2, 2)
    assert both[16:].tolist() == both[:16].tolist()
    counted = count(copy, x=both, y=both, n=32, BLOCK=32)
    assert (counted.tensor("x").read_bytes, counted.tensor("x").write_bytes) == (128, 0)
    assert (counted.tensor("y").read_bytes, counted.tensor("y").write_bytes) == (0, 128)


def test_an_empty_tensor_has_no_bounds_to_be_in() -> None:
    counted = count(copy_all, x=torch.zeros(0), y=torch.ones(4), shift=0, BLOCK=4)
    assert [(stray.parameter, stray.lanes, stray.storage_bytes) for stray in counted.out_of_bounds] == [("x", 4, 0)]


def test_launches_come_in_order() -> None:
    x, y = ones(64), torch.zeros(64)
    with counting() as launches:
        for step in ("a", "b", "a"):
            launch(step, copy, (1,), {"x": x, "y": y, "n": 64}, {"BLOCK": 64}, num_warps=4)
    assert [counted.step for counted in launches] == ["a", "b", "a"]
    launch("c", copy, (1,), {"x": x, "y": y, "n": 64}, {"BLOCK": 64}, num_warps=4)
    assert len(launches) == 3


def test_the_interpreter_is_as_before() -> None:
    builder = interpreter.interpreter_builder
    count(copy, x=ones(4), y=ones(4), n=4, BLOCK=4)
    assert not set(OPERATIONS) & set(vars(builder))
    with pytest.raises(Exception, match=r"(?i)assert"):
        count(fails, x=ones(1))
    assert not set(OPERATIONS) & set(vars(builder))


def test_an_interpreter_without_an_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(type(interpreter.interpreter_builder), "create_atomic_cas")
    with pytest.raises(SparqPerfError, match=r"interpreter has no create_atomic_cas: use triton 3\.5 to 3\.9"):
        count(copy, x=ones(4), y=ones(4), n=4, BLOCK=4)


def test_a_compiled_kernel_is_refused() -> None:
    compiled = JITFunction(copy.fn)
    assert kernel_is_interpreted(copy)
    assert not kernel_is_interpreted(compiled)
    with pytest.raises(SparqPerfError, match=r"copy was made to be compiled.*set TRITON_INTERPRET=1 before Python"):
        count(compiled, x=ones(4), y=ones(4), n=4, BLOCK=4)


def test_tensors_must_be_on_the_cpu() -> None:
    with pytest.raises(SparqPerfError, match="copy: y is on meta: it must be on the cpu"):
        count(copy, x=ones(4), y=torch.zeros(4, device="meta"), n=4, BLOCK=4)


def test_the_interpreter_can_be_asked_for_twice() -> None:
    use_interpreter()
    use_interpreter()
    assert os.environ["TRITON_INTERPRET"] == "1"


@pytest.mark.parametrize(("first", "outcome"), [("", "fine"), ("import triton", "refused")])
def test_the_interpreter_must_be_asked_for_before_triton_is_imported(first: str, outcome: str) -> None:
    code = f"""
{first}
from sparq_perf.measure.interpreting import use_interpreter
from sparq_profiles import SparqPerfError
try:
    use_interpreter()
except SparqPerfError as error:
    assert "set TRITON_INTERPRET=1 before Python starts" in str(error), error
    print("refused")
else:
    print("fine")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop("TRITON_INTERPRET")
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"{outcome}\n"


@given(st.lists(st.integers(0, 5000)))
def test_distinct(values: list[int]) -> None:
    assert distinct(np.array(values, dtype=np.int64)) == len(set(values))


@given(st.data(), st.sampled_from([torch.int8, torch.float16, torch.float32, torch.float64]))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_any_gather_against_a_loop(data: Any, dtype: torch.dtype) -> None:
    """Each lane by itself, in plain Python."""
    n, lanes = data.draw(st.integers(1, 300)), 16
    index = data.draw(st.lists(st.integers(-40, n + 40), min_size=lanes, max_size=lanes))
    mask = data.draw(st.lists(st.booleans(), min_size=lanes, max_size=lanes))
    x = torch.arange(n).to(dtype)
    size, y = x.element_size(), torch.zeros(lanes, dtype=dtype)
    counted = count(
        masked_gather,
        x=x,
        index=torch.tensor(index),
        mask=torch.tensor(mask, dtype=torch.int32),
        y=y,
        BLOCK=lanes,
    )
    active = [i for i, on in zip(index, mask, strict=True) if on]
    inside = [i for i in active if 0 <= i < n]
    sectors = len({i * size // 32 for i in inside})
    assert reads(counted.tensor("x")) == (len(inside), len(inside) * size, sectors, sectors)
    assert sum(stray.lanes for stray in counted.out_of_bounds) == len(active) - len(inside)
    expected = [x[i].item() if on and 0 <= i < n else -1 for i, on in zip(index, mask, strict=True)]
    assert y.tolist() == expected
