"""The KV cache of one layer, in the three K layouts, with the running mean of V."""

from collections.abc import Callable

import torch
from torch import Tensor

from sparq_kernels.memory import allocate, padded_stride
from sparq_profiles import AttentionShape, ConfigError
from sparq_profiles.shape import K_LAYOUTS, KLayout

GROWTH = 1.25
MINIMUM_SPARE = 64
APPENDS = ("auto", "torch", "triton")


class KVCache:
    """K, Kᵀ, V and the mean of V for one layer; made by `from_tensors`, extended by `append`.

    ``two_copies`` keeps K both row-major and channel-major (1.5 times the dense bytes), ``row_major`` K alone,
    ``channel_major`` Kᵀ alone. Rows of Kᵀ are padded apart, see `padded_stride`. With two copies the newest tokens
    reach Kᵀ in whole tiles, or when somebody asks for all of it.

    Attributes:
        k_layout: which copies of K exist.
        batch, n_kv_heads, head_dim, dtype, device: fixed for the life of the cache.
        seq_len: tokens held.
        transposed_len: tokens that Kᵀ holds.
        is_padded: whether any sequence has invalid positions on its left.
        valid_start: int64 [batch], first valid position of each left-padded sequence.
        mean_value: [batch, n_kv_heads, head_dim], mean of V over valid positions, in fp32 (fp64 for fp64).
    """

    def __init__(
        self,
        batch: int,
        n_kv_heads: int,
        head_dim: int,
        *,
        capacity: int,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        k_layout: KLayout = "two_copies",
        valid_start: Tensor | None = None,
    ) -> None:
        """An empty cache with room for ``capacity`` tokens; it grows by itself beyond that."""
        if k_layout not in K_LAYOUTS:
            raise ConfigError(f"KVCache: k_layout is {k_layout!r}: choose one of {', '.join(K_LAYOUTS)}")
        self.k_layout: KLayout = k_layout
        self.batch, self.n_kv_heads, self.head_dim = batch, n_kv_heads, head_dim
        self.dtype, self.device = dtype, torch.device(device)
        self.seq_len = self.transposed_len = 0
        # Known on the host once and for all: asking the device in every decode step would wait for it.
        self.is_padded = valid_start is not None and bool((valid_start > 0).any())
        if valid_start is None:
            valid_start = torch.zeros(batch, dtype=torch.int64)
        self.valid_start = valid_start.to(self.device, torch.int64, copy=True)
        mean_dtype = torch.float64 if dtype == torch.float64 else torch.float32
        self.mean_value = torch.zeros(batch, n_kv_heads, head_dim, dtype=mean_dtype, device=self.device)
        self._arrivals: Tensor | None = None
        self._allocate(capacity)

    @classmethod
    def from_tensors(
        cls,
        k: Tensor,
        v: Tensor,
        *,
        k_layout: KLayout = "two_copies",
        valid_start: Tensor | None = None,
        capacity: int | None = None,
    ) -> "KVCache":
        """A cache holding copies of existing keys and values; padding becomes zeros.

        Args:
            k, v: [batch, n_kv_heads, seq_len, head_dim].
            k_layout: which copies of K to keep.
            valid_start: int [batch], first valid position of each left-padded sequence.
            capacity: tokens to leave room for; at least seq_len.

        Raises:
            ConfigError: shapes or types that differ, or a valid_start outside the sequence.
        """
        if k.ndim != 4 or k.shape != v.shape or k.dtype != v.dtype:
            raise ConfigError(
                f"KVCache: k is {k.dtype} {tuple(k.shape)} and v {v.dtype} {tuple(v.shape)}: both must be "
                "[batch, n_kv_heads, seq_len, head_dim] of one type"
            )
        batch, n_kv_heads, seq_len, head_dim = k.shape
        if valid_start is not None:
            if valid_start.shape != (batch,) or valid_start.is_floating_point():
                raise ConfigError(
                    f"KVCache: valid_start is {valid_start.dtype} {tuple(valid_start.shape)}: "
                    f"it must hold one whole number for each of the {batch} sequences"
                )
            if batch and (int(valid_start.min()) < 0 or int(valid_start.max()) > seq_len):
                raise ConfigError(f"KVCache: valid_start is {valid_start.tolist()}: each must lie in 0 … {seq_len}")
        return cls.from_heads(
            lambda sequence, head: (k[sequence, head], v[sequence, head]),
            (batch, n_kv_heads, seq_len, head_dim),
            dtype=k.dtype,
            device=k.device,
            k_layout=k_layout,
            valid_start=valid_start,
            capacity=capacity,
        )

    @classmethod
    def from_heads(
        cls,
        make_head: Callable[[int, int], tuple[Tensor, Tensor]],
        size: tuple[int, int, int, int],
        *,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        k_layout: KLayout = "two_copies",
        valid_start: Tensor | None = None,
        capacity: int | None = None,
    ) -> "KVCache":
        """A cache filled head by head, so that K and V need not exist a second time while it is built.

        Args:
            make_head: (sequence, head) → K and V of that head, each [seq_len, head_dim].
            size: batch, n_kv_heads, seq_len, head_dim.
            dtype, device, k_layout, valid_start, capacity: as `from_tensors`.
        """
        batch, n_kv_heads, seq_len, head_dim = size
        cache = cls(
            batch,
            n_kv_heads,
            head_dim,
            capacity=max(capacity or 0, seq_len),
            dtype=dtype,
            device=device,
            k_layout=k_layout,
            valid_start=valid_start,
        )
        cache.seq_len = cache.transposed_len = seq_len
        for sequence in range(batch):
            start = int(cache.valid_start[sequence])
            for head in range(n_kv_heads):
                k, v = (tensor.detach() for tensor in make_head(sequence, head))
                cache._v[sequence, head, :seq_len] = v
                if cache._k is not None:
                    cache._k[sequence, head, :seq_len] = k
                if cache._kt is not None:
                    cache._kt[sequence, head, :, :seq_len] = k.T
                # Padding is kept as zeros: torch's attention gives it weight 0, and 0 times a NaN left there is NaN.
                cache._v[sequence, head, :start] = 0
                if cache._k is not None:
                    cache._k[sequence, head, :start] = 0
                if cache._kt is not None:
                    cache._kt[sequence, head, :, :start] = 0
                if start < seq_len:
                    cache.mean_value[sequence, head] = v[start:].mean(0, dtype=cache.mean_value.dtype)
        return cache

    @property
    def capacity(self) -> int:
        """Tokens that fit before the cache grows."""
        return self._v.shape[2]

    @property
    def keys(self) -> Tensor | None:
        """K, [batch, n_kv_heads, seq_len, head_dim] with contiguous rows; None for ``channel_major``."""
        return None if self._k is None else self._k[:, :, : self.seq_len]

    @property
    def keys_transposed(self) -> Tensor | None:
        """Kᵀ of every token, [batch, n_kv_heads, head_dim, seq_len] with contiguous rows; None for ``row_major``."""
        self.complete_transpose()
        return None if self._kt is None else self._kt[..., : self.seq_len]

    @property
    def any_keys(self) -> Tensor:
        """K as [batch, n_kv_heads, seq_len, head_dim], a strided view of Kᵀ where no row-major copy exists."""
        keys = self.keys
        if keys is None:
            transposed = self.keys_transposed
            assert transposed is not None
            keys = transposed.transpose(-1, -2)
        return keys

    @property
    def values(self) -> Tensor:
        """V, [batch, n_kv_heads, seq_len, head_dim] with contiguous rows."""
        return self._v[:, :, : self.seq_len]

    @property
    def storage(self) -> tuple[Tensor | None, Tensor | None, Tensor]:
        """K, Kᵀ and V with their spare capacity, each contiguous: what compiled kernels index directly.

        Kᵀ holds ``transposed_len`` tokens; `complete_transpose` brings in the rest.
        """
        return self._k, self._kt, self._v

    @property
    def arrivals(self) -> Tensor:
        """Zeros, int32 [batch · n_kv_heads]: how many programs of a KV head are done; a kernel leaves zeros behind.

        They belong to the cache because kernels that run at the same time must not share them.
        """
        if self._arrivals is None:
            self._arrivals = torch.zeros(self.batch * self.n_kv_heads, dtype=torch.int32, device=self.device)
        return self._arrivals

    def complete_transpose(self) -> None:
        """Bring every token into Kᵀ: for implementations that read no other copy of K in the score step."""
        done, self.transposed_len = self.transposed_len, self.seq_len
        if self._kt is not None and self._k is not None and done < self.seq_len:
            self._kt[..., done : self.seq_len] = self._k[:, :, done : self.seq_len].mT

    @property
    def allocated_bytes(self) -> int:
        """Memory held, spare capacity included."""
        tensors = (self._k, self._kt, self._v, self.mean_value)
        return sum(t.numel() * t.element_size() for t in tensors if t is not None)

    def shape_for(self, n_heads: int) -> AttentionShape:
        """Shape of a decode step on this cache with ``n_heads`` query heads."""
        dtype = str(self.dtype).removeprefix("torch.")
        return AttentionShape(
            self.batch,
            self.seq_len,
            n_heads,
            self.n_kv_heads,
            self.head_dim,
            dtype,  # type: ignore[arg-type]
        )

    def append(self, k: Tensor, v: Tensor, *, implementation: str = "auto") -> None:
        """Add one token to every sequence: K, Kᵀ, V and the running mean of V.

        Args:
            k, v: [batch, n_kv_heads, head_dim], or the same with a token axis of 1 before head_dim.
            implementation: ``triton``, one launch; ``torch``; or ``auto``: ``triton`` on a GPU where the type allows.

        Raises:
            ConfigError: another shape or type, or an unknown implementation.
        """
        if implementation not in APPENDS:
            raise ConfigError(f"KVCache.append: unknown implementation {implementation!r}: known: {', '.join(APPENDS)}")
        expected = (self.batch, self.n_kv_heads, self.head_dim)
        k, v = (t.detach().squeeze(2) if t.ndim == 4 and t.shape[2] == 1 else t.detach() for t in (k, v))
        if k.shape != expected or v.shape != expected or k.dtype != self.dtype or v.dtype != self.dtype:
            raise ConfigError(
                f"KVCache.append: k is {k.dtype} {tuple(k.shape)} and v {v.dtype} {tuple(v.shape)}: both must be "
                f"{self.dtype} {expected}"
            )
        position = self.seq_len
        if position == self.capacity:
            self._grow()
        if implementation == "auto":
            implementation = "triton" if self.device.type == "cuda" and self.dtype != torch.float64 else "torch"
        if implementation == "triton":
            from sparq_kernels.gpu.append import append_token

            append_token(self, k.contiguous(), v.contiguous())
            return
        if self._k is not None:
            self._k[:, :, position] = k
        elif self._kt is not None:
            self._kt[..., position] = k
            self.transposed_len += 1
        self._v[:, :, position] = v
        self.seq_len += 1
        # A cache built empty may still be filling a sequence's padding: that enters no mean.
        count = (self.seq_len - self.valid_start)[:, None, None]
        step = (v.to(self.mean_value.dtype) - self.mean_value) / count.clamp(min=1)
        self.mean_value += torch.where(count > 0, step, torch.zeros_like(step))

    def _allocate(self, capacity: int) -> None:
        rows = (self.batch, self.n_kv_heads, max(capacity, 1), self.head_dim)
        self._v = allocate(rows, self.dtype, self.device)
        self._k = None
        self._kt = None
        if self.k_layout != "channel_major":
            self._k = allocate(rows, self.dtype, self.device)
        if self.k_layout != "row_major":
            stride = padded_stride(rows[2], self.dtype.itemsize)
            self._kt = allocate((*rows[:2], self.head_dim, stride), self.dtype, self.device)

    def _grow(self) -> None:
        k, kt, v, seq_len = self._k, self._kt, self._v, self.seq_len
        self._allocate(max(int(seq_len * GROWTH), seq_len + MINIMUM_SPARE))
        self._v[:, :, :seq_len] = v[:, :, :seq_len]
        if k is not None and self._k is not None:
            self._k[:, :, :seq_len] = k[:, :, :seq_len]
        if kt is not None and self._kt is not None:
            self._kt[..., :seq_len] = kt[..., :seq_len]
