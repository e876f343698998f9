"""Triton's interpreter, made to compute what a device computes."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np


@contextmanager
def device_arithmetic() -> Iterator[None]:
    """While kernels are interpreted: bf16 products, and infinities and NaN without numpy's warnings, as on a device."""
    _multiply_bfloat16()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
        yield


@cache
def _multiply_bfloat16() -> None:
    """Let the interpreter multiply bf16 matrices.

    It keeps bf16 as its bits in uint16, and its `dot` multiplies those as whole numbers (triton 3.5 to 3.9).
    """
    from triton import language
    from triton.runtime import interpreter

    original = interpreter.InterpreterBuilder.create_dot

    def widened(handle: Any) -> Any:
        if handle.dtype.scalar != language.bfloat16:
            return handle
        bits = handle.data.astype(np.uint32) << 16
        return interpreter.TensorHandle(bits.view(np.float32), language.float32)

    def create_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        return original(self, widened(a), widened(b), *rest)

    interpreter.InterpreterBuilder.create_dot = create_dot
