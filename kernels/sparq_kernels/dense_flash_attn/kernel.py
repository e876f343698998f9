"""Dense decode through the flash-attn package, version 2 or (Hopper) 3: a baseline that serving engines use.

Its decode entry takes caches of any strides, so it reads this package's in place; how it splits the sequence is its own
choice.
"""

import importlib

from torch import Tensor

from sparq_kernels.cache import KVCache
from sparq_kernels.profiling import step_range
from sparq_kernels.third_party import check_plain, refusing


def decode(q: Tensor, cache: KVCache, *, variant: str | None = None) -> Tensor:
    """Dense attention of q [batch, n_heads, head_dim] over the cache; returns y like q.

    Args:
        q: of the cache's type.
        cache: keys and values.
        variant: ``3`` for FlashAttention 3, None for 2.

    Raises:
        ConfigError: a padded cache, one without row-major K, or what flash-attn has no kernel for.
    """
    name, module = ("dense-flash-attn-3", "flash_attn_interface") if variant else ("dense-flash-attn", "flash_attn")
    check_plain(name, cache)
    with refusing(name, cache):
        attend = importlib.import_module(module).flash_attn_with_kvcache
        with step_range("attend"):
            y: Tensor = attend(q[:, None], cache.any_keys.transpose(1, 2), cache.values.transpose(1, 2))
    return y.reshape(q.shape)
