"""Launch parameters per GPU architecture, and the grids that follow from them; needs neither torch nor triton.

The launchers and each ``traffic.py`` work from the same numbers, so that the analytic bytes are those of the launches
made. Nothing is tuned at import. None of these numbers has been measured yet: they come from what fits the registers
(see docs/kernels-compiled.md) and from bytes in flight, about 20 KB a compute unit for each TB/s of H100's kind.
"""

from dataclasses import dataclass, replace
from math import ceil

SMALLEST_TILE = 16
# Tokens that Kᵀ takes at once: 128 bytes a row in 16 bits. One token alone would write a 32-byte sector per channel.
TRANSPOSED_TILE = 64


@dataclass(frozen=True, slots=True)
class Tiling:
    """How work is cut into programs.

    Attributes:
        architecture: what it was made for, such as ``sm_90``.
        n_compute_units: SMs or CUs to fill.
        score_tile: positions that one score program sees, a power of two. Its top-k is taken on chip.
        score_block: positions of a tile that are scored at once where the heads of a group fill a tensor core.
        score_warps: warps of a score program.
        vector_heads: largest group, padded to a power of two, scored by plain multiply-adds; above, tensor cores.
        select_items: most candidates that the select program keeps in registers; more are read again for each digit.
        attend_block: rows of K and V that an attend program loads at once.
        attend_warps, attend_stages: warps of an attend program, and how many loads ahead it is.
        attend_programs: attend programs that share a compute unit.
        gather_rows: selected rows below which the gather of one KV head is never split.
        wavefront: lanes of a warp.
    """

    architecture: str = "sm_90"
    n_compute_units: int = 132
    score_tile: int = 2048
    score_block: int = 128
    score_warps: int = 8
    vector_heads: int = 8
    select_items: int = 8192
    attend_block: int = 64
    attend_warps: int = 4
    attend_stages: int = 3
    attend_programs: int = 2
    gather_rows: int = 128
    wavefront: int = 32

    def tile(self, group_pad: int) -> int:
        """Positions of a score program for a padded group: fewer for more heads, whose scores share the registers."""
        return self.score_tile if group_pad <= 4 or group_pad > self.vector_heads else self.score_tile // 2


# One row per architecture: what differs from the defaults, and why.
TILINGS = {
    # 164 KB of shared memory: three stages of 64 rows of K and V at head_dim 128 leave room for one program only.
    "sm_80": Tiling("sm_80", n_compute_units=108, attend_stages=2),
    # 100 KB of shared memory, 1,536 threads.
    "sm_89": Tiling("sm_89", n_compute_units=142, attend_stages=2, attend_block=32),
    "sm_90": Tiling("sm_90", n_compute_units=132),
    # Twice the bandwidth a unit of sm_90 at the same vector rate: tensor cores from 8 heads on.
    "sm_100": Tiling("sm_100", n_compute_units=148, vector_heads=4),
    # 64 KB of shared memory, wavefronts of 64 lanes.
    "gfx942": Tiling("gfx942", n_compute_units=304, score_warps=4, attend_stages=2, attend_block=32, wavefront=64),
}
DEFAULT = TILINGS["sm_90"]


def tiling_for(architecture: str, n_compute_units: int | None = None) -> Tiling:
    """The table's row for an architecture such as ``sm_90``; the row of sm_90 for one it does not know.

    Args:
        architecture: ``sm_`` and the compute capability, or AMD's name such as ``gfx942``.
        n_compute_units: of the device at hand; the table's where None.
    """
    tiling = TILINGS.get(architecture, replace(DEFAULT, architecture=architecture))
    return tiling if n_compute_units is None else replace(tiling, n_compute_units=n_compute_units)


def padded(length: int, smallest: int = 1) -> int:
    """The next power of two, at least ``smallest``."""
    return max(smallest, 1 << (length - 1).bit_length())


def score_tiles(transposed_len: int, seq_len: int, tile: int) -> int:
    """Score programs of one KV head: whole tiles of Kᵀ, and one for tokens that are row-major only so far."""
    return ceil(transposed_len / tile) + (transposed_len < seq_len)


def row_block(block: int, head_dim: int, element_bytes: int) -> int:
    """Rows to load at once where ``block`` rows of 128 16-bit elements are right: fewer of longer ones.

    Products of fp32 are multiply-adds, whose operands lie in registers: a quarter of the rows.
    """
    row_bytes = padded(head_dim, SMALLEST_TILE) * element_bytes * (2 if element_bytes > 2 else 1)
    return max(SMALLEST_TILE, min(block, block * 256 // row_bytes))


def product_warps(head_dim: int, element_bytes: int, tiling: Tiling) -> int:
    """Warps of a program that multiplies matrices: more for fp32, whose operands lie in registers."""
    if element_bytes <= 2:
        return tiling.attend_warps
    return tiling.attend_warps * (2 if padded(head_dim) <= 128 else 4)


def attend_splits(kv_heads: int, seq_len: int, tiling: Tiling) -> int:
    """Parts that dense attention cuts each KV head's sequence into.

    Of the numbers up to the first that makes two waves of programs, the fewest that keep the last wave as full as any
    would, within 5 %: parts cost a combination, and a wave that is nearly empty costs as much as a full one.
    """
    slots = tiling.n_compute_units * tiling.attend_programs
    # A part of under four blocks would spend its time on starting up.
    most = max(1, ceil(seq_len / (4 * tiling.attend_block)))
    fill = {}
    for splits in range(1, min(most, slots) + 1):
        waves = kv_heads * splits / slots
        fill[splits] = waves / ceil(waves)
        if waves >= 2:
            break
    best = max(fill.values())
    return next(splits for splits, share in fill.items() if share >= 0.95 * best)


def gather_splits(kv_heads: int, top_k: int, tiling: Tiling) -> int:
    """Parts that the gather cuts each KV head's selected rows into: one, unless units would stay idle."""
    return max(1, min(tiling.n_compute_units // kv_heads, top_k // tiling.gather_rows))


def rows_a_split(length: int, splits: int, block: int) -> int:
    """Rows of one part: whole blocks, except for the last part."""
    return ceil(ceil(length / splits) / block) * block
