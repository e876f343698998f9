"""SparQ inside Hugging Face models: decode steps through the kernels measured here, prefill as the model does it.

Needs transformers, the extra ``llm``; importing this package loads neither it nor torch.
"""

from typing import TYPE_CHECKING, Any

from sparq_perf.llm.errors import LlmError

if TYPE_CHECKING:
    from sparq_perf.llm.enabling import SparqHandle, enable_sparq

__all__ = ["LlmError", "SparqHandle", "enable_sparq"]


def __getattr__(name: str) -> Any:
    # On first use: torch and transformers take seconds to import.
    if name in ("SparqHandle", "enable_sparq"):
        from sparq_perf.llm import enabling

        return getattr(enabling, name)
    raise AttributeError(f"module 'sparq_perf.llm' has no attribute {name!r}")
