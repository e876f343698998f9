"""Compiles one kernel launch for an architecture that need not be in this machine, as the launch itself would.

Triton's own launcher does the work: it types the arguments, decides what to specialise on and starts the compilers. It
only asks a driver which device it is on, so a driver stands in that names the target. Nothing here rebuilds signatures
or attributes by hand, which would compile something that no launch runs.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver

from sparq_kernels.gpu.compiling import binaries
from sparq_kernels.gpu.compiling.record import CompiledKernel
from sparq_kernels.gpu.compiling.targets import RESERVED_SHARED_BYTES, Target, occupancy
from sparq_kernels.gpu.launching import Launch
from sparq_profiles.errors import SparqPerfError

# From this compute capability on, cuobjdump's SHARED holds what CUDA reserves.
_RESERVED_IS_COUNTED_FROM = 90


class CompilationError(SparqPerfError):
    """A launch that the compilers refuse."""


@dataclass(frozen=True, slots=True)
class Specialisation:
    """What the launcher makes of a launch's arguments.

    Attributes:
        key: equal for launches that run the same machine code.
        signature: type by parameter name, ``constexpr`` for what is compiled in.
        constants: value by parameter name of what is compiled in: constants, None, and integers equal to 1.
        divisible: parameters known to be divisible by 16: pointers and integers.
    """

    key: str
    signature: Mapping[str, str]
    constants: Mapping[str, Any]
    divisible: frozenset[str]


class _StandInDriver:
    """Answers the launcher's questions as if the target were this machine's device."""

    def __init__(self, target: Target) -> None:
        self._target = GPUTarget(target.backend, target.arch, target.warp_size)

    def get_current_device(self) -> object:
        # The launcher keeps what it has compiled by device. A device of its own makes each of these launches the first.
        return self

    def get_current_target(self) -> GPUTarget:
        return self._target

    def get_current_stream(self, device: object) -> int:
        return 0


@contextlib.contextmanager
def _as_if_on(target: Target) -> Iterator[None]:
    # `active` would look for a GPU, and there may be none.
    previous = driver._active
    driver.set_active(_StandInDriver(target))
    try:
        with warnings.catch_warnings():
            # Triton 3.9 warns once that 3.10 will fuse multiply-adds by request only: as true of the real launch.
            warnings.filterwarnings("ignore", message="TRITON_DEFAULT_FP_FUSION", category=UserWarning)
            yield
    finally:
        driver.set_active(previous)


def _warm_up(launch: Launch, target: Target) -> Any:
    """The launch up to the point where it would start: typed, specialised and compiled."""
    if not hasattr(launch.kernel, "warmup") or knobs.runtime.interpret:
        raise CompilationError(f"{launch.name}: it was made for Triton's interpreter: unset TRITON_INTERPRET")
    output = io.StringIO()
    try:
        # Where ptxas fails, Triton prints the whole listing: the exception says enough.
        with _as_if_on(target), contextlib.redirect_stdout(output):
            return launch.kernel.warmup(
                grid=launch.grid,
                **launch.arguments,
                **launch.constants,
                **launch.options(amd=target.backend == "hip"),
            )
    except Exception as error:
        # Whatever a compiler raises, of any type, is the finding: it is reported with the launch that caused it.
        raise CompilationError(f"{launch.name} for {target.name}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """What an exception and those that caused it say: Triton wraps an error once a level of the kernel's calls."""
    texts = []
    cause: BaseException | None = error
    while cause is not None:
        texts.append(f"{type(cause).__name__}: {cause}")
        cause = cause.__cause__
    return "\n".join(texts)


def specialise(launch: Launch, target: Target) -> Specialisation:
    """Type and specialise a launch without compiling it.

    Raises:
        CompilationError: arguments that the launcher does not take, or a kernel made for the interpreter.
    """
    seen: list[Mapping[str, Any]] = []

    def stop_here(*, compile: Mapping[str, Any], **_: Any) -> bool:
        seen.append(compile)
        return True

    with _hooked(stop_here):
        _warm_up(launch, target)
    found = seen[0]
    names = launch.kernel.arg_names
    return Specialisation(
        key=f"{launch.kernel.cache_key}-{found['key']}",
        signature=dict(found["signature"]),
        constants={names[path[0]]: value for path, value in found["constants"].items()},
        divisible=frozenset(
            names[path[0]]
            for path, attributes in found["configs"][0].items()
            if ["tt.divisibility", 16] in [list(attribute) for attribute in attributes]
        ),
    )


