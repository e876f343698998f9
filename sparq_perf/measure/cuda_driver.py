"""Everything that is asked of torch.cuda, in one thin class that tests replace by a simulated device."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import torch
from torch.profiler import ProfilerActivity

from sparq_perf.measure.tracing import Tracer

# Calls before a capture: what compiles, allocates or chooses an algorithm at first use must not do so inside.
CAPTURE_WARMUPS = 3
# The blocker counts clock cycles. Taken for the fastest clock of any GPU here: at a slower one it only lasts longer.
BLOCKER_CLOCK_HZ = 2e9


class CaptureError(Exception):
    """A call that cannot be recorded into a CUDA graph, and why."""


class Event(Protocol):
    """A point in the device's stream."""

    def record(self) -> None:
        """Put it at the end of what is queued."""

    def query(self) -> bool:
        """Whether the device has come past it."""

    def synchronize(self) -> None:
        """Wait until it has."""

    def elapsed_time(self, end: Any) -> float:
        """Milliseconds from here to ``end``."""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What the driver says of the device.

    Attributes:
        uuid: as NVML spells it, ``GPU-…``; None where torch does not tell.
        compute_capability: major and minor.
        cuda: version that torch was built with.
    """

    name: str
    uuid: str | None
    compute_capability: tuple[int, int]
    n_multiprocessors: int
    l2_bytes: int | None
    memory_bytes: int
    cuda: str | None


class CudaDriver:
    """torch's current CUDA device. Work is queued and returns at once, except where a method says that it waits."""

    def __init__(self) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device())

    def facts(self) -> DeviceFacts:
        """What the driver says of the device."""
        properties = torch.cuda.get_device_properties(self.device)
        uuid = getattr(properties, "uuid", None)
        return DeviceFacts(
            name=properties.name,
            # torch leaves out the prefix; a MIG slice has one of its own.
            uuid=None if uuid is None else str(uuid) if str(uuid).startswith(("GPU-", "MIG-")) else f"GPU-{uuid}",
            compute_capability=(properties.major, properties.minor),
            n_multiprocessors=properties.multi_processor_count,
            l2_bytes=getattr(properties, "L2_cache_size", None) or None,
            memory_bytes=properties.total_memory,
            cuda=torch.version.cuda,
        )

    def free_bytes(self) -> int:
        """Memory that could be allocated now: the device's, and what torch's allocator holds without use."""
        free, _ = torch.cuda.mem_get_info(self.device)
        return free + torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)

    def empty_cache(self) -> None:
        """Give memory without use back to the device."""
        torch.cuda.empty_cache()

    def clock(self) -> float:
        """The host's clock, seconds."""
        return perf_counter()

    def event(self) -> Event:
        """A new event that takes the time."""
        return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def block(self, seconds: float) -> None:
        """Keep the device busy, so that the host can queue ahead of it; touches no memory."""
        torch.cuda._sleep(int(seconds * BLOCKER_CLOCK_HZ))  # type: ignore[no-untyped-call]

    def synchronize(self) -> None:
        """Wait until the device has done all that is queued."""
        torch.cuda.synchronize(self.device)

    def capture(self, call: Callable[[], object]) -> Callable[[], None]:
        """Record what a call launches into a CUDA graph, and return what replays it.

        Raises:
            CaptureError: the call waits for the device, or does something else that a graph cannot hold.
            torch.OutOfMemoryError: as the call would.
        """
        before = torch.cuda.current_stream(self.device)
        side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        side.wait_stream(before)
        with torch.cuda.stream(side):
            for _ in range(CAPTURE_WARMUPS):
                call()
            self._refuse_waiting(call)
        before.wait_stream(side)
        self.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=side):
                call()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # A capture that fails may leave its stream as the current one.
            torch.cuda.set_stream(before)
            self.synchronize()
            raise CaptureError(_first_line(error)) from None
        return graph.replay

    def tracer(self) -> Tracer:
        """torch.profiler on the host and this device."""
        return Tracer([ProfilerActivity.CPU, ProfilerActivity.CUDA], self.synchronize)

    def _refuse_waiting(self, call: Callable[[], object]) -> None:
        """CaptureError where a call waits for the device.

        Asked before capturing: a wait inside would spoil the capture, after which the allocator cannot be trusted.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says once that this mode may miss a wait
            torch.cuda.set_sync_debug_mode("error")
            try:
                call()
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                if "synchroniz" not in str(error):
                    raise
                raise CaptureError(_first_line(error)) from None
            finally:
                torch.cuda.set_sync_debug_mode("default")


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
