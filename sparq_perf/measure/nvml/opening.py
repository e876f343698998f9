"""Finding a GPU under NVML: by the UUID that torch tells, or the first one there is."""

from sparq_perf.measure.nvml.binding import Library, Refusal
from sparq_perf.measure.nvml.gpu import NvmlGpu
from sparq_perf.records.gpu_state import GpuState
from sparq_perf.records.reading import Absence

NOT_FOUND = 6  # NVML_ERROR_NOT_FOUND


def open_gpu(uuid: str | None) -> NvmlGpu | Absence:
    """The GPU or slice with this UUID, for as long as the process lives; or why NVML does not give it."""
    if uuid is None:
        detail = "torch does not tell the GPU's UUID: NVML cannot be asked for the same one"
        return Absence(kind="not_supported", detail=detail)
    try:
        library = Library()
    except Refusal as refusal:
        return refusal.absence
    try:
        return _find(library, uuid)
    except Refusal as refusal:
        library.shut_down()
        return refusal.absence


def first_gpu_state() -> GpuState:
    """State of the first GPU that NVML sees, whatever CUDA_VISIBLE_DEVICES hides; absent as a whole without one."""
    try:
        library = Library()
    except Refusal as refusal:
        return GpuState.missing(refusal.absence)
    try:
        count_devices(library)
        handle = library.ask("the first GPU", "nvmlDeviceGetHandleByIndex", 0)
        uuid = str(library.ask("the first GPU", "nvmlDeviceGetUUID", handle))
        return NvmlGpu(library, handle, uuid, driver_version(library)).state()
    except Refusal as refusal:
        return GpuState.missing(refusal.absence)
    finally:
        library.shut_down()


def count_devices(library: Library) -> int:
    """How many GPUs NVML sees: one at least.

    Raises:
        Refusal: none, or it does not say.
    """
    count = int(library.ask("the list of GPUs", "nvmlDeviceGetCount"))
    if not count:
        raise Refusal("no_device", "NVML sees no NVIDIA GPU")
    return count


def driver_version(library: Library) -> str:
    """Version of the kernel driver.

    Raises:
        Refusal: NVML does not say.
    """
    return str(library.ask("the driver's version", "nvmlSystemGetDriverVersion"))


def _find(library: Library, uuid: str) -> NvmlGpu:
    # torch tells UUIDs without their prefix, and a slice's looks like a GPU's.
    as_slice = (uuid.replace("GPU-", "MIG-", 1),) if uuid.startswith("GPU-") else ()
    for candidate in (uuid, *as_slice):
        try:
            handle = library.ask(f"the GPU {uuid}", "nvmlDeviceGetHandleByUUID", candidate)
        except Refusal as refusal:
            if refusal.code != NOT_FOUND:
                raise
            continue
        return NvmlGpu(library, handle, candidate, driver_version(library))
    raise Refusal("no_device", f"NVML sees no GPU {uuid}")
