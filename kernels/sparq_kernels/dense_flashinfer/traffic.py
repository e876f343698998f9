"""Bytes that FlashInfer moves: K and V once."""

from sparq_kernels.dense_sdpa.traffic import traffic

__all__ = ["traffic"]
