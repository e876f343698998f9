"""Adds up the memory operations of one launch: addresses in, counts out, in numpy without a loop over lanes.

Kernels get *labelled* pointers instead of the tensors' own: the argument's number in the upper bits, the offset in
its storage in the lower ones. So an address says which argument it was made from, however far it strays: an access
that leaves one tensor and lands in its neighbour is seen, arguments that share a storage stay apart, and sectors
begin where they would on a GPU, whose allocations start on a sector, whatever this process's allocator does.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparq_perf.measure.counts import SECTOR_BYTES, AccessKind, OutOfBounds, TensorCount

Addresses = NDArray[np.uint64]
Offsets = NDArray[np.int64]
Lanes = NDArray[np.bool_]

LABEL_BITS = 20
OFFSET_BITS = 64 - LABEL_BITS  # strays of up to 8 TiB to either side keep their label
MIDDLE = 1 << (OFFSET_BITS - 1)


@dataclass
class _Side:
    """Running counts of one direction, read or write, and a flag for each sector of the storage."""

    sectors: Lanes
    elements: int = 0
    bytes: int = 0
    requests: int = 0

    def add(self, offsets: Offsets, element_bytes: int) -> None:
        self.elements += offsets.size
        self.bytes += offsets.size * element_bytes
        touched = offsets // SECTOR_BYTES
        last = (offsets + (element_bytes - 1)) // SECTOR_BYTES
        if (last != touched).any():  # elements that straddle two sectors
            touched = np.concatenate((touched, last))
        self.requests += distinct(touched)
        self.sectors[touched] = True


def distinct(values: Offsets) -> int:
    """How many different numbers there are, none for none; by flags where they lie close, else by sorting."""
    if not values.size:
        return 0
    lowest = int(values.min())
    span = int(values.max()) - lowest + 1
    if span > 16 * values.size:
        return int(np.unique(values).size)
    flags = np.zeros(span, dtype=np.bool_)
    flags[values - lowest] = True
    return int(np.count_nonzero(flags))


class TensorTally:
    """Counts accesses to one tensor argument."""

    def __init__(self, parameter: str, tensor: Tensor, label: int) -> None:
        """Label 0 is left to addresses that come from no tensor."""
        self.parameter, self.tensor = parameter, tensor
        self._start = int(tensor.storage_offset()) * tensor.element_size()
        self.storage_bytes = int(tensor.untyped_storage().nbytes()) - self._start
        self.pointer = (label << OFFSET_BITS) + MIDDLE + self._start
        n_sectors = -(-(self._start + self.storage_bytes) // SECTOR_BYTES)
        self._read, self._write = (_Side(np.zeros(n_sectors, dtype=np.bool_)) for _ in range(2))
        self._atomics = 0
        self._written: Tensor | None = None

    def offsets(self, addresses: Addresses) -> Offsets:
        """Bytes from the tensor's first element, of labelled addresses [n]."""
        return (addresses - np.uint64(self.pointer)).view(np.int64)

    def within(self, offsets: Offsets, element_bytes: int) -> Lanes:
        """Which elements lie inside the storage as a whole."""
        return (offsets >= 0) & (offsets + element_bytes <= self.storage_bytes)

    def real(self, offsets: Offsets) -> Addresses:
        """Where the elements are in this process."""
        return (offsets + self.tensor.data_ptr()).view(np.uint64)

    def add(self, access: AccessKind, offsets: Offsets, element_bytes: int) -> None:
        """Count accesses that are `within`: offsets [n] from the tensor's first element."""
        if access != "write":
            self._read.add(offsets + self._start, element_bytes)
        if access != "read":
            self._write.add(offsets + self._start, element_bytes)
            self._mark_written(offsets, element_bytes)
        if access == "atomic":
            self._atomics += offsets.size

    def count(self) -> TensorCount:
        """The result so far."""
        unwritten = None
        if self._written is not None:
            seen = torch.as_strided(self._written, self.tensor.size(), self.tensor.stride())
            unwritten = int((~seen).sum())
        return TensorCount(
            parameter=self.parameter,
            storage_bytes=self.storage_bytes,
            read_elements=self._read.elements,
            read_bytes=self._read.bytes,
            read_sectors=int(np.count_nonzero(self._read.sectors)),
            read_requests=self._read.requests,
            write_elements=self._write.elements,
            write_bytes=self._write.bytes,
            write_sectors=int(np.count_nonzero(self._write.sectors)),
            write_requests=self._write.requests,
            atomics=self._atomics,
            unwritten_elements=unwritten,
        )

    def _mark_written(self, offsets: Offsets, element_bytes: int) -> None:
        own_bytes = self.tensor.element_size()
        if self._written is None:
            self._written = torch.zeros(-(-self.storage_bytes // own_bytes), dtype=torch.bool)
        flags = self._written.numpy()
        for part in range(0, element_bytes, own_bytes):  # a pointer cast to a wider type writes several elements
            flags[(offsets + part) // own_bytes] = True


@dataclass
class _Stray:
    """Running totals of one tensor's out-of-bounds accesses of one kind."""

    program: tuple[int, ...]
    lanes: int = 0
    lowest: int = 0
    highest: int = 0

    def add(self, offsets: Offsets) -> None:
        lowest, highest = int(offsets.min()), int(offsets.max())
        self.lowest = min(self.lowest, lowest) if self.lanes else lowest
        self.highest = max(self.highest, highest) if self.lanes else highest
        self.lanes += offsets.size


@dataclass
class LaunchTally:
    """Counts accesses to every tensor of one launch, and collects those outside them."""

    kernel: str
    tallies: list[TensorTally]
    _strays: dict[tuple[int, AccessKind], _Stray] = field(default_factory=dict)

    def resolve(
        self, access: AccessKind, addresses: Addresses, mask: Lanes, element_bytes: int, program: tuple[int, ...]
    ) -> tuple[Addresses, Lanes]:
        """Count one memory instruction, before it is carried out.

        Args:
            addresses, mask: labelled, of one shape; lanes whose mask is false do nothing.
            element_bytes: of each access.
            program: grid index, for reports.

        Returns:
            The addresses in this process and the lanes that are safe to access, both of that shape.
        """
        real, safe = np.zeros(addresses.shape, dtype=np.uint64), np.zeros(addresses.shape, dtype=np.bool_)
        for label, lanes in _by_label(addresses, mask):
            chosen = addresses[lanes]
            if not 1 <= label <= len(self.tallies):
                self._stray(0, access, chosen.view(np.int64), program)
                continue
            tally = self.tallies[label - 1]
            offsets = tally.offsets(chosen)
            good = tally.within(offsets, element_bytes)
            if not good.all():
                self._stray(label, access, offsets[~good], program)
                lanes[lanes] = good
                offsets = offsets[good]
            tally.add(access, offsets, element_bytes)
            real[lanes] = tally.real(offsets)
            safe |= lanes
        return real, safe

    def out_of_bounds(self) -> tuple[OutOfBounds, ...]:
        """One entry for each tensor and kind of access that strayed."""
        return tuple(
            OutOfBounds(
                kernel=self.kernel,
                parameter=self.tallies[label - 1].parameter if label else None,
                access=access,
                lanes=stray.lanes,
                lowest_offset_bytes=stray.lowest if label else 0,
                highest_offset_bytes=stray.highest if label else 0,
                storage_bytes=self.tallies[label - 1].storage_bytes if label else 0,
                program=stray.program,
            )
            for (label, access), stray in self._strays.items()
        )

    def _stray(self, label: int, access: AccessKind, offsets: Offsets, program: tuple[int, ...]) -> None:
        self._strays.setdefault((label, access), _Stray(program)).add(offsets)


def _by_label(addresses: Addresses, mask: Lanes) -> Iterator[tuple[int, Lanes]]:
    """The labels that active lanes carry, each with its lanes: almost always one."""
    labels = addresses >> np.uint64(OFFSET_BITS)
    active = labels[mask]
    if not active.size:
        return
    if (active == active[0]).all():
        yield int(active[0]), mask.copy()
        return
    for label in np.unique(active):
        yield int(label), mask & (labels == label)
