"""Whether Triton interprets kernels in this process or compiles them: it decides once, when it is imported."""

import importlib
import os
import sys
from typing import Any

from sparq_kernels.registry import INTERPRET
from sparq_profiles import SparqPerfError

MEND = f"set {INTERPRET}=1 before Python starts, or count in a process of its own"


def use_interpreter() -> None:
    """Make Triton interpret kernels in this process; call it before triton is imported.

    Raises:
        SparqPerfError: triton is not installed, or was imported before without this, so that its own functions are
            already of the compiled kind.
    """
    imported_before = "triton" in sys.modules
    os.environ[INTERPRET] = "1"
    try:
        language = importlib.import_module("triton.language")
    except ImportError as error:
        raise SparqPerfError(f"counting needs triton, which cannot be imported: {error}: pip install triton") from None
    if imported_before and not kernel_is_interpreted(language.sum):
        raise SparqPerfError(f"counting: triton was imported to compile kernels, not to interpret them: {MEND}")


def kernel_is_interpreted(function: Any) -> bool:
    """Whether ``triton.jit`` made this kernel for the interpreter; looks through autotuning and heuristics."""
    interpreted = importlib.import_module("triton.runtime.interpreter").InterpretedFunction
    while function is not None and not isinstance(function, interpreted):
        function = getattr(function, "fn", None)
    return function is not None
