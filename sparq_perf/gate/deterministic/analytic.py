"""Bytes and FLOPs by the formulas: the algorithm's minimum, and what each implementation states of itself."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import asdict

from sparq_kernels.gpu.tiling import TILINGS
from sparq_kernels.gpu.traffic import append_step
from sparq_kernels.registry import IMPLEMENTATIONS, Implementation
from sparq_perf.gate.deterministic.facts import Row, Rows, collect
from sparq_perf.gate.deterministic.shapes import STEPS, Step
from sparq_profiles import AttentionShape
from sparq_roofline import dense_traffic, sparq_traffic
from sparq_roofline.steps import StepTraffic, Traffic
from sparq_roofline.traffic import kv_cache_bytes

FIELDS = ("read_bytes", "write_bytes", "flops", "elements", "launches", "pieces", "accessed_bytes")


def analytic_facts() -> Rows:
    """Every step of `STEPS`, by every formula; what does not depend on SparQ's settings once."""
    return collect("analytic", _of_all())


def _of_all() -> Iterator[tuple[str, Row]]:
    seen: dict[str, Row] = {}
    for step in STEPS:
        for name, row in _facts(step):
            if seen.get(name) != row:
                seen[name] = row
                yield name, row


def _facts(step: Step) -> Iterator[tuple[str, Row]]:
    shape, config = step.shape, step.config
    yield f"KV cache · {step.title} · {shape.dtype}", {"bytes": kv_cache_bytes(shape, config)}
    yield from _rows("algorithm dense", shape, step.shape_title, dense_traffic(shape))
    yield from _rows("algorithm SparQ", shape, step.title, sparq_traffic(shape, config))
    layout = f"{step.shape_title} · {config.k_layout}"
    yield from _rows("triton", shape, layout, Traffic((append_step(shape, config.k_layout),)))
    for entry in IMPLEMENTATIONS.values():
        if entry.base is None:  # a variant shares its base's formulas
            taken = _taken(shape, entry)
            title, settings = (step.title, config) if entry.sparse else (step.shape_title, None)
            for name, traffic in _formulas(entry):
                yield from _rows(name, taken, title, traffic(taken, settings))


def _taken(shape: AttentionShape, entry: Implementation) -> AttentionShape:
    """The shape, in a type that the implementation takes."""
    dtype = shape.dtype if shape.dtype in entry.dtypes else entry.dtypes[0]
    return AttentionShape(**{**asdict(shape), "dtype": dtype})


def _formulas(entry: Implementation) -> Iterator[tuple[str, Callable[..., Traffic]]]:
    """One for each architecture's launch parameters where those have a part in it."""
    if not entry.interpretable:
        yield entry.name, entry.traffic
        return
    stated = importlib.import_module(f"{entry.folder}.traffic").traffic
    for tiling in TILINGS.values():

        def traffic(*arguments: object, tiling: object = tiling) -> Traffic:
            made: Traffic = stated(*arguments, tiling)
            return made

        yield f"{entry.name} {tiling.architecture}", traffic


def _rows(name: str, shape: AttentionShape, title: str, traffic: Traffic) -> Iterator[tuple[str, Row]]:
    for one in traffic.steps:
        yield f"{name} {one.name} · {title} · {shape.dtype}", _row(one)


def _row(step: StepTraffic) -> Row:
    """Whole numbers as such: a file of them reads better."""
    values = {field: getattr(step, field) for field in FIELDS}
    return {
        field: int(value) if isinstance(value, float) and value.is_integer() else value
        for field, value in values.items()
    }
