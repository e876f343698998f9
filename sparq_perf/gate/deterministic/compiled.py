"""What the compilers make of each kernel, without compiling what has not changed.

Triton's launcher says within seconds what it would compile: the kernel's source with everything it calls, the types
and constants, the compiler's options. A digest of that is kept beside the numbers of the last compilation. While it is
the same, and the version of Triton, so are the numbers; where it is not, that kernel is compiled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from sparq_kernels.gpu.compiling.record import CompiledKernel
from sparq_kernels.gpu.compiling.table import read_table
from sparq_perf.gate.deterministic.child import ask
from sparq_perf.gate.deterministic.facts import Row, Rows, Value, collect
from sparq_perf.gate.errors import GateError

# What to compile: kernels whose digest is not the accepted one, all of them, or none.
Compile = Literal["changed", "all", "never"]

CODE = "code"
REGISTERS = "registers"
UNKNOWN = "not compiled"
IDENTITY = ("kernel", "variant", "target")
NEEDS = tuple(field.name for field in fields(CompiledKernel) if field.name not in IDENTITY)


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the launcher and the compilers said.

    Attributes:
        triton: version of Triton.
        launches: what each decode step starts.
        kernels: what each kernel needs, with its digest.
        n_compiled: kernels that were compiled for this.
    """

    triton: str
    launches: Rows
    kernels: Rows
    n_compiled: int


def compiled_facts(accepted: Rows, accepted_triton: str | None, which: Compile, *, renew: bool = False) -> Compiled:
    """Launches and needs of every kernel on every architecture.

    Args:
        accepted: rows of the baseline; empty where there is none.
        accepted_triton: the version of Triton that those are of.
        which: what to compile.
        renew: where Triton is another one, compile everything anew.

    Raises:
        GateError: a kernel that does not compile, or another version of Triton than the accepted one, whose compilers
            count otherwise.
    """
    known = {name: row[CODE] for name, row in accepted.items()}
    answer = ask(
        "sparq_perf.gate.deterministic.compiled_child",
        question={"triton": accepted_triton, "known": known, "compile": which, "renew": renew},
        interpret=False,
    )
    if accepted and answer["triton"] != accepted_triton and not renew:
        raise GateError(
            f"compiled: the baseline is of Triton {accepted_triton} and this is {answer['triton']}, whose compilers "
            f"count otherwise: use Triton {accepted_triton}, leave 'compiled' out with --section, or --accept this one"
        )
    kernels = collect("compiled", ((each["name"], _row(each, accepted)) for each in answer["kernels"]))
    launches = collect("launches", ((each.pop("name"), each) for each in answer["launches"]))
    return Compiled(answer["triton"], launches, kernels, sum(each["needs"] is not None for each in answer["kernels"]))


def _row(answer: Mapping[str, Any], accepted: Rows) -> Mapping[str, Value]:
    name, code, needs = answer["name"], answer[CODE], answer["needs"]
    if needs is None:
        before = accepted.get(name, {})
        needs = {field: before[field] for field in NEEDS} if before.get(CODE) == code else {REGISTERS: UNKNOWN}
    return {CODE: code, **needs}


def not_compiled(row: Row) -> bool:
    """Whether nobody knows what a kernel needs."""
    return row.get(REGISTERS) == UNKNOWN


def outdated_rows(kernels: Rows, table: Path) -> list[str]:
    """What the committed table of `make compiled` says otherwise, a line each; none where there is no such table.

    Raises:
        SparqPerfError: a table that cannot be read.
    """
    if not table.exists():
        return []
    written = {
        f"{row.kernel} [{row.variant}] {row.target}": {field: getattr(row, field) for field in NEEDS}
        for row in read_table(table).rows
    }
    lines = [f"{name}: not compiled any more" for name in written if name not in kernels]
    for name, row in kernels.items():
        if not_compiled(row):
            continue
        if name not in written:
            lines.append(f"{name}: not in the table")
            continue
        differing = [field for field in NEEDS if written[name][field] != row[field]]
        lines += [f"{name}: {field} {written[name][field]}, found {row[field]}" for field in differing]
    return lines
