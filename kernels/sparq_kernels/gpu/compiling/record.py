"""The record of one compiled kernel."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CompiledKernel:
    """What one kernel needs on one architecture. None: this architecture's tools do not say.

    Attributes:
        kernel: name of the kernel function.
        variant: which launch it was compiled for.
        target: architecture.
        num_warps, num_stages: how it was compiled.
        registers: per thread; on AMD vector registers, accumulators included.
        scalar_registers: per wavefront, AMD.
        shared_bytes: shared memory (LDS) of one program, dynamic and static, without what CUDA reserves.
        local_bytes: local memory (scratch) of one thread: spilled registers and arrays on the stack.
        local_instructions: loads and stores of local memory in the machine code, NVIDIA.
        spilled_registers: vector registers spilled, AMD.
        resident_programs: how many of its programs one SM can hold, see `occupancy`; 0 where it cannot start.
        limited_by: what stops one more.
    """

    kernel: str
    variant: str
    target: str
    num_warps: int
    num_stages: int
    registers: int
    scalar_registers: int | None
    shared_bytes: int
    local_bytes: int
    local_instructions: int | None
    spilled_registers: int | None
    resident_programs: int | None
    limited_by: str | None

    @property
    def uses_local_memory(self) -> bool:
        """Whether registers were spilled, or anything else lives in local memory."""
        return bool(self.local_bytes or self.local_instructions or self.spilled_registers)
