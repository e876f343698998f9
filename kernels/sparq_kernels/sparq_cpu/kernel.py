"""SparQ decode on a CPU in three launches: score, select, gather.

score    A task is one KV head of one sequence, or a piece of it where there are fewer heads than threads. It picks
         the r channels, then runs over the sequence in tiles whose partial scores stay in L1 and L2: Kᵀ rows in,
         softmax statistics and the piece's exact top-k candidates out. Scores are spilled only for the ``softmax``
         group rule, whose sum needs every head's final statistics.
select   merges the pieces: statistics, and the top-k of the candidates.
gather   reads K and V at the selected positions. The approximate logits that the coverage needs are computed again
         from the gathered keys, r products each, instead of being kept for every candidate and head.
"""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from sparq_kernels.cache import KVCache
from sparq_kernels.cpu.arrays import LOG2_E, storage_arrays
from sparq_kernels.cpu.jit import (
    BLOCK,
    block_maxima,
    compiled,
    compiled_parallel,
    exp2,
    prefetch_row,
    split_count,
)
from sparq_kernels.cpu.scores import CHANNELS_A_PASS, scores_from_channels, scores_from_rows
from sparq_kernels.cpu.top_k import buffer_length, prune, push_tile
from sparq_kernels.dense_cpu.kernel import decode as dense_decode
from sparq_kernels.profiling import step_range
from sparq_profiles import SparqConfig

TILE = 4096
MINIMUM_SPLIT = 4096
ROWS_AHEAD = 4


def decode(q: Tensor, cache: KVCache, config: SparqConfig) -> Tensor:
    """SparQ attention of q [batch, n_heads, head_dim] over a float32 cache; returns y like q."""
    if config.top_k >= cache.seq_len:
        return dense_decode(q, cache)
    batch, n_heads, head_dim = q.shape
    n_kv_heads, seq_len = cache.n_kv_heads, cache.seq_len
    tasks, group = batch * n_kv_heads, n_heads // n_kv_heads
    query = q.numpy().reshape(batch, n_kv_heads, group, head_dim)
    k, kt, v = storage_arrays(cache)
    starts = cache.valid_start.numpy()
    splits = split_count(tasks, seq_len, minimum_length=MINIMUM_SPLIT)
    # For one head the softmax keeps the logits' order, so only a group needs the spill.
    spill = config.group_score == "softmax" and group > 1

    masked = np.empty((tasks, group, head_dim), np.float32)
    largest = np.empty((tasks, splits, group), np.float32)
    total = np.empty((tasks, splits, group), np.float32)
    candidates = np.empty((tasks, splits, config.top_k), np.float32)
    positions = np.empty((tasks, splits, config.top_k), np.int64)
    counts = np.zeros((tasks, splits), np.int64)
    spilled = np.empty((tasks, group, seq_len if spill else 1), np.float32)
    selected = np.empty((tasks, config.top_k), np.int64)
    n_selected = np.empty(tasks, np.int64)
    output = torch.empty_like(q)

    with step_range("score"):
        _score(
            query, k, kt, cache.keys_transposed is None, seq_len, starts, config.rank, config.top_k,
            config.local_window, spill, splits, masked, largest, total, candidates, positions, counts, spilled,
        )  # fmt: skip
    with step_range("select"):
        _select(
            n_kv_heads, seq_len, starts, config.top_k, config.local_window, spill, largest, total, candidates,
            positions, counts, spilled, selected, n_selected,
        )  # fmt: skip
    with step_range("gather"):
        _gather(
            query, masked, k, kt, cache.keys is not None, v, cache.mean_value.numpy(), seq_len, starts,
            config.mean_value, largest, total, selected, n_selected, output.numpy().reshape(query.shape),
        )  # fmt: skip
    return output


@compiled
def _choose_channels(query: Any, rank: int, channels: Any, weights: Any, masked: Any) -> None:
    """The r channels of largest Σ|q| over the group, and each head's query there over its temperature.

    Args:
        query: float32 [group, head_dim].
        channels: int64 [r padded], ascending, the last one repeated in the padding.
        weights: float32 [group, r padded], base-2 logits' weights, 0 in the padding.
        masked: float32 [group, head_dim], the same weights in their channels, 0 elsewhere.
    """
    group, head_dim = query.shape
    magnitude = np.zeros(head_dim, np.float32)
    order = np.empty(head_dim, np.int64)
    for c in range(head_dim):
        order[c] = c
        for head in range(group):
            magnitude[c] += abs(query[head, c])
    if rank < head_dim:
        prune(magnitude, order, np.empty(head_dim, np.float32), head_dim, rank)
    for n in range(channels.shape[0]):
        channels[n] = order[min(n, rank - 1)]
    masked[:] = 0
    weights[:] = 0
    for head in range(group):
        kept = np.float32(0)
        whole = np.float32(0)
        for n in range(rank):
            kept += abs(query[head, order[n]])
        for c in range(head_dim):
            whole += abs(query[head, c])
        if kept > 0:
            factor = np.float32(LOG2_E) / np.sqrt(np.float32(head_dim) * kept / whole)
            for n in range(rank):
                weights[head, n] = query[head, order[n]] * factor
                masked[head, order[n]] = weights[head, n]


