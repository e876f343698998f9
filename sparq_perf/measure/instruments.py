"""What can be asked for evidence here: each instrument, or the reason why not."""

from sparq_perf.records.schema import Instrument

CPU_COUNTERS_REASON = "DRAM counters are read on NVIDIA GPUs only: the bytes of a CPU run are analytic"
GPU_COUNTERS_REASON = "DRAM counters are not read in a run: its bytes are analytic; 'sparq-perf traffic' counts them"
GPU_ENERGY_REASON = "not measured in this run: energy needs a pass of its own, of seconds for each configuration"


def ask_instruments() -> tuple[Instrument, ...]:
    """Ask every instrument once."""
    return (
        ask_nvml(),
        Instrument(name="torch.profiler", available=True, detail="time per step, in a pass of its own"),
        Instrument(name="dram_counters", available=False, reason=CPU_COUNTERS_REASON),
    )


def ask_nvml() -> Instrument:
    """Whether NVML answers and sees a GPU. A missing library, driver or device are different answers."""
    try:
        import pynvml
    except ImportError:
        return Instrument(name="nvml", available=False, reason="library missing: nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return Instrument(
            name="nvml",
            available=False,
            reason="driver missing: libnvidia-ml.so.1 was not found on this machine",
        )
    except pynvml.NVMLError as error:
        return Instrument(name="nvml", available=False, reason=f"NVML did not start: {error}")
    try:
        count = pynvml.nvmlDeviceGetCount()
        driver = pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError as error:
        return Instrument(name="nvml", available=False, reason=f"NVML gave no device list: {error}")
    finally:
        pynvml.nvmlShutdown()
    if count == 0:
        return Instrument(name="nvml", available=False, reason="no device: NVML sees no NVIDIA GPU")
    return Instrument(name="nvml", available=True, detail=f"driver {driver}, {count} device(s)")


def energy_reason(nvml: Instrument) -> str:
    """Why a measurement on a CPU carries no energy."""
    return f"NVML: {nvml.reason}" if nvml.reason else "measured on the CPU: NVML reads the energy of GPUs only"
