"""Exact top-k of a stream of scores in one pass, without a sort; ties go to the lower index.

Scores above a running threshold enter a buffer. When it is full, quickselect finds its k-th largest, which
becomes the threshold, and everything below leaves. Few of a long sequence's scores pass (about k·ln(S/k) for
scores in random order), and whole blocks are skipped on one vectorised maximum. The alternatives, a histogram over
all scores or a sort, pass over S scores twice or S·log S times.
"""

from typing import Any

from sparq_kernels.cpu.jit import BLOCK, compiled

SPARE = 512  # buffer beyond k: prunes are this rare at least


@compiled
def buffer_length(k: int) -> int:
    """Candidates that `push_tile` needs room for."""
    return 2 * k + SPARE


@compiled
def kth_largest(work: Any, n: int, k: int) -> Any:
    """The k-th largest of work[:n] (1-based), by Hoare's quickselect; permutes work[:n]."""
    left, right, target = 0, n - 1, k - 1
    while left < right:
        # Median of three as pivot: sorted input, common in a pruned buffer, stays linear.
        a, b, c = work[left], work[(left + right) // 2], work[right]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = left, right
        while i <= j:
            while work[i] > pivot:
                i += 1
            while work[j] < pivot:
                j -= 1
            if i <= j:
                work[i], work[j] = work[j], work[i]
                i += 1
                j -= 1
        if target <= j:
            right = j
        elif target >= i:
            left = i
        else:
            break
    return work[target]


@compiled
def prune(scores: Any, indices: Any, work: Any, count: int, k: int) -> Any:
    """Keep the k largest of the first ``count`` candidates, in index order; returns the k-th largest.

    Candidates are in ascending index order, so the equals kept are those of lowest index.
    """
    for i in range(count):
        work[i] = scores[i]
    threshold = kth_largest(work, count, k)
    above = 0
    for i in range(count):
        if scores[i] > threshold:
            above += 1
    equals = k - above
    kept = 0
    for i in range(count):
        if scores[i] > threshold or (scores[i] == threshold and equals > 0):
            if scores[i] == threshold:
                equals -= 1
            scores[kept] = scores[i]
            indices[kept] = indices[i]
            kept += 1
    return threshold


@compiled
def push_tile(
    tile: Any, length: int, maxima: Any, first_index: int,
    scores: Any, indices: Any, work: Any, count: int, k: int, threshold: Any,
) -> tuple[int, Any]:  # fmt: skip
    """Take a tile's scores into the candidates.

    Args:
        tile: float32 [≥ length]; position ``first_index + i`` has score ``tile[i]``. Tiles come in ascending order.
        maxima: float32, largest score of each block of the tile, from `block_maxima`.
        scores, indices, work: candidate buffers of `buffer_length(k)`.
        count: candidates held; threshold: scores at or below it cannot be among the k (−inf at first).
        k: how many to keep, at least 1.

    Returns:
        The new count and threshold.
    """
    capacity = scores.shape[0]
    for block in range(0, length, BLOCK):
        stop = min(block + BLOCK, length)
        if maxima[block // BLOCK] <= threshold:
            continue
        for i in range(block, stop):
            if tile[i] > threshold:
                if count == capacity:
                    threshold = prune(scores, indices, work, count, k)
                    count = k
                    if tile[i] <= threshold:
                        continue
                scores[count] = tile[i]
                indices[count] = first_index + i
                count += 1
    return count, threshold
