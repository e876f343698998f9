"""Kernels whose needs are known, as cases to compile; run as a program it prints what the compilers made of them.

Compilation needs a process without Triton's interpreter, so tests start this one and read JSON.
"""

import json
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import triton
import triton.language as tl

from sparq_kernels.gpu.compiling.binaries import instruction_mix
from sparq_kernels.gpu.compiling.compiler import CompilationError, compile_launch, specialise
from sparq_kernels.gpu.compiling.targets import TARGETS
from sparq_kernels.gpu.launching import Launch


@triton.jit(do_not_specialize=["plain"], do_not_specialize_on_alignment=["unaligned"])
def copy(x, y, extra, factor, n, plain, unaligned, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + at, mask=at < n)
    if extra is not None:
        values += tl.load(extra + at, mask=at < n)
    tl.store(y + at, values * factor + plain + unaligned, mask=at < n)


@triton.jit
def total(x, y, BLOCK: tl.constexpr):
    tl.atomic_add(y, tl.sum(tl.load(x + tl.arange(0, BLOCK))))


@triton.jit
def product(x, y, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)[:, None] * SIZE + tl.arange(0, SIZE)[None, :]
    tile = tl.load(x + at)
    tl.store(y + at, tl.dot(tile, tile))


@triton.jit
def refused(x, BLOCK: tl.constexpr):
    tl.static_assert(BLOCK == 0, "no block is good enough")


def meta(*size: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(size, dtype=dtype, device="meta")


def launch(kernel: Any, arguments: dict[str, Any], constants: dict[str, Any], num_warps: int = 4) -> Launch:
    return Launch("toy", kernel, (1,), arguments, constants, num_warps, 1)


def copy_of(**changed: Any) -> Launch:
    block, warps = changed.pop("BLOCK", 1024), changed.pop("num_warps", 4)
    arguments = {
        "x": meta(1 << 16, dtype=torch.float16),
        "y": meta(1 << 16, dtype=torch.float16),
        "extra": None,
        "factor": 2.0,
        "n": 4096,
        "plain": 1,
        "unaligned": 32,
    }
    return launch(copy, {**arguments, **changed}, {"BLOCK": block}, warps)


@dataclass(frozen=True)
class Toy:
    label: str
    launch: Launch

    def record(self, target: str) -> list[Launch]:
        return [self.launch]


@triton.jit
def centre(x, y, BLOCK: tl.constexpr):
    values = tl.load(x + tl.arange(0, BLOCK))
    tl.store(y + tl.arange(0, BLOCK), values - tl.max(values))


HALVES = meta(1 << 16, dtype=torch.float16)
ALIGNED = copy_of()
ODD_ADDRESS = copy_of(x=HALVES[1:])
TOTAL = launch(total, {"x": meta(1024), "y": meta(1)}, {"BLOCK": 1024})
PRODUCT = launch(product, {"x": meta(64, 64, dtype=torch.float16), "y": meta(64, 64)}, {"SIZE": 64})
# 512 values a thread, all wanted again after the maximum, where a thread has 255 registers.
SPILLS = launch(centre, {"x": meta(1 << 14), "y": meta(1 << 14)}, {"BLOCK": 1 << 14}, num_warps=1)
CENTRE = launch(centre, {"x": meta(1 << 12), "y": meta(1 << 12)}, {"BLOCK": 1 << 12})
REFUSED = launch(refused, {"x": meta(1)}, {"BLOCK": 1})

CASES = [
    Toy("aligned", ALIGNED),
    Toy("other numbers, same machine code", copy_of(n=8192, factor=3.0, plain=5)),
    Toy("odd address", ODD_ADDRESS),
    Toy("total", TOTAL),
]


def specialisations() -> dict[str, Any]:
    found = {
        "usual": ALIGNED,
        "one": copy_of(n=1),
        "odd": copy_of(n=17),
        "wide": copy_of(n=1 << 31),
        "plain 16": copy_of(plain=16),
        "unaligned 1": copy_of(unaligned=1),
        "extra": copy_of(extra=HALVES),
        "odd address": ODD_ADDRESS,
        "same": copy_of(n=8192, factor=3.0, plain=5),
        "bf16": copy_of(x=meta(16, dtype=torch.bfloat16)),
    }
    facts = {}
    for name, one in found.items():
        made = specialise(one, TARGETS["sm_90"])
        facts[name] = {
            "key": made.key,
            "signature": dict(made.signature),
            "constants": dict(made.constants),
            "divisible": sorted(made.divisible),
        }
    return facts


def compilations(names: list[str]) -> dict[str, Any]:
    launches = {
        "aligned": ALIGNED,
        "odd address": ODD_ADDRESS,
        "total": TOTAL,
        "product": PRODUCT,
        "spills": SPILLS,
        "centre": CENTRE,
        "few registers": replace(CENTRE, max_registers=24),
    }
    facts: dict[str, Any] = {}
    for name, one in launches.items():
        for target in names:
            record, listing = compile_launch(one, TARGETS[target], name)
            short, _ = compile_launch(one, TARGETS[target], name, listing=False)
            facts[f"{name} {target}"] = {
                **asdict(record),
                "mix": instruction_mix(listing),
                "same without listing": short == record,
            }
    return facts


def refusal() -> str:
    try:
        compile_launch(REFUSED, TARGETS["sm_80"], "refused")
    except CompilationError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "specialised": specialisations(),
                "compiled": compilations(sys.argv[1:]),
                "refusal": refusal(),
                "rest of the process": triton.runtime.driver._active is None,
            }
        )
    )
