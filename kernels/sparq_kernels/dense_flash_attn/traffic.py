"""Bytes that flash-attn moves: K and V once, as torch's own flash kernels do."""

from sparq_kernels.dense_sdpa.traffic import traffic

__all__ = ["traffic"]
