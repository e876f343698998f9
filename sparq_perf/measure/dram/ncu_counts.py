"""Gives each subject the kernels that ncu profiled of its call, and sums their bytes."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sparq_perf.measure.dram.exchange import MARKER_KERNEL, ChildOutcomes, subject_of
from sparq_perf.measure.dram.ncu_csv import KernelRow
from sparq_perf.measure.dram.ncu_failures import absence
from sparq_perf.measure.dram.subjects import DramCounts
from sparq_perf.records.dram import DramKernel
from sparq_perf.records.reading import Absence

# The later GPUs' names for the same counters: GB20x (compute capability 12) has lost the earlier ones.
READS = ("dram__bytes_read.sum", "dram__bytes_op_read.sum")
WRITES = ("dram__bytes_write.sum", "dram__bytes_op_write.sum")
L2_READ_SECTORS = "lts__t_sectors_op_read.sum"
SECTOR_BYTES = 32


def count_subjects(
    rows: Sequence[KernelRow], n_subjects: int, outcomes: ChildOutcomes, why_nothing: Absence, *, sliced: bool = False
) -> tuple[DramCounts | Absence, ...]:
    """Counts of every subject of a plan, in order.

    Args:
        rows: as profiled.
        n_subjects: in the plan.
        outcomes: of those that the child came to.
        why_nothing: for subjects that the child called, or never came to, without a kernel in the profile.
        sliced: the GPU is a slice of a partitioned one, which shares its memory's counters with the others.
    """
    kernels = share_out(rows)

    def count(index: int) -> DramCounts | Absence:
        reached = index < len(outcomes.subjects)
        if reached and (failure := outcomes.subjects[index].failure) is not None:
            return absence("failed", f"in the child: {failure}")
        own = kernels.get(index)
        if not own:
            return why_nothing
        if not reached:
            return absence("failed", "the child ended during its call: its kernels were profiled in part")
        counts = sum_up(own, outcomes.subjects[index].steps)
        if counts is not None:
            return counts
        return absence("mig" if sliced else "not_supported", f"ncu gives n/a for the DRAM bytes of {own[0].name}")

    return tuple(count(index) for index in range(n_subjects))


def share_out(rows: Sequence[KernelRow]) -> Mapping[int, Sequence[KernelRow]]:
    """Rows by the subject whose range they ran in; where the table lost the ranges, by the markers between them.

    The second is as good: ncu profiles launches one by one in their order, and only the outer range, which holds one
    marker and then one call for each subject, and nothing else.
    """
    named = [(subject_of(row.ranges), row) for row in rows if row.ranges is not None]
    shared: defaultdict[int, list[KernelRow]] = defaultdict(list)
    if any(index is not None for index, _ in named):
        for index, row in named:
            if index is not None:
                shared[index].append(row)
        return shared
    markers = 0
    for row in rows:
        if MARKER_KERNEL in row.name:
            markers += 1
        elif markers:
            shared[markers - 1].append(row)
    return shared


def sum_up(rows: Sequence[KernelRow], steps: Mapping[str, str]) -> DramCounts | None:
    """One call's bytes, by kernel in the order of their first launches; None where any of them was not counted."""
    groups: defaultdict[str, list[KernelRow]] = defaultdict(list)
    for row in rows:
        if _value(row, READS) is None or _value(row, WRITES) is None:
            return None
        groups[function_name(row.name)].append(row)
    kernels = tuple(
        DramKernel(
            name=name,
            step=steps.get(name),
            launches=len(group),
            read_bytes=_sum(group, READS),
            write_bytes=_sum(group, WRITES),
            l2_read_bytes=_l2_read_bytes(group),
        )
        for name, group in groups.items()
    )
    read_bytes, write_bytes = (sum(getattr(k, name) for k in kernels) for name in ("read_bytes", "write_bytes"))
    return DramCounts(read_bytes + write_bytes, read_bytes, write_bytes, kernels)


def function_name(printed: str) -> str:
    """A kernel's function name without what a demangled one carries: return type, namespaces, templates, parameters."""
    words = re.split(r"[(<]", re.sub(r"\(anonymous namespace\)::|<unnamed>::", "", printed))[0].split()
    return words[-1].rpartition("::")[2] if words else printed


def _value(row: KernelRow, names: Sequence[str]) -> float | None:
    return next((row.metrics[name] for name in names if name in row.metrics), None)


def _sum(rows: Sequence[KernelRow], names: Sequence[str]) -> float:
    return sum(_value(row, names) or 0.0 for row in rows)


def _l2_read_bytes(rows: Sequence[KernelRow]) -> float | None:
    if any(L2_READ_SECTORS not in row.metrics for row in rows):
        return None
    return SECTOR_BYTES * _sum(rows, (L2_READ_SECTORS,))
