"""Bytes of one decode call to and from the device's memory, by hardware counters, or why nobody counted them."""

from collections.abc import Sequence
from math import isclose
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from sparq_perf.records.line import NonNegative
from sparq_perf.records.reading import Absence, Reading, Text
from sparq_profiles.quantity import Frozen

RungName = Literal["ncu", "cupti", "gpm"]

# In the order in which they are tried.
RUNGS: tuple[RungName, ...] = get_args(RungName)

TOTAL_ONLY = Absence(kind="not_supported", detail="NVML GPM counts reads and writes together")


class DramKernel(Frozen):
    """One kernel's share of one decode call.

    Attributes:
        name: of the kernel function.
        step: the named step that launches it; None where the implementation names none.
        launches: in one call; the bytes are of all of them.
        l2_read_bytes: that it asked the L2 for; None where that was not counted.
    """

    name: Text
    step: Text | None = None
    launches: Annotated[int, Field(ge=1)]
    read_bytes: NonNegative
    write_bytes: NonNegative
    l2_read_bytes: NonNegative | None = None


class Rung(Frozen):
    """What one way of counting said.

    Attributes:
        name: ``ncu`` (Nsight Compute around a child process), ``cupti`` (PM sampling) or ``gpm`` (NVML).
        used: the counts are its.
        absence: why it gave none; None where it did, or was not needed, or would be tried.
        detail: the program or library behind it, with its version.
    """

    name: RungName
    used: bool = False
    absence: Absence | None = None
    detail: Text | None = None

    @model_validator(mode="after")
    def _used_or_absent(self) -> "Rung":
        if self.used and self.absence is not None:
            raise ValueError(f"rung {self.name}: it is used and absent: it must be one of the two")
        return self


class DramReading(Frozen):
    """Bytes of one decode call between the device's memory and its L2.

    Lines that a call writes and that stay in the L2 until it ends are not in ``write_bytes``: they have not moved yet.

    Attributes:
        source: the rung that counted; None where none could.
        read_bytes, write_bytes, total_bytes: of one call; GPM has the total only.
        kernels: by name and step; ncu only.
        rungs: all three, in the order in which they are tried.
    """

    source: RungName | None
    read_bytes: Reading[NonNegative]
    write_bytes: Reading[NonNegative]
    total_bytes: Reading[NonNegative]
    kernels: tuple[DramKernel, ...] = ()
    rungs: tuple[Rung, ...]

    @classmethod
    def measured(
        cls,
        source: RungName,
        *,
        total_bytes: float,
        rungs: Sequence[Rung],
        read_bytes: float | None = None,
        write_bytes: float | None = None,
        kernels: tuple[DramKernel, ...] = (),
    ) -> "DramReading":
        """What a rung counted; reads and writes are None where it has the total only."""

        def part(value: float | None) -> Reading[NonNegative]:
            return Reading(absence=TOTAL_ONLY) if value is None else Reading(value=value)

        return cls(
            source=source,
            read_bytes=part(read_bytes),
            write_bytes=part(write_bytes),
            total_bytes=Reading(value=total_bytes),
            kernels=kernels,
            rungs=tuple(rungs),
        )

    @classmethod
    def missing(cls, rungs: Sequence[Rung]) -> "DramReading":
        """Nothing was counted; the kind of the absence is that of the first rung, which is the best one to mend."""
        reasons = [(rung.name, rung.absence) for rung in rungs if rung.absence is not None]
        if not reasons:
            raise ValueError("counts are missing without a reason: every rung must say why it gave none")
        first = reasons[0][1]
        shared = all(absence == first for _, absence in reasons)
        detail = first.detail if shared else "; ".join(f"{name}: {absence.detail}" for name, absence in reasons)
        nothing = Reading[NonNegative](absence=Absence(kind=first.kind, detail=detail))
        return cls(
            source=None, read_bytes=nothing, write_bytes=nothing, total_bytes=nothing, kernels=(), rungs=tuple(rungs)
        )

    @model_validator(mode="after")
    def _rungs_lead_to_the_source(self) -> "DramReading":
        if tuple(rung.name for rung in self.rungs) != RUNGS:
            raise ValueError(f"rungs must be {', '.join(RUNGS)}, in this order")
        used = [rung.name for rung in self.rungs if rung.used]
        if used != ([] if self.source is None else [self.source]):
            raise ValueError(f"source is {self.source} and the rungs used are {used}: they must be the same")
        tried = RUNGS if self.source is None else RUNGS[: RUNGS.index(self.source)]
        silent = [rung.name for rung in self.rungs if rung.name in tried and rung.absence is None]
        if silent:
            raise ValueError(f"rungs {', '.join(silent)} gave no counts and say not why")
        return self

    @model_validator(mode="after")
    def _values_are_the_sources(self) -> "DramReading":
        has = tuple(one.value is not None for one in (self.read_bytes, self.write_bytes, self.total_bytes))
        wanted = {None: (False, False, False), "gpm": (False, False, True)}.get(self.source, (True, True, True))
        if has != wanted:
            raise ValueError(f"source {self.source} has values for (read, write, total) {wanted}, not {has}")
        if bool(self.kernels) != (self.source == "ncu"):
            raise ValueError(f"source is {self.source}: kernels come from ncu, and always with it")
        return self

    @model_validator(mode="after")
    def _parts_sum_up(self) -> "DramReading":
        read, write, total = self.read_bytes.value, self.write_bytes.value, self.total_bytes.value
        if read is None or write is None or total is None:
            return self
        sums = [("total", total, read + write)]
        if self.kernels:
            sums.append(("read", read, sum(kernel.read_bytes for kernel in self.kernels)))
            sums.append(("write", write, sum(kernel.write_bytes for kernel in self.kernels)))
        for name, whole, parts in sums:
            if not isclose(whole, parts, rel_tol=1e-9, abs_tol=1e-3):
                raise ValueError(f"{name} bytes are {whole} and their parts {parts}: they must be equal")
        return self
