"""Logits of one tile of positions, from K's rows or from Kᵀ's rows, for every query head of a group."""

from typing import Any

import numpy as np

from sparq_kernels.cpu.jit import (
    FLOATS_PER_LINE,
    PREFETCH_BYTES,
    compiled,
    prefetch_element,
    prefetch_row,
)

# Kᵀ rows read side by side: enough memory streams in flight, and one pass over the partial scores for eight.
CHANNELS_A_PASS = 8
GROUP_SEGMENT = 128  # positions


@compiled
def scores_from_channels(scores: Any, kt: Any, channels: Any, weights: Any, start: int, stop: int) -> None:
    """scores[h, i] = Σ_c weights[h, c] · kt[channels[c], start + i].

    Args:
        scores: float32 [group, ≥ stop − start], overwritten.
        kt: float32 [head_dim, seq_len], rows contiguous.
        channels: int64 [n], n a multiple of `CHANNELS_A_PASS` (pad with any channel and weight 0).
        weights: float32 [group, n].
    """
    group = scores.shape[0]
    # A lone head reads each value once: whole rows of the tile suit the hardware's prefetcher (98 % of the
    # read bandwidth).
    # A group reads it g times: short segments keep it in L1 meanwhile, and ask for the next one (g = 4: 22.5 against
    # 18.4 GB/s on two Xeon cores).
    segment = stop - start if group == 1 else GROUP_SEGMENT
    for first in range(0, channels.shape[0], CHANNELS_A_PASS):
        for begin in range(start, stop, segment):
            end = min(begin + segment, stop)
            if group > 1:
                for n in range(first, first + CHANNELS_A_PASS):
                    for i in range(end, min(end + segment, stop), FLOATS_PER_LINE):
                        prefetch_element(kt[channels[n]], i)
            k0 = kt[channels[first], begin:end]
            k1 = kt[channels[first + 1], begin:end]
            k2 = kt[channels[first + 2], begin:end]
            k3 = kt[channels[first + 3], begin:end]
            k4 = kt[channels[first + 4], begin:end]
            k5 = kt[channels[first + 5], begin:end]
            k6 = kt[channels[first + 6], begin:end]
            k7 = kt[channels[first + 7], begin:end]
            for head in range(group):
                row = scores[head, begin - start : end - start]
                w = weights[head]
                w0, w1, w2, w3 = w[first], w[first + 1], w[first + 2], w[first + 3]
                w4, w5, w6, w7 = w[first + 4], w[first + 5], w[first + 6], w[first + 7]
                if first == 0:
                    row[:] = 0
                for i in range(end - begin):
                    row[i] += (w0 * k0[i] + w1 * k1[i] + w2 * k2[i] + w3 * k3[i]) + (
                        w4 * k4[i] + w5 * k5[i] + w6 * k6[i] + w7 * k7[i]
                    )


@compiled
def scores_from_rows(scores: Any, k: Any, weights: Any, start: int, stop: int) -> None:
    """scores[h, i] = Σ_c weights[h, c] · k[start + i, c].

    Args:
        scores: float32 [group, ≥ stop − start], overwritten.
        k: float32 [seq_len, head_dim], rows contiguous.
        weights: float32 [group, head_dim]: the query, or the query with all but the r channels zeroed. A row's
            cache lines come in whole, so the masked product costs no more memory than picking channels.
    """
    head_dim = k.shape[1]
    ahead = max(1, PREFETCH_BYTES // (4 * head_dim))
    for i in range(stop - start):
        prefetch_row(k, start + i + ahead)
        row = k[start + i]
        for head in range(scores.shape[0]):
            w = weights[head]
            total = np.float32(0)
            for c in range(head_dim):
                total += w[c] * row[c]
            scores[head, i] = total


def pad_channels(channels: Any, weights: Any) -> tuple[Any, Any]:
    """Channels and weights extended to a multiple of `CHANNELS_A_PASS` with weight 0.

    The last channel is repeated: its lines are in cache already, so padding reads nothing new.
    """
    missing = -channels.shape[-1] % CHANNELS_A_PASS
    if not missing:
        return channels, weights
    width = [(0, 0)] * (channels.ndim - 1)
    return (
        np.pad(channels, [*width, (0, missing)], mode="edge"),
        np.pad(weights, [(0, 0)] * (weights.ndim - 1) + [(0, missing)]),
    )
