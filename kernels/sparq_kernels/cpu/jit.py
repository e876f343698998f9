"""How CPU kernels are compiled, and the two machine operations that numba lacks."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic as numba_intrinsic

FLOATS_PER_LINE = 16
# How far ahead of a contiguous read to prefetch. The hardware's own prefetcher stops at each 4 KiB page. One stream of
# K and V in turn: 69 % of a plain sum's speed without, 85 % with 2 KiB, 73 % with 4 KiB ahead; two streams together do
# best with 1 KiB (two Xeon cores, head_dim 128).
PREFETCH_BYTES = 1024
BLOCK = 64  # scores looked at together by `block_maxima`; 16 floats to a register, four registers

F = TypeVar("F", bound=Callable[..., Any])

# numba types an intrinsic by its generator's signature, which is not how it is called.
intrinsic: Callable[[Callable[..., Any]], Any] = numba_intrinsic
insert_function: Any = cgutils.get_or_insert_function

# Reassociation lets reductions use vector registers. `nnan` and `ninf` stay off: −inf marks "no score yet".
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}


def _source_key() -> str:
    """Digest of this package's sources: machine code compiled from others must not be reused."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_SOURCE_KEY = _source_key()


class _SourceKeyedCache(FunctionCache):
    """numba's cache on disk, keyed by all of the package's sources.

    numba's own key holds one function's file alone, so a caller keeps the old code of a callee that was edited, or
    that an upgrade replaced, in another file.
    """

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        return (*super()._index_key(signature, codegen), _SOURCE_KEY)  # type: ignore[no-untyped-call]


def _jit(function: F, **options: Any) -> F:
    dispatcher: Any = numba.njit(nogil=True, fastmath=FASTMATH, error_model="numpy", **options)(function)
    dispatcher._cache = _SourceKeyedCache(function)  # type: ignore[no-untyped-call]
    return dispatcher  # type: ignore[no-any-return]


def compiled(function: F) -> F:
    """Compile to machine code, kept on disk between processes; called from other compiled code."""
    return _jit(function)


def inlined(function: F) -> F:
    """Compile as a part of every caller, so that its loops fuse into theirs."""
    return _jit(function, inline="always")


def compiled_parallel(function: F) -> F:
    """Compile with `numba.prange` loops spread over the threads."""
    return _jit(function, parallel=True)


@intrinsic
def _float_from_bits(typing_context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def prefetch_element(typing_context: Any, row: Any, element: Any) -> Any:
    """Ask for the cache line of row[element] (any address is allowed: a prefetch never faults)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte_pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), byte_pointer)
        signature_type = ir.FunctionType(ir.VoidType(), [byte_pointer, number, number, number])
        function = insert_function(builder.module, signature_type, "llvm.prefetch.p0")
        read, keep_in_all_caches, data = (ir.Constant(number, value) for value in (0, 3, 1))
        builder.call(function, [address, read, keep_in_all_caches, data])
        return context.get_dummy_value()

    return types.void(row, types.intp), generate


@compiled
def prefetch_row(rows: Any, index: int) -> None:
    """Ask for every cache line of rows[index] (float32, contiguous); past the last row, the last."""
    row = rows[min(index, rows.shape[0] - 1)]
    for element in range(0, row.shape[0], FLOATS_PER_LINE):
        prefetch_element(row, element)


@intrinsic
def _largest_of_block(typing_context: Any, row: Any, start: Any) -> Any:
    """Largest of row[start : start + BLOCK] (float32, contiguous), in vector registers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = 16
        vector = ir.VectorType(ir.FloatType(), lanes)
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        # Not the first part: a NaN there would keep its lane against all that follows.
        best: Any = ir.Constant(vector, [float("-inf")] * lanes)
        for offset in range(0, BLOCK, lanes):
            position = builder.add(arguments[1], context.get_constant(types.intp, offset))
            pointer = builder.bitcast(builder.gep(array.data, [position]), vector.as_pointer())
            part = builder.load(pointer, align=4)
            best = builder.select(builder.fcmp_ordered(">", part, best), part, best)
        while lanes > 1:  # fold the upper half onto the lower
            lanes //= 2
            mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(lanes)))
            upper = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(lanes, 2 * lanes)))
            undefined = ir.Constant(best.type, ir.Undefined)
            low = builder.shuffle_vector(best, undefined, mask)
            high = builder.shuffle_vector(best, undefined, upper)
            best = builder.select(builder.fcmp_ordered(">", high, low), high, low)
        return builder.extract_element(best, ir.Constant(ir.IntType(32), 0))

    return types.float32(row, types.intp), generate


@compiled
def block_maxima(row: Any, length: int, maxima: Any) -> Any:
    """Largest of each `BLOCK` of row[:length] into ``maxima``; returns the largest of all.

    Written in vector instructions because LLVM keeps a maximum scalar unless NaN may be ignored.
    A block with a NaN may get NaN, which compares as neither above nor below a threshold: it never steers an index.
    """
    largest = np.float32(-np.inf)
    whole = length // BLOCK
    for block in range(whole):
        maxima[block] = _largest_of_block(row, block * BLOCK)
        if maxima[block] > largest:
            largest = maxima[block]
    if whole * BLOCK < length:
        rest = np.float32(-np.inf)
        for i in range(whole * BLOCK, length):
            if row[i] > rest:
                rest = row[i]
        maxima[whole] = rest
        if rest > largest:
            largest = rest
    return largest


@inlined
def exp2(x: Any) -> Any:
    """2^x for float32, relative error below 3e-7; 0 below −126. Vectorises, unlike a call of libm.

    The whole part becomes the exponent's bits; the fraction in [0, 1) goes through a degree-5 polynomial fitted to
    equal relative error (1.6e-7 at most, evaluated in float32).
    """
    lowest = np.float32(-126.5)
    clamped = x if x > lowest else lowest  # the built-in max also orders NaNs, which costs the vector form
    whole = np.floor(clamped)
    fraction = clamped - whole
    power = np.float32(1.87757669e-3)
    power = power * fraction + np.float32(8.98934063e-3)
    power = power * fraction + np.float32(5.58263175e-2)
    power = power * fraction + np.float32(2.40153611e-1)
    power = power * fraction + np.float32(6.93153083e-1)
    power = power * fraction + np.float32(0.99999994)
    scale: Any = _float_from_bits((np.int32(whole) + np.int32(127)) << np.int32(23))
    return power * scale


def split_count(n_tasks: int, seq_len: int, *, minimum_length: int) -> int:
    """Pieces to cut each sequence into so that every thread has work: about four tasks a thread.

    One piece where there are tasks enough already; no piece shorter than ``minimum_length``.
    """
    wanted = -(-4 * numba.get_num_threads() // max(n_tasks, 1))
    if wanted <= 4 and n_tasks % numba.get_num_threads() == 0:
        return 1
    return max(1, min(wanted, seq_len // minimum_length))
