"""The ways of counting DRAM bytes, tried in order, subject by subject, until one counts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from sparq_perf.measure.dram.cupti_pm import CuptiPmSampling
from sparq_perf.measure.dram.gpm import Gpm
from sparq_perf.measure.dram.ncu import Ncu
from sparq_perf.measure.dram.ncu_failures import absence
from sparq_perf.measure.dram.subjects import CallCounter, DramCounts, DramSubject
from sparq_perf.measure.failing import out_of_memory
from sparq_perf.measure.observing import Calls
from sparq_perf.records.dram import RUNGS, DramReading, Rung, RungName
from sparq_perf.records.reading import Absence
from sparq_profiles import SparqPerfError

NO_COUNTERS_ON_CPU = Absence(
    kind="not_supported", detail="DRAM counters are read on NVIDIA GPUs only: the bytes of a CPU run are analytic"
)
# Of a call counter, these hold for the next subject too.
LASTING = frozenset({"library_missing", "driver_missing", "no_device", "not_supported", "no_permission", "mig"})

OpenCalls = Callable[[DramSubject], AbstractContextManager[Calls]]


class ChildCounter(Protocol):
    """Counts subjects in a process of its own."""

    @property
    def detail(self) -> str | None:
        """The program behind it, with its version."""

    def refusal(self) -> Absence | None:
        """Why it cannot count here, as far as can be said without counting."""

    def count(self, subjects: Sequence[DramSubject]) -> Sequence[DramCounts | Absence]:
        """Counts of each, or why there are none."""


class DramLadder:
    """DRAM bytes on one GPU.

    Args:
        uuid: of the GPU, as `DeviceFacts` has it; None where torch does not tell.
        seed: of the child's caches and queries.
        device_index: of the GPU, as CUDA counts in this process.
        ncu, in_process: tests bring their own; the latter in the order in which they are tried.
    """

    def __init__(
        self,
        uuid: str | None,
        seed: int = 0,
        *,
        device_index: int = 0,
        ncu: ChildCounter | None = None,
        in_process: Mapping[RungName, CallCounter] | None = None,
    ) -> None:
        self._ncu = ncu or Ncu(uuid, seed)
        self._counters: Mapping[RungName, CallCounter] = (
            {"cupti": CuptiPmSampling(uuid, device_index), "gpm": Gpm(uuid)} if in_process is None else in_process
        )
        self._refused: dict[RungName, Absence] = {}

    def probe(self) -> tuple[Rung, ...]:
        """What each rung says before any counting: an absence, or none where it would be tried."""
        askable: Mapping[RungName, ChildCounter | CallCounter] = {"ncu": self._ncu, **self._counters}
        return tuple(Rung(name=name, absence=one.refusal(), detail=one.detail) for name, one in askable.items())

    def measure(
        self, subjects: Sequence[DramSubject], open_calls: OpenCalls
    ) -> Iterator[tuple[DramSubject, DramReading]]:
        """Each subject with its reading, in order; the first comes when ncu's child has called all of them.

        Args:
            subjects: what to count.
            open_calls: a subject's calls in this process, for those that ncu did not count. torch.profiler, and
                whatever else uses the counters, must not be attached.
        """
        for subject, found in zip(subjects, self._ncu.count(subjects), strict=True):
            plausible = _plausible(subject, found)
            if isinstance(plausible, DramCounts):
                yield subject, self._reading("ncu", plausible, {})
            else:
                yield subject, self._count_here(subject, plausible, open_calls)

    def _count_here(self, subject: DramSubject, ncu_said: Absence, open_calls: OpenCalls) -> DramReading:
        said: dict[RungName, Absence] = {"ncu": ncu_said}
        for name, counter in self._counters.items():
            if name not in self._refused and (refusal := counter.refusal()) is not None:
                self._refused[name] = refusal
        ready = [name for name in self._counters if name not in self._refused]
        if ready:
            try:
                with open_calls(subject) as calls:
                    for name in ready:
                        found = _plausible(subject, self._counters[name].count(subject, calls))
                        if isinstance(found, DramCounts):
                            return self._reading(name, found, {**said, **self._refused})
                        said[name] = found
            except (SparqPerfError, MemoryError, RuntimeError) as error:
                said.update({name: _died(error) for name in ready if name not in said})
        self._refused.update({name: why for name, why in said.items() if name in ready and why.kind in LASTING})
        return DramReading.missing(self._rungs({**self._refused, **said}))

    def _reading(self, source: RungName, counts: DramCounts, said: Mapping[RungName, Absence]) -> DramReading:
        return DramReading.measured(
            source,
            total_bytes=counts.total_bytes,
            read_bytes=counts.read_bytes,
            write_bytes=counts.write_bytes,
            kernels=counts.kernels,
            rungs=self._rungs(said, source),
        )

    def _rungs(self, said: Mapping[RungName, Absence], used: RungName | None = None) -> tuple[Rung, ...]:
        details: Mapping[RungName, ChildCounter | CallCounter] = {"ncu": self._ncu, **self._counters}
        return tuple(
            Rung(name=name, used=True, detail=details[name].detail)
            if name == used
            else Rung(name=name, absence=said.get(name))
            for name in RUNGS
        )


def cpu_rungs() -> tuple[Rung, ...]:
    """The rungs of a machine that is measured on its CPU; nothing is asked or started."""
    return tuple(Rung(name=name, absence=NO_COUNTERS_ON_CPU) for name in RUNGS)


def _plausible(subject: DramSubject, found: DramCounts | Absence) -> DramCounts | Absence:
    """A cold call must read its cache from DRAM; a warm one may find all of it in the L2."""
    if isinstance(found, Absence) or subject.cache_state == "warm":
        return found
    read = found.total_bytes if found.read_bytes is None else found.read_bytes
    if read > 0:
        return found
    return absence("no_change", "the counters saw a cold call read nothing from DRAM")


def _died(error: BaseException) -> Absence:
    """Why calls could not be made here.

    Raises:
        BaseException: the error itself, where it is a defect.
    """
    reason = str(error) if isinstance(error, SparqPerfError) else out_of_memory(error)
    if reason is None:
        raise error
    return absence("failed", f"no calls in this process: {reason}")
