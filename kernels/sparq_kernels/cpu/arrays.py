"""A cache's tensors as the numpy arrays that compiled kernels take."""

import math
from typing import Any

import numpy as np

from sparq_kernels.cache import KVCache

# Kernels work with base-2 logits, so that 2^x replaces e^x.
LOG2_E = math.log2(math.e)


def storage_arrays(cache: KVCache) -> tuple[Any, Any, Any]:
    """K [batch, n_kv_heads, ≥ seq_len, head_dim], Kᵀ [batch, n_kv_heads, head_dim, ≥ seq_len], V like K.

    Whole and contiguous, spare capacity included: numba then knows that rows have stride 1, without which their loops
    do not vectorise (a score pass takes 1.2 times as long). A copy that the layout does not keep is an empty array, for
    compiled code needs one of the right type.
    """
    cache.complete_transpose()
    k, kt, v = cache.storage
    absent = np.empty((1, 1, 1, 1), np.float32)
    return (absent if k is None else k.numpy(), absent if kt is None else kt.numpy(), v.numpy())
