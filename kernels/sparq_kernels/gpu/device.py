"""Device functions that several kernels use: exact top-k of values on chip, and the choice of channels."""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
CHANNELS_A_SLICE = tl.constexpr(32)


@triton.jit
def ordered_keys(values, usable):
    """fp32 → uint32 in the same order, 0 where not usable. −0 equals +0; NaN has a place, so no index depends on it."""
    bits = tl.where(values == 0.0, 0.0, values).to(tl.int32, bitcast=True)
    flip = tl.where(bits < 0, -1, -2147483648).to(tl.uint32, bitcast=True)
    keys = bits.to(tl.uint32, bitcast=True) ^ flip
    return tl.where(usable, tl.maximum(keys, 1), 0)


@triton.jit
def count_three(keys, lowest, shift):
    """How many keys reach lowest + 1, 2 and 3 · 2^shift, in three fields of 21 bits: one reduction instead of three."""
    one = tl.full([], 1, tl.uint32)
    reach_1 = (keys >= (lowest | (one << shift))).to(tl.int64)
    reach_2 = (keys >= (lowest | ((one + one) << shift))).to(tl.int64)
    reach_3 = (keys >= (lowest | ((one + one + one) << shift))).to(tl.int64)
    return tl.sum(reach_1 + (reach_2 << 21) + (reach_3 << 42), axis=0)


@triton.jit
def next_digit(counts, lowest, reached, above, wanted, shift):
    """The base-4 digit at ``shift`` of the largest threshold that ``wanted`` keys still reach.

    Returns the threshold with that digit, how many keys reach it, and how many reach the next greater digit's.
    """
    count_1 = (counts & 0x1FFFFF).to(tl.int32)
    count_2 = ((counts >> 21) & 0x1FFFFF).to(tl.int32)
    count_3 = (counts >> 42).to(tl.int32)
    digit = (count_1 >= wanted).to(tl.uint32) + (count_2 >= wanted).to(tl.uint32) + (count_3 >= wanted).to(tl.uint32)
    now = tl.where(digit == 3, count_3, tl.where(digit == 2, count_2, tl.where(digit == 1, count_1, reached)))
    next_up = tl.where(digit == 2, count_3, tl.where(digit == 1, count_2, tl.where(digit == 0, count_1, above)))
    return lowest | (digit << shift), now, next_up


@triton.jit
def threshold(keys, wanted):
    """A key that exactly ``wanted`` keys reach, or the largest that at least ``wanted`` reach where ties forbid that.

    keys: uint32 [n], n < 2^21. A base-4 digit a round, 16 rounds at most, fewer where the count comes out early.
    """
    lowest = tl.full([], 0, tl.uint32)
    reached = tl.full([], 2147483647, tl.int32)
    shift = tl.full([], 30, tl.int32)
    while (shift >= 0) & (reached != wanted):
        at = shift.to(tl.uint32)
        lowest, reached, _ = next_digit(count_three(keys, lowest, at), lowest, reached, 0, wanted, at)
        shift -= 2
    return lowest


@triton.jit
def taken_slots(keys, lowest, equal_wanted, greater_before, equal_before):
    """Slots of the keys that are taken, in order: those greater than ``lowest``, and the first ones equal to it.

    Args:
        keys: uint32 [n], n ≤ 2^14.
        lowest: from `threshold`.
        equal_wanted: how many keys equal to it are taken, the first ones.
        greater_before, equal_before: how many came before these keys.

    Returns:
        slot, int32 [n], −1 for keys left out; and the counts of greater and equal keys, these included. Not a mask: one
        of bools goes to its store's layout byte by byte, through local memory.
    """
    greater = (keys > lowest).to(tl.int32)
    equal = ((keys == lowest) & (keys > 0)).to(tl.int32)
    both = greater | (equal << 16)
    through = tl.cumsum(both, axis=0)
    before = through - both
    greater_before_each = greater_before + (before & 0xFFFF)
    equal_before_each = equal_before + (before >> 16)
    taken = (greater > 0) | ((equal > 0) & (equal_before_each < equal_wanted))
    slot = greater_before_each + tl.minimum(equal_before_each, equal_wanted)
    total = tl.sum(both, axis=0)
    return tl.where(taken, slot, -1), greater_before + (total & 0xFFFF), equal_before + (total >> 16)


@triton.jit
def count_ahead(size, channel, other_size, other):
    """How many others come before each channel: those of greater size, and of equal size with a lower index."""
    ahead = (other_size[None, :] > size[:, None]) | (
        (other_size[None, :] == size[:, None]) & (other[None, :] < channel[:, None])
    )
    # Summed as fp32, exactly: a sum of bools in whole numbers is narrowed to bytes that pass through local memory.
    return tl.sum(ahead.to(tl.float32), axis=1)


@triton.jit
def channel_places(q, channel, HEAD_DIM: tl.constexpr, SLICED: tl.constexpr):
    """Each channel's place among all by Σ|q| over the group, the largest first, ties to the lower index.

    q: fp32 [group padded, head_dim padded], zeros in the padding; → int32 [head_dim padded], padding behind the rest.
    """
    # Magnitudes are not negative, so that their bits, NaN's too, order as integers do.
    size = tl.sum(tl.abs(q), axis=0).to(tl.int32, bitcast=True)
    size = tl.where(channel < HEAD_DIM, size, -1)
    if SLICED:
        # Where d × d comparisons would not fit the registers beside the rest. A slice is taken as a sum with zeros, of
        # whole numbers, so that every slice and ``size`` itself agree to the bit: places must be a permutation.
        SLICES: tl.constexpr = channel.shape[0] // CHANNELS_A_SLICE
        by_slice = tl.reshape(size, [SLICES, CHANNELS_A_SLICE])
        place = tl.zeros(channel.shape, tl.float32)
        for n in range(SLICES):
            chosen = tl.arange(0, SLICES)[:, None] == n
            other_size = tl.sum(tl.where(chosen, by_slice, 0), axis=0)
            other = n * CHANNELS_A_SLICE + tl.arange(0, CHANNELS_A_SLICE)
            place += count_ahead(size, channel, other_size, other)
    else:
        place = count_ahead(size, channel, size, channel)
    return place.to(tl.int32)


@triton.jit
def score_factors(q, place, rank, HEAD_DIM: tl.constexpr):
    """What each head's q_r · K_r is multiplied by: log2(e) / √(d · Σ|q_r| / Σ|q|); 0 for a query of zeros.

    q: fp32 [group padded, head_dim padded]; place: from `channel_places`; → fp32 [group padded]. Base 2, so that the
    exponential is one instruction.
    """
    size = tl.abs(q)
    whole = tl.sum(size, axis=1)
    kept = tl.sum(tl.where(place[None, :] < rank, size, 0.0), axis=1)
    share = tl.where(whole > 0, kept / tl.where(whole > 0, whole, 1.0), 0.0)
    return tl.where(share > 0, LOG2_E / tl.sqrt(HEAD_DIM * tl.where(share > 0, share, 1.0)), 0.0)
