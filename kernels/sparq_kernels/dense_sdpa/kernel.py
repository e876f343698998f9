"""Dense decode through torch's scaled_dot_product_attention: the baseline that every torch user has.

Which of torch's kernels is fastest differs by device, shape and version, and torch's own choice is not always it. So on
a GPU each is an implementation of its own: the dense baseline of a record is the fastest of all that were measured.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from sparq_kernels.cache import KVCache
from sparq_kernels.profiling import step_range
from sparq_kernels.reference import valid_positions
from sparq_profiles import ConfigError

BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
GROUPED = "gqa"
REFUSALS = ("No available kernel", "No viable backend")  # torch's words, by version and device


def decode(q: Tensor, cache: KVCache, *, variant: str | None = None) -> Tensor:
    """Dense attention of q [batch, n_heads, head_dim] over the cache; returns y like q.

    The heads of a group enter as so many query rows of one KV head: the same result (decode needs no causal mask), and
    K and V are read once per group (2.4 times faster on a CPU at g = 4). The variant ``gqa`` leaves that to torch's
    ``enable_gqa`` instead.

    Args:
        q: of the cache's type.
        cache: keys and values.
        variant: ``flash``, ``cudnn`` or ``efficient`` for that backend alone, ``gqa``, or None for torch's choice.

    Raises:
        ConfigError: the backend has no kernel for this request.
    """
    keys, values = cache.any_keys, cache.values
    mask = None
    if cache.is_padded:
        mask = valid_positions(keys, cache.valid_start)[:, None, None]
    rows = q[:, :, None] if variant == GROUPED else q.reshape(q.shape[0], cache.n_kv_heads, -1, q.shape[2])
    backend: AbstractContextManager[None] = nullcontext()
    if variant in BACKENDS:
        backend = sdpa_kernel(BACKENDS[variant])
    with step_range("attend"), backend:
        try:
            y = scaled_dot_product_attention(rows, keys, values, attn_mask=mask, enable_gqa=variant == GROUPED)
        except RuntimeError as error:
            if not any(words in str(error) for words in REFUSALS):
                raise
            raise ConfigError(
                f"dense-sdpa: torch {torch.__version__} has no {variant} kernel for {cache.dtype}, head_dim "
                f"{cache.head_dim}{', padded' if mask is not None else ''} on {cache.device.type}: use dense-sdpa"
            ) from error
    if mask is not None:
        y = torch.where(mask.any(-1, keepdim=True), y, torch.zeros_like(y))
    return y.reshape(q.shape)
