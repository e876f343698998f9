"""What bytes are counted of, and what counting found."""

from dataclasses import dataclass
from typing import Protocol

from sparq_perf.measure.observing import Calls
from sparq_perf.records.dram import DramKernel
from sparq_perf.records.reading import Absence
from sparq_profiles.shape import AttentionShape, KLayout, SparqConfig
from sparq_profiles.suite import CacheState


@dataclass(frozen=True, slots=True)
class DramSubject:
    """One implementation with its settings on one KV cache.

    Attributes:
        key: identifies it in the records.
        config: SparQ settings; None for dense attention.
        cache_state: ``cold`` calls find nothing of the cache in the L2, ``warm`` ones what the call before left.
    """

    key: str
    shape: AttentionShape
    config: SparqConfig | None
    k_layout: KLayout
    cache_state: CacheState
    implementation: str


@dataclass(frozen=True, slots=True)
class DramCounts:
    """Bytes of one decode call.

    Attributes:
        read_bytes, write_bytes: None where only the total is known.
        kernels: empty where they cannot be told apart.
    """

    total_bytes: float
    read_bytes: float | None = None
    write_bytes: float | None = None
    kernels: tuple[DramKernel, ...] = ()


class CallCounter(Protocol):
    """A way to count the bytes of calls made in this process."""

    @property
    def detail(self) -> str | None:
        """The library behind it, with its version."""

    def refusal(self) -> Absence | None:
        """Why it cannot count here, as far as can be said without counting; None where it may."""

    def count(self, subject: DramSubject, calls: Calls) -> DramCounts | Absence:
        """Count some calls, or say why not."""
