"""Every Triton kernel is started here, so that a launch can be counted, recorded or named without touching a kernel.

A launcher says what it launches as data: the kernel, its grid, its arguments by name and its constants. Usually
that runs at once. An observer installed with `observing` gets the launch instead: to run it with memory operations
counted, or to keep it for ahead-of-time compilation without running anything, on tensors of the ``meta`` device.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sparq_kernels.gpu.interpreting import device_arithmetic
from sparq_kernels.profiling import step_range
from sparq_kernels.registry import is_interpreted

# As many as a thread can have on NVIDIA: said aloud, it keeps ptxas from spilling to fit in one more program.
ALL_REGISTERS = 255

Argument = Tensor | int | float | None


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel launch.

    Attributes:
        step: the named step it belongs to: ``score``, ``select``, ``gather``, ``attend``, ``append``.
        kernel: the function that ``triton.jit`` made.
        grid: programs along each axis.
        arguments: tensors and run-time numbers by parameter name.
        constants: compile-time parameters by name.
        num_warps, num_stages: how it is compiled.
        max_registers: a thread's, on NVIDIA; None leaves it to the compiler, which may spill to fit another program.
    """

    step: str
    kernel: Any
    grid: tuple[int, ...]
    arguments: Mapping[str, Argument]
    constants: Mapping[str, Any]
    num_warps: int
    num_stages: int
    max_registers: int | None = None

    @property
    def name(self) -> str:
        """Name of the kernel function."""
        return str(self.kernel.__name__)

    def run(self) -> None:
        """Start the kernel on the arguments' device, or run it in Triton's interpreter."""
        with device_arithmetic() if is_interpreted() else self._on_device():
            self.kernel[self.grid](
                **self.arguments, **self.constants, **self.options(amd=torch.version.hip is not None)
            )

    def _on_device(self) -> AbstractContextManager[Any]:
        """Triton starts kernels on torch's current device, which need not be the tensors'."""
        device = next(value.device for value in self.arguments.values() if isinstance(value, Tensor))
        return torch.cuda.device(device) if device.type == "cuda" else nullcontext()

    def options(self, *, amd: bool) -> dict[str, int]:
        """Compiler options by Triton's names."""
        # Fused multiply-adds are what the kernels are written for, whatever a version's default.
        options = {"num_warps": self.num_warps, "num_stages": self.num_stages, "enable_fp_fusion": True}
        if self.max_registers is not None and not amd:
            options["maxnreg"] = self.max_registers
        return options


Observer = Callable[[Launch], None]

_OBSERVER: ContextVar[Observer | None] = ContextVar("launch_observer", default=None)


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Hand every launch in this context to ``observer``, which may `Launch.run` it, or not."""
    token = _OBSERVER.set(observer)
    try:
        yield
    finally:
        _OBSERVER.reset(token)


def launch(
    step: str,
    kernel: Any,
    grid: tuple[int, ...],
    arguments: Mapping[str, Argument],
    constants: Mapping[str, Any],
    *,
    num_warps: int,
    num_stages: int = 1,
    max_registers: int | None = None,
) -> None:
    """Start a kernel inside the profiler range ``sparq::step``, or hand it to the observer."""
    started = Launch(step, kernel, grid, arguments, constants, num_warps, num_stages, max_registers)
    observer = _OBSERVER.get()
    with step_range(step):
        if observer is None:
            started.run()
        else:
            observer(started)
