"""Counts what Triton kernels access, exactly and without a GPU: each launch runs in Triton's interpreter.

`counting` observes the launches made in its context and the interpreter's memory operations during each of them.
Scalar accesses, block pointers and tensor descriptors all pass through the four operations that are hooked here.
"""

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from sparq_kernels.gpu.launching import Launch, observing
from sparq_perf.measure.counts import AccessKind, LaunchCount
from sparq_perf.measure.interpreting import MEND, kernel_is_interpreted
from sparq_perf.measure.tallying import LaunchTally, TensorTally
from sparq_profiles import SparqPerfError

# The interpreter builder's methods that touch memory; every other one that does calls these.
OPERATIONS = ("create_masked_load", "create_masked_store", "create_atomic_rmw", "create_atomic_cas")

_SCRATCH = np.zeros(1, dtype=np.uint64)  # as wide as the widest atomic


@contextmanager
def counting() -> Iterator[list[LaunchCount]]:
    """Count the launches made in this context; the list that it yields grows by one record a launch.

    Accesses outside a tensor's storage are skipped (a read gives the load's ``other`` value, or 0) and returned in
    `LaunchCount.out_of_bounds` rather than raised: one run then names every fault of every launch, and an exception
    from inside the interpreter would arrive wrapped in another and leave the counts before it behind.

    Not for several threads: the interpreter that it observes is one per process.

    Raises:
        SparqPerfError: on a launch whose kernel is not interpreted, or whose tensors are not on the CPU.
    """
    counts: list[LaunchCount] = []
    with observing(lambda launch: counts.append(count_launch(launch))):
        yield counts


def count_launch(launch: Launch) -> LaunchCount:
    """Run one launch in the interpreter, counted; errors as for `counting`."""
    if not kernel_is_interpreted(launch.kernel):
        raise SparqPerfError(f"counting: {launch.name} was made to be compiled, not interpreted: {MEND}")
    interpreter = importlib.import_module("triton.runtime.interpreter")
    arguments: dict[str, Any] = dict(launch.arguments)
    tallies: list[TensorTally] = []
    for name, value in launch.arguments.items():
        if isinstance(value, Tensor):
            if value.device.type != "cpu":
                raise SparqPerfError(f"counting: {launch.name}: {name} is on {value.device}: it must be on the cpu")
            tallies.append(TensorTally(name, value, len(tallies) + 1))
            arguments[name] = _labelled(interpreter, value, tallies[-1].pointer)
    tally = LaunchTally(launch.name, tallies)
    with _observed(interpreter, tally):
        replace(launch, arguments=arguments).run()
    return LaunchCount(
        step=launch.step,
        kernel=launch.name,
        grid=launch.grid,
        tensors=tuple(each.count() for each in tallies),
        out_of_bounds=tally.out_of_bounds(),
    )


def _labelled(interpreter: Any, tensor: Tensor, pointer: int) -> Any:
    """The tensor as the interpreter would pass it to a kernel, with another address."""
    converted = interpreter._implicit_cvt(tensor)
    converted.handle.data = np.array([pointer], dtype=np.uint64)
    return converted


@contextmanager
def _observed(interpreter: Any, tally: LaunchTally) -> Iterator[None]:
    """Put the hooks in front of the interpreter's memory operations, and take them away again."""
    builder = interpreter.interpreter_builder
    missing = [name for name in OPERATIONS if not hasattr(builder, name)]
    if missing:
        raise SparqPerfError(f"counting: this Triton's interpreter has no {missing[0]}: use triton 3.5 to 3.9")
    for name, hook in zip(OPERATIONS, _hooks(interpreter, tally), strict=True):
        setattr(builder, name, hook)  # on the instance: the class keeps the original
    try:
        yield
    finally:
        for name in OPERATIONS:
            delattr(builder, name)


def _hooks(interpreter: Any, tally: LaunchTally) -> Sequence[Callable[..., Any]]:
    """What takes the place of each of `OPERATIONS`, in their order.

    The positions of pointers, values and masks are the same in all versions of Triton from 3.5 to 3.9; what follows
    them is not, and is passed on as it comes.
    """
    builder = interpreter.interpreter_builder
    masked_load, masked_store, atomic_rmw, atomic_cas = (getattr(builder, name) for name in OPERATIONS)
    handle_type, int1 = interpreter.TensorHandle, interpreter.tl.int1

    def resolve(access: AccessKind, pointers: Any, mask: Any) -> tuple[Any, Any]:
        addresses = np.asarray(pointers.data)
        lanes = np.broadcast_to(True if mask is None else mask.data, addresses.shape)
        # int1 has a bitwidth of 1 and takes a byte.
        element_bytes = max(1, pointers.get_element_ty().primitive_bitwidth // 8)
        real, safe = tally.resolve(access, addresses, lanes, element_bytes, tuple(builder.grid_idx))
        return handle_type(real, pointers.dtype), handle_type(safe, int1)

    def load(pointers: Any, mask: Any, *rest: Any, **named: Any) -> Any:
        return masked_load(*resolve("read", pointers, mask), *rest, **named)

    def store(pointers: Any, value: Any, mask: Any, *rest: Any, **named: Any) -> Any:
        real, safe = resolve("write", pointers, mask)
        return masked_store(real, value, safe, *rest, **named)

    def rmw(operation: Any, pointers: Any, value: Any, mask: Any, *rest: Any, **named: Any) -> Any:
        real, safe = resolve("atomic", pointers, mask)
        return atomic_rmw(operation, real, value, safe, *rest, **named)

    def cas(pointers: Any, *rest: Any, **named: Any) -> Any:
        real, safe = resolve("atomic", pointers, None)
        # There is no mask to leave unsafe lanes out: they get an address of their own that nobody reads.
        real.data[~safe.data] = _SCRATCH.ctypes.data
        return atomic_cas(real, *rest, **named)

    return load, store, rmw, cas
