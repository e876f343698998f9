"""DRAM bytes by CUPTI's PM sampling: the GPU writes its counters down every few microseconds while calls run.

Through cupti-python's `pm_sampling`, which version 13.3 brought. It needs the rights that ncu needs. A sample holds
what was counted since the one before, so the bytes of a call are the sum over the samples around it.
"""

import importlib
import math
import time
from collections.abc import Callable
from functools import partial
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from statistics import median
from typing import Any

from sparq_perf.measure.dram.ncu_counts import READS, WRITES
from sparq_perf.measure.dram.ncu_failures import absence
from sparq_perf.measure.dram.permission import counters_refused
from sparq_perf.measure.dram.subjects import DramCounts, DramSubject
from sparq_perf.measure.observing import Calls
from sparq_perf.records.reading import Absence, AbsenceKind

PACKAGE, SAMPLER = "cupti", "pm_sampling"

CALLS = 3  # each sampled by itself; the median counts
# Sums do not depend on the interval: it is long enough that a call of 100 ms fits into the samples decoded.
INTERVAL = 20_000  # ns, or cycles of the system clock, of 1 to 2 GHz
MOST_SAMPLES = 10_000
# A sample counts when it is complete: the last interval of a call must have passed before sampling stops.
SETTLE_S = 1e-3

# Turing and GA100 cannot trigger by time (CUPTI's guide, PM sampling); by cycles they can.
TRIGGERS = ("GPU_TIME_INTERVAL", "GPU_SYSCLK_INTERVAL")

STATUS_KINDS: dict[str, AbsenceKind] = {
    "ERROR_INSUFFICIENT_PRIVILEGES": "no_permission",
    "ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES": "no_permission",
    "ERROR_MIG_DEVICE_NOT_SUPPORTED": "mig",
    "ERROR_INVALID_DEVICE": "no_device",
    "ERROR_NOT_COMPATIBLE": "not_supported",
    "ERROR_API_NOT_IMPLEMENTED": "not_supported",
}


class CuptiPmSampling:
    """Counts calls of this process, one at a time.

    Args:
        uuid: of the GPU; only to know a slice of a partitioned one by its name.
        device_index: of the GPU, as CUDA counts in this process.
        sleep: waits.
    """

    def __init__(
        self, uuid: str | None = None, device_index: int = 0, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._uuid, self._index, self._sleep = uuid, device_index, sleep

    @property
    def detail(self) -> str | None:
        """The package with its version; None where it is not installed."""
        return None if find_spec(PACKAGE) is None else f"cupti-python {_version()}"

    def refusal(self) -> Absence | None:
        """Why it cannot count here, as far as can be said without loading CUPTI."""
        if self._uuid is not None and self._uuid.startswith("MIG-"):
            return Absence(kind="mig", detail="CUPTI samples no slice of a partitioned GPU")
        package = find_spec(PACKAGE)
        if package is None:
            return Absence(kind="library_missing", detail="cupti-python is not installed")
        if PathFinder.find_spec(SAMPLER, package.submodule_search_locations) is None:
            return Absence(kind="not_supported", detail=f"cupti-python {_version()} offers no PM sampling: 13.3 does")
        return counters_refused()

    def count(self, subject: DramSubject, calls: Calls) -> DramCounts | Absence:
        """Bytes of one call: medians over `CALLS` of them."""
        refused = self.refusal()
        if refused is not None:
            return refused
        try:
            return self._count(importlib.import_module(f"{PACKAGE}.{SAMPLER}"), subject, calls)
        except _NoSamples as reason:
            return reason.absence
        except (ImportError, OSError) as error:
            return absence("library_missing", f"cupti-python cannot be loaded: {error}")

    def _count(self, library: Any, subject: DramSubject, calls: Calls) -> DramCounts:
        calls.call()
        calls.wait()
        collector = _asked(partial(library.Collector, device_index=self._index))
        _asked(collector.enable)
        try:
            _configure(library, collector)
            seen = [self._sampled(collector, subject, calls) for _ in range(CALLS)]
        finally:
            _asked(collector.disable)
        read_bytes, write_bytes = (median(values) for values in zip(*seen, strict=True))
        return DramCounts(read_bytes + write_bytes, read_bytes, write_bytes)

    def _sampled(self, collector: Any, subject: DramSubject, calls: Calls) -> tuple[float, float]:
        """Read and written bytes of one call."""
        if subject.cache_state == "cold":
            calls.cool()
        else:
            calls.call()
        calls.wait()
        _asked(collector.start)
        try:
            calls.call()
            calls.wait()
            self._sleep(SETTLE_S)
        finally:
            _asked(collector.stop)
        samples = list(_asked(partial(collector.decode, max_samples=MOST_SAMPLES)))
        if not samples:
            raise _NoSamples("no_change", "CUPTI completed no sample while the call ran")
        if len(samples) >= MOST_SAMPLES:
            raise _NoSamples("failed", f"the call outlasted {MOST_SAMPLES} samples of {INTERVAL / 1e3:.0f} µs")
        read_bytes, write_bytes = (math.fsum(sample.metric_values[n] for sample in samples) for n in (0, 1))
        if not (math.isfinite(read_bytes) and math.isfinite(write_bytes)):
            raise _NoSamples("failed", "CUPTI gave a sample that is no number")
        return read_bytes, write_bytes


class _NoSamples(Exception):
    def __init__(self, kind: AbsenceKind, detail: str) -> None:
        super().__init__(detail)
        self.absence = absence(kind, detail)


def _configure(library: Any, collector: Any) -> None:
    """The first names and trigger that this GPU takes: it answers with ValueError to what it does not have."""
    answers = []
    for names in zip(READS, WRITES, strict=True):
        for trigger in TRIGGERS:
            wanted = {
                "metrics": list(names),
                "sampling_interval": INTERVAL,
                "trigger_mode": library.TriggerMode[trigger],
            }
            try:
                _asked(partial(collector.configure, **wanted), but=ValueError)
            except ValueError as error:
                answers.append(str(error))
            else:
                return
    raise _NoSamples("not_supported", f"CUPTI samples no DRAM bytes of this GPU: {answers[-1]}")


def _asked(ask: Callable[[], Any], but: type[Exception] | tuple[()] = ()) -> Any:
    """What a call into the library returns; its errors as a reason, ``but`` those of a type that means another."""
    try:
        return ask()
    except but:
        raise
    except PermissionError as error:
        raise _NoSamples("no_permission", f"CUPTI: {error}") from None
    except Exception as error:  # cuptiError is an Exception without a family; memory, driver and state are others
        # It says its status first: "ERROR_NOT_SUPPORTED (27)".
        status = str(error).split(" ")[0]
        kind = STATUS_KINDS.get(status, "not_supported" if status.endswith("NOT_SUPPORTED") else "failed")
        raise _NoSamples(kind, f"CUPTI: {type(error).__name__}: {error}") from None


def _version() -> str:
    try:
        return version("cupti-python")
    except PackageNotFoundError:
        return "of unknown version"
