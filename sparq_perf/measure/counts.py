"""What the memory operations of a kernel launch add up to, tensor by tensor."""

from dataclasses import dataclass
from typing import Literal

SECTOR_BYTES = 32

AccessKind = Literal["read", "write", "atomic"]


@dataclass(frozen=True, slots=True)
class TensorCount:
    """What one launch accesses through one tensor argument. Only lanes whose mask is true count.

    An atomic operation reads and writes its element: it is in both sides' numbers, and in ``atomics``.

    Attributes:
        parameter: the kernel's name for it.
        storage_bytes: from the tensor's first element to the end of its storage.
        read_elements, write_elements: lanes that read or wrote, the same address as often as it was accessed.
        read_bytes, write_bytes: the same in bytes.
        read_sectors, write_sectors: distinct 32-byte sectors over the launch: what must move at least once.
        read_requests, write_requests: distinct sectors of each memory instruction, summed over instructions: what
            the caches are asked for. An instruction here is one of a whole program; hardware splits it among warps.
        atomics: lanes of atomic operations.
        unwritten_elements: elements of the tensor that the launch left unwritten; None where it wrote nothing.
    """

    parameter: str
    storage_bytes: int
    read_elements: int = 0
    read_bytes: int = 0
    read_sectors: int = 0
    read_requests: int = 0
    write_elements: int = 0
    write_bytes: int = 0
    write_sectors: int = 0
    write_requests: int = 0
    atomics: int = 0
    unwritten_elements: int | None = None


@dataclass(frozen=True, slots=True)
class OutOfBounds:
    """Accesses of one kind that leave a tensor's storage; they were not carried out.

    Attributes:
        kernel: name of the kernel function.
        parameter: the tensor whose pointer was used; None for an address that comes from no tensor argument.
        access: ``read``, ``write`` or ``atomic``.
        lanes: how many there were in the launch.
        lowest_offset_bytes, highest_offset_bytes: from the tensor's first element to the accessed elements' starts.
        storage_bytes: from the tensor's first element to the end of its storage: offsets must stay within.
        program: grid index of the program that was first.
    """

    kernel: str
    parameter: str | None
    access: AccessKind
    lanes: int
    lowest_offset_bytes: int
    highest_offset_bytes: int
    storage_bytes: int
    program: tuple[int, ...]

    def __str__(self) -> str:
        """One line that names kernel, parameter, offset and size."""
        if self.parameter is None:
            return (
                f"{self.kernel}: {self.lanes} {self.access} accesses at addresses that belong to no argument, "
                f"first in program {self.program}"
            )
        offsets = f"{self.lowest_offset_bytes:,}"
        if self.highest_offset_bytes != self.lowest_offset_bytes:
            offsets += f" … {self.highest_offset_bytes:,}"
        return (
            f"{self.kernel}: {self.lanes} {self.access} accesses outside {self.parameter}, at byte {offsets} "
            f"of {self.storage_bytes:,}, first in program {self.program}"
        )


@dataclass(frozen=True, slots=True)
class LaunchCount:
    """What one launch accesses.

    Attributes:
        step: the named step it belongs to, as in `StepTraffic.name`.
        kernel: name of the kernel function.
        grid: programs along each axis.
        tensors: one for each tensor argument, in the launch's order.
        out_of_bounds: accesses outside every argument; empty for a correct kernel.
    """

    step: str
    kernel: str
    grid: tuple[int, ...]
    tensors: tuple[TensorCount, ...]
    out_of_bounds: tuple[OutOfBounds, ...] = ()

    @property
    def read_bytes(self) -> int:
        """Bytes that lanes read."""
        return sum(tensor.read_bytes for tensor in self.tensors)

    @property
    def write_bytes(self) -> int:
        """Bytes that lanes wrote."""
        return sum(tensor.write_bytes for tensor in self.tensors)

    @property
    def unique_sector_bytes(self) -> int:
        """Bytes of the distinct sectors read and of those written: the least that can move for this launch."""
        return SECTOR_BYTES * sum(tensor.read_sectors + tensor.write_sectors for tensor in self.tensors)

    @property
    def sector_requests(self) -> int:
        """Sectors that the launch's instructions ask for, read and written."""
        return sum(tensor.read_requests + tensor.write_requests for tensor in self.tensors)

    @property
    def atomics(self) -> int:
        """Lanes of atomic operations."""
        return sum(tensor.atomics for tensor in self.tensors)

    def tensor(self, parameter: str) -> TensorCount:
        """The tensor argument of that name; KeyError where there is none."""
        for tensor in self.tensors:
            if tensor.parameter == parameter:
                return tensor
        raise KeyError(parameter)