@contextlib.contextmanager
def _hooked(hook: Callable[..., bool]) -> Iterator[None]:
    previous = knobs.runtime.jit_cache_hook
    knobs.runtime.jit_cache_hook = hook
    try:
        yield
    finally:
        knobs.runtime.jit_cache_hook = previous


def compile_launch(launch: Launch, target: Target, variant: str, *, listing: bool = True) -> tuple[CompiledKernel, str]:
    """Compile a launch; what the kernel needs, and its machine code as text (SASS, or AMD assembly).

    Args:
        launch: what to compile; its tensors may be on the ``meta`` device.
        target: for which architecture.
        variant: a name for the record.
        listing: whether the machine code is wanted, a quarter of the time. Without it, instructions that access local
            memory are looked for only where the binary says that there is any, and the text is empty elsewhere.

    Raises:
        CompilationError: the compilers refuse it.
        BinaryError: a tool that reads the binary fails.
    """
    compiled = _warm_up(launch, target)
    if target.backend == "cuda":
        needs, text = _read_cubin(compiled, target, listing)
    else:
        needs, text = _read_amdgcn(compiled)
    record = CompiledKernel(
        kernel=launch.name,
        variant=variant,
        target=target.name,
        num_warps=launch.num_warps,
        num_stages=launch.num_stages,
        **needs,
    )
    return record, text


def _read_cubin(compiled: Any, target: Target, listing: bool) -> tuple[dict[str, Any], str]:
    cubin, metadata = compiled.asm["cubin"], compiled.metadata
    report = binaries.run_tool(knobs.nvidia.cuobjdump.path, "--dump-resource-usage", binary=cubin)
    usage = binaries.parse_resource_usage(report, metadata.name)
    local_bytes = usage["STACK"] + usage["LOCAL"]
    sass = ""
    if listing or local_bytes:
        # -ndf: no data flow analysis, which takes a third of the time and only names the branch targets.
        sass = binaries.run_tool(knobs.nvidia.nvdisasm.path, "-c", "-ndf", binary=cubin)
    static = usage["SHARED"]
    if isinstance(target.arch, int) and target.arch >= _RESERVED_IS_COUNTED_FROM:
        static = max(0, static - RESERVED_SHARED_BYTES)
    shared_bytes = static + metadata.shared
    assert target.limits is not None
    resident = occupancy(target.limits, registers=usage["REG"], shared_bytes=shared_bytes, num_warps=metadata.num_warps)
    needs = {
        "registers": usage["REG"],
        "scalar_registers": None,
        "shared_bytes": shared_bytes,
        "local_bytes": local_bytes,
        "local_instructions": binaries.local_instructions(binaries.instruction_mix(sass)),
        "spilled_registers": None,
        "resident_programs": resident.programs,
        "limited_by": resident.limited_by,
    }
    return needs, sass


def _read_amdgcn(compiled: Any) -> tuple[dict[str, Any], str]:
    assembly = compiled.asm["amdgcn"]
    usage = binaries.parse_amdgcn(assembly)
    needs = {
        "registers": usage["vgpr_count"],
        "scalar_registers": usage["sgpr_count"],
        # Triton asks for LDS at the launch, not in the code object.
        "shared_bytes": usage["group_segment_fixed_size"] + compiled.metadata.shared,
        "local_bytes": usage["private_segment_fixed_size"],
        "local_instructions": None,
        "spilled_registers": usage["vgpr_spill_count"],
        "resident_programs": None,
        "limited_by": None,
    }
    return needs, assembly


def triton_version() -> str:
    """Version of Triton, which carries the compilers of both vendors."""
    return str(triton.__version__)
