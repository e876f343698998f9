"""The architectures that every kernel is compiled for, and how many of its programs one SM can hold."""

from dataclasses import dataclass

from sparq_profiles import ConfigError

KIB = 1024
# CUDA keeps 1 KiB of shared memory for itself in every block from compute capability 8.0 on (CUDA C++ Programming
# Guide, "Compute Capabilities"); from 9.0 on, cuobjdump counts it among the block's own.
RESERVED_SHARED_BYTES = KIB
WARP_LANES = 32


@dataclass(frozen=True, slots=True)
class SmLimits:
    """What the programs on one NVIDIA SM share (CUDA C++ Programming Guide, "Technical Specifications").

    Attributes:
        shared_bytes: shared memory of an SM, what CUDA reserves included.
        threads: resident threads.
        programs: resident blocks.
        registers: 32-bit registers of an SM.
        partitions: quarters of an SM that each hold their own warps and registers.
        registers_unit: registers that a warp is given at a time.
        shared_unit: bytes of shared memory that a block is given at a time.
    """

    shared_bytes: int
    threads: int
    programs: int
    registers: int = 65536
    partitions: int = 4
    registers_unit: int = 256
    shared_unit: int = 128


@dataclass(frozen=True, slots=True)
class Target:
    """One architecture.

    Attributes:
        name: ``sm_90`` or ``gfx942``.
        backend: Triton's: ``cuda`` or ``hip``.
        arch: Triton's: 90 or ``gfx942``.
        warp_size: lanes of a warp or wavefront.
        shared_limit_bytes: most shared memory (LDS) that one program may ask for; a larger one does not start.
        limits: what an SM's programs share; None where occupancy is not estimated.
    """

    name: str
    backend: str
    arch: int | str
    warp_size: int
    shared_limit_bytes: int
    limits: SmLimits | None


def _nvidia(capability: int, shared_kib: int, threads: int, programs: int) -> Target:
    limits = SmLimits(shared_kib * KIB, threads, programs)
    return Target(
        f"sm_{capability}", "cuda", capability, WARP_LANES, limits.shared_bytes - RESERVED_SHARED_BYTES, limits
    )


TARGETS = {
    target.name: target
    for target in (
        _nvidia(80, shared_kib=164, threads=2048, programs=32),
        _nvidia(89, shared_kib=100, threads=1536, programs=24),
        _nvidia(90, shared_kib=228, threads=2048, programs=32),
        _nvidia(100, shared_kib=228, threads=2048, programs=32),
        Target("gfx942", "hip", "gfx942", 64, 64 * KIB, None),
    )
}

# Why a column is empty for a target, by Triton's backend: the table says so instead of leaving a hole.
ABSENT = {
    "cuda": {
        "scalar_registers": "NVIDIA: uniform registers are not reported by cuobjdump",
        "spilled_registers": "NVIDIA: spills are local memory, in local_bytes and local_instructions",
    },
    "hip": {
        "local_instructions": "AMD: scratch is judged by the code object's metadata, in local_bytes",
        "resident_programs": "AMD: waves share registers in pools that differ by generation, and no rule is checked",
        "limited_by": "AMD: as resident_programs",
    },
}


def find_target(name: str) -> Target:
    """A target by its name.

    Raises:
        ConfigError: unknown name.
    """
    if name not in TARGETS:
        raise ConfigError(f"target is {name!r}: choose one of {', '.join(TARGETS)}")
    return TARGETS[name]


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How many programs of a kernel one SM holds, and what stops one more.

    Attributes:
        programs: resident programs; 0 where a single one does not fit.
        limited_by: ``programs``, ``threads``, ``registers`` or ``shared memory``; the first where several do.
    """

    programs: int
    limited_by: str


def occupancy(limits: SmLimits, *, registers: int, shared_bytes: int, num_warps: int) -> Occupancy:
    """Programs that fit on one SM, by the rules of NVIDIA's occupancy calculator (``cuda_occupancy.h``).

    An upper bound: shared memory and L1 cache are one array, and the driver may leave more of it to the cache.

    Args:
        limits: of the SM.
        registers: per thread.
        shared_bytes: of one program, without what CUDA reserves.
        num_warps: of one program.
    """
    warp_registers = _round_up(registers * WARP_LANES, limits.registers_unit)
    # Each partition has its own registers, so that a remainder in each of the four holds no warp.
    warps = limits.registers // limits.partitions // max(warp_registers, 1) * limits.partitions
    shared = _round_up(shared_bytes + RESERVED_SHARED_BYTES, limits.shared_unit)
    # In this order: where a kernel's own needs stop no more programs than the SM does, the SM is named.
    fitting = {
        "programs": limits.programs,
        "threads": limits.threads // (num_warps * WARP_LANES),
        "registers": warps // num_warps,
        "shared memory": limits.shared_bytes // shared,
    }
    limited_by = min(fitting, key=fitting.__getitem__)
    return Occupancy(fitting[limited_by], limited_by)


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
