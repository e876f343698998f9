"""Dense decode on a GPU: split-KV attention in one launch, the parts combined by the program that ends last."""

from torch import Tensor

from sparq_kernels.cache import KVCache
from sparq_kernels.gpu.attend import launch_attend
from sparq_kernels.gpu.devices import tiling_of
from sparq_kernels.gpu.tiling import Tiling


def decode(q: Tensor, cache: KVCache, *, tiling: Tiling | None = None) -> Tensor:
    """Dense attention of q [batch, n_heads, head_dim] over the cache; returns y like q.

    Args:
        q: contiguous, of the cache's type.
        cache: float16, bfloat16 or float32, in any K layout.
        tiling: launch parameters; the device's where None.
    """
    return launch_attend("attend", q, cache, tiling or tiling_of(cache.device))
