"""NVML of one GPU: its clock and what holds it down. Everything asked of nvidia-ml-py for a run is in this file."""

from typing import Any

from sparq_perf.measure.judging import POWER_CAP
from sparq_perf.records.schema import Instrument

# Bits of nvmlClocksEventReasons (nvml.h). An idle GPU and clocks that somebody set are no throttling.
SLOWDOWNS = {
    0x04: POWER_CAP,
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}


class Nvml:
    """One GPU, by its UUID: an index would count devices that CUDA_VISIBLE_DEVICES hides.

    Attributes:
        driver: version of the kernel driver.
    """

    def __init__(self, library: Any, handle: Any, driver: str) -> None:
        self._library, self._handle, self.driver = library, handle, driver

    def sm_clock_hz(self) -> float | None:
        """Clock of the multiprocessors now, Hz; None where NVML does not tell."""
        try:
            megahertz = self._library.nvmlDeviceGetClockInfo(self._handle, self._library.NVML_CLOCK_SM)
        except self._library.NVMLError:
            return None
        return float(megahertz) * 1e6

    def slowdowns(self) -> tuple[str, ...]:
        """What holds the clock down at this moment, for heat or power; empty where NVML does not tell."""
        # The name changed from "throttle" to "event" with driver 535.
        ask = getattr(self._library, "nvmlDeviceGetCurrentClocksEventReasons", None)
        ask = ask or self._library.nvmlDeviceGetCurrentClocksThrottleReasons
        try:
            reasons = int(ask(self._handle))
        except self._library.NVMLError:
            return ()
        return tuple(name for bit, name in SLOWDOWNS.items() if reasons & bit)


def open_nvml(uuid: str | None) -> tuple[Nvml | None, Instrument]:
    """NVML of the GPU with this UUID, and what a run's record says of it: available, or the reason why not."""

    def missing(reason: str) -> tuple[None, Instrument]:
        return None, Instrument(name="nvml", available=False, reason=reason)

    if uuid is None:
        return missing("torch does not tell the GPU's UUID: NVML cannot be asked for the same one")
    try:
        import pynvml
    except ImportError:
        return missing("library missing: nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        driver = str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError_LibraryNotFound:
        return missing("driver missing: libnvidia-ml.so.1 was not found on this machine")
    except pynvml.NVMLError as error:
        return missing(f"NVML does not give the GPU {uuid}: {error}")
    return Nvml(pynvml, handle, driver), Instrument(name="nvml", available=True, detail=f"driver {driver}, {uuid}")
