"""How each quantity of a `GpuState` is asked for, and its conversion to SI units."""

from collections.abc import Callable
from typing import Any

from sparq_perf.measure.nvml.binding import Library, Refusal
from sparq_perf.measure.nvml.slowdowns import names_of

# Asks for one quantity of one GPU. Raises: Refusal.
Look = Callable[[Library, Any], Any]

TO_SLOWDOWN = "margin to slowdown"


def _power_average_w(library: Library, gpu: Any) -> float:
    # Averaged over 1 s since GA102; GA100 and older answer with power now.
    return float(library.ask("average power", "nvmlDeviceGetPowerUsage", gpu)) / 1e3


def _violation_s(asked: str, policy: str) -> Look:
    return lambda library, gpu: float(
        library.ask(asked, "nvmlDeviceGetViolationStatus", gpu, policy).violationTime / 1e9
    )


def _clock_hz(asked: str, function: str, clock: str) -> Look:
    return lambda library, gpu: float(library.ask(asked, function, gpu, clock)) * 1e6


def _temperature_c(library: Library, gpu: Any) -> float:
    try:
        return float(library.ask("temperature", "nvmlDeviceGetTemperature", gpu, "NVML_TEMPERATURE_GPU"))
    except Refusal as refusal:
        if refusal.absence.kind != "not_supported":
            raise
    # Newer drivers deprecate the function above for this one, which nvidia-ml-py 12.560 does not have.
    return float(library.ask("temperature", "nvmlDeviceGetTemperatureV1", gpu, "NVML_TEMPERATURE_GPU"))


def _temperature_margin_c(library: Library, gpu: Any) -> float:
    """The driver's own answer; without it, as by nvidia-ml-py 12.560, the nearest threshold less the temperature."""
    try:
        return float(library.ask(TO_SLOWDOWN, "nvmlDeviceGetMarginTemperature", gpu))
    except Refusal as refusal:
        if refusal.absence.kind != "not_supported":
            raise
        first = refusal
    thresholds = []
    for threshold in ("NVML_TEMPERATURE_THRESHOLD_GPU_MAX", "NVML_TEMPERATURE_THRESHOLD_SLOWDOWN"):
        try:
            thresholds.append(library.ask(TO_SLOWDOWN, "nvmlDeviceGetTemperatureThreshold", gpu, threshold))
        except Refusal as refusal:
            if refusal.absence.kind != "not_supported":
                raise
    if not thresholds:
        raise first
    return float(min(thresholds)) - _temperature_c(library, gpu)


def _utilisation(of: str) -> Look:
    return lambda library, gpu: float(
        getattr(library.ask(f"{of} utilisation", "nvmlDeviceGetUtilizationRates", gpu), of) / 100
    )


def _slowdowns(library: Library, gpu: Any) -> tuple[str, ...]:
    asked = "what holds the clock down"
    try:
        bits = library.ask(asked, "nvmlDeviceGetCurrentClocksEventReasons", gpu)
    except Refusal as refusal:
        if refusal.absence.kind != "not_supported":
            raise
        # Its name before driver 535.
        bits = library.ask(asked, "nvmlDeviceGetCurrentClocksThrottleReasons", gpu)
    return names_of(int(bits))


def _ecc_errors(kind: str) -> Look:
    return lambda library, gpu: int(
        library.ask("ECC errors", "nvmlDeviceGetTotalEccErrors", gpu, kind, "NVML_VOLATILE_ECC")
    )


LOOKS: dict[str, Look] = {
    "power_average_w": _power_average_w,
    "power_limit_w": lambda library, gpu: library.ask("power limit", "nvmlDeviceGetEnforcedPowerLimit", gpu) / 1e3,
    "energy_counter_j": lambda library, gpu: (
        library.ask("energy counter", "nvmlDeviceGetTotalEnergyConsumption", gpu) / 1e3
    ),
    "sm_clock_hz": _clock_hz("SM clock", "nvmlDeviceGetClockInfo", "NVML_CLOCK_SM"),
    "memory_clock_hz": _clock_hz("memory clock", "nvmlDeviceGetClockInfo", "NVML_CLOCK_MEM"),
    "sm_clock_max_hz": _clock_hz("highest SM clock", "nvmlDeviceGetMaxClockInfo", "NVML_CLOCK_SM"),
    "memory_clock_max_hz": _clock_hz("highest memory clock", "nvmlDeviceGetMaxClockInfo", "NVML_CLOCK_MEM"),
    "temperature_c": _temperature_c,
    "temperature_margin_c": _temperature_margin_c,
    "gpu_utilisation": _utilisation("gpu"),
    "memory_utilisation": _utilisation("memory"),
    "memory_used_bytes": lambda library, gpu: int(library.ask("memory in use", "nvmlDeviceGetMemoryInfo", gpu).used),
    "slowdowns": _slowdowns,
    "power_violation_s": _violation_s("time held down by power", "NVML_PERF_POLICY_POWER"),
    "thermal_violation_s": _violation_s("time held down by heat", "NVML_PERF_POLICY_THERMAL"),
    "ecc_enabled": lambda library, gpu: bool(library.ask("ECC", "nvmlDeviceGetEccMode", gpu)[0]),
    "ecc_corrected": _ecc_errors("NVML_MEMORY_ERROR_TYPE_CORRECTED"),
    "ecc_uncorrected": _ecc_errors("NVML_MEMORY_ERROR_TYPE_UNCORRECTED"),
    "mig_enabled": lambda library, gpu: bool(library.ask("MIG", "nvmlDeviceGetMigMode", gpu)[0]),
}