@compiled
def _add_statistics(row: Any, length: int, tile_largest: Any, largest: Any, total: Any) -> tuple[Any, Any]:
    """Softmax statistics (maximum, sum of 2^(s − maximum)) extended by a tile of base-2 logits."""
    if tile_largest > largest:
        total *= exp2(largest - tile_largest)
        largest = tile_largest
    tile_total = np.float32(0)
    for i in range(length):
        tile_total += exp2(row[i] - largest)
    return largest, total + tile_total


@compiled_parallel
def _score(
    query: Any, k: Any, kt: Any, by_rows: bool, seq_len: int, starts: Any, rank: int, top_k: int, local_window: int,
    spill: bool, splits: int, masked: Any, largest: Any, total: Any, candidates: Any, positions: Any, counts: Any,
    spilled: Any,
) -> None:  # fmt: skip
    batch, n_kv_heads, group, head_dim = query.shape
    padded = (rank + CHANNELS_A_PASS - 1) // CHANNELS_A_PASS * CHANNELS_A_PASS
    for piece in prange(batch * n_kv_heads * splits):
        task, split = piece // splits, piece % splits
        b, h = task // n_kv_heads, task % n_kv_heads
        channels = np.empty(padded, np.int64)
        weights = np.empty((group, padded), np.float32)
        own_masked = np.empty((group, head_dim), np.float32)
        _choose_channels(query[b, h], rank, channels, weights, own_masked)
        if split == 0:
            masked[task] = own_masked
        top = np.full(group, -np.inf, np.float32)
        summed = np.zeros(group, np.float32)
        valid = seq_len - starts[b]
        if valid > top_k:  # else every valid position is selected, whatever its score
            first = starts[b] + valid * split // splits
            last = starts[b] + valid * (split + 1) // splits
            wanted = top_k - local_window
            open_end = seq_len - local_window  # positions from here on are selected anyway
            scores = np.empty((group, min(TILE, last - first)), np.float32)
            shared = np.empty(scores.shape[1], np.float32)
            maxima = np.empty(TILE // BLOCK + 1, np.float32)
            kept = np.empty(buffer_length(wanted), np.float32)
            kept_positions = np.empty(kept.shape[0], np.int64)
            work = np.empty(kept.shape[0], np.float32)
            count = 0
            threshold = np.float32(-np.inf)
            for start in range(first, last, TILE):
                stop = min(start + TILE, last)
                length = stop - start
                if by_rows:
                    scores_from_rows(scores, k[b, h], own_masked, start, stop)
                else:
                    scores_from_channels(scores, kt[b, h], channels, weights, start, stop)
                for head in range(group):
                    tile_largest = block_maxima(scores[head], length, maxima)
                    top[head], summed[head] = _add_statistics(
                        scores[head], length, tile_largest, top[head], summed[head]
                    )
                if spill:
                    for head in range(group):
                        for i in range(length):
                            spilled[task, head, start + i] = scores[head, i]
                elif wanted > 0 and start < open_end:
                    open_length = min(length, open_end - start)
                    if group == 1:
                        tile = scores[0]
                    else:
                        tile = shared
                        for i in range(open_length):
                            tile[i] = scores[0, i]
                        for head in range(1, group):
                            for i in range(open_length):
                                tile[i] += scores[head, i]
                    if group > 1 or open_length < length:
                        block_maxima(tile, open_length, maxima)
                    count, threshold = push_tile(
                        tile, open_length, maxima, start, kept, kept_positions, work, count, wanted, threshold
                    )
            if count > wanted:
                prune(kept, kept_positions, work, count, wanted)
                count = wanted
            for i in range(count):
                candidates[task, split, i] = kept[i]
                positions[task, split, i] = kept_positions[i]
            counts[task, split] = count
        largest[task, split] = top
        total[task, split] = summed


@compiled
def _merge_statistics(largest: Any, total: Any) -> None:
    """Fold the pieces' statistics [splits, group] into piece 0."""
    splits, group = largest.shape
    for head in range(group):
        top = largest[0, head]
        for split in range(1, splits):
            top = max(top, largest[split, head])
        summed = np.float32(0)
        for split in range(splits):
            if total[split, head] > 0:
                summed += total[split, head] * exp2(largest[split, head] - top)
        largest[0, head] = top
        total[0, head] = summed


@compiled_parallel
def _select(
    n_kv_heads: int, seq_len: int, starts: Any, top_k: int, local_window: int, spill: bool, largest: Any, total: Any,
    candidates: Any, positions: Any, counts: Any, spilled: Any, selected: Any, n_selected: Any,
) -> None:  # fmt: skip
    tasks, splits, group = largest.shape
    for task in prange(tasks):
        start = starts[task // n_kv_heads]
        valid = seq_len - start
        if valid <= top_k:
            for i in range(valid):
                selected[task, i] = start + i
            n_selected[task] = valid
        else:
            _merge_statistics(largest[task], total[task])
            wanted = top_k - local_window
            length = max(buffer_length(wanted), splits * top_k)
            kept = np.empty(length, np.float32)
            kept_positions = np.empty(length, np.int64)
            work = np.empty(length, np.float32)
            count = 0
            if spill and wanted > 0:
                threshold = np.float32(-np.inf)
                tile = np.empty(TILE, np.float32)
                maxima = np.empty(TILE // BLOCK + 1, np.float32)
                for first in range(start, seq_len - local_window, TILE):
                    size = min(TILE, seq_len - local_window - first)
                    tile[:size] = 0
                    for head in range(group):
                        share = np.float32(1) / total[task, 0, head]
                        top = largest[task, 0, head]
                        for i in range(size):
                            tile[i] += exp2(spilled[task, head, first + i] - top) * share
                    block_maxima(tile, size, maxima)
                    count, threshold = push_tile(
                        tile, size, maxima, first, kept, kept_positions, work, count, wanted, threshold
                    )
            else:
                for split in range(splits):
                    for i in range(counts[task, split]):
                        kept[count] = candidates[task, split, i]
                        kept_positions[count] = positions[task, split, i]
                        count += 1
            if count > wanted:
                prune(kept, kept_positions, work, count, wanted)
                count = wanted
            # Fewer than wanted only where scores are NaN or −inf, which no threshold lets in.
            for i in range(count):
                selected[task, i] = kept_positions[i]
            for i in range(local_window):
                selected[task, count + i] = seq_len - local_window + i
            n_selected[task] = count + local_window


@compiled_parallel
def _gather(
    query: Any, masked: Any, k: Any, kt: Any, has_rows: bool, v: Any, mean: Any, seq_len: int, starts: Any,
    mean_value: bool, largest: Any, total: Any, selected: Any, n_selected: Any, y: Any,
) -> None:  # fmt: skip
    batch, n_kv_heads, group, head_dim = query.shape
    scale = np.float32(LOG2_E) / np.sqrt(np.float32(head_dim))
    for task in prange(batch * n_kv_heads):
        b, h = task // n_kv_heads, task % n_kv_heads
        n = n_selected[task]
        logits = np.empty((group, max(n, 1)), np.float32)
        coverage = np.zeros(group, np.float32)
        key = np.empty(head_dim, np.float32)
        # With every valid position selected nothing is left to the mean, whatever rounding says.
        blend = mean_value and n < seq_len - starts[b]
        for i in range(n):
            position = selected[task, i]
            # Rows picked by index defeat the hardware's prefetcher: name the ones to come.
            prefetch_row(v[b, h], position)
            if has_rows:
                prefetch_row(k[b, h], selected[task, min(i + ROWS_AHEAD, n - 1)])
                row = k[b, h, position]
            else:
                for c in range(head_dim):
                    key[c] = kt[b, h, c, position]
                row = key
            for head in range(group):
                exact = np.float32(0)
                for c in range(head_dim):
                    exact += query[b, h, head, c] * row[c]
                logits[head, i] = exact * scale
            if blend:
                for head in range(group):
                    approximate = np.float32(0)
                    for c in range(head_dim):
                        approximate += masked[task, head, c] * row[c]
                    coverage[head] += exp2(approximate - largest[task, 0, head])
        for head in range(group):
            out = y[b, h, head]
            out[:] = 0
            top = np.float32(-np.inf)
            for i in range(n):
                top = max(top, logits[head, i])
            summed = np.float32(0)
            for i in range(n):
                logits[head, i] = exp2(logits[head, i] - top)
                summed += logits[head, i]
            if blend:
                coverage[head] = min(coverage[head] / total[task, 0, head], np.float32(1))
                summed /= max(coverage[head], np.float32(1e-30))
            for i in range(n):
                share = logits[head, i] / summed
                row = v[b, h, selected[task, i]]
                for c in range(head_dim):
                    out[c] += share * row[c]
            if blend:
                rest = np.float32(1) - coverage[head]
                for c in range(head_dim):
                    out[c] += rest * mean[b, h, c]
