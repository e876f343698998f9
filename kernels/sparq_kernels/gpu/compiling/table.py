"""The table of compiled kernels: as JSON, as Markdown, and compared with an earlier one."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path

from sparq_kernels.gpu.compiling.record import CompiledKernel
from sparq_kernels.gpu.compiling.targets import ABSENT, TARGETS
from sparq_profiles.errors import SparqPerfError

_MARKDOWN_HEAD = """\
# What the compilers say

Every Triton kernel, compiled ahead of time for every architecture by Triton {triton}. No GPU took part: these are the
compilers' words, not measurements. `make compiled` writes this page; a test compares it with a fresh compilation.

- **registers**: of one thread (AMD: vector registers, and scalar registers of a wavefront).
- **shared**: bytes of shared memory (AMD: LDS) of one program, without the 1 KiB that CUDA keeps for itself.
- **local**: bytes of local memory (AMD: scratch) of one thread, and instructions that access it. Spilled registers go
  there.
- **programs**: most programs that fit on one SM at a time, and what stops one more. For AMD it is not estimated.
"""


class TableError(SparqPerfError):
    """A table that cannot be read."""


@dataclass(frozen=True, slots=True)
class Table:
    """Compiled kernels and the version of Triton whose compilers made them."""

    triton: str
    rows: tuple[CompiledKernel, ...]

    @classmethod
    def of(cls, triton: str, rows: Iterable[CompiledKernel]) -> "Table":
        """A table with its rows in order.

        Raises:
            TableError: two rows about one kernel, variant and target.
        """
        ordered = tuple(sorted(rows, key=_key))
        for first, second in pairwise(ordered):
            if _key(first) == _key(second):
                raise TableError(f"two rows are about {_name(first)}: give the cases different names")
        return cls(triton, ordered)

    def as_json(self) -> str:
        """Canonical text, one row a line, so that a difference of two files reads well."""
        backends = dict.fromkeys(target.backend for target in TARGETS.values())
        absent = {
            field: reason
            for field in (entry.name for entry in fields(CompiledKernel))
            if (reason := "; ".join(ABSENT[backend][field] for backend in backends if field in ABSENT[backend]))
        }
        head = f'"triton": {json.dumps(self.triton)},\n"null_means": {json.dumps(absent, indent=1)},\n"rows": [\n'
        return "{\n" + head + ",\n".join(json.dumps(asdict(row)) for row in self.rows) + "\n]\n}\n"

    @classmethod
    def from_json(cls, text: str, source: str) -> "Table":
        """The table that `as_json` wrote.

        Raises:
            TableError: text that is not such a table; the message names ``source``.
        """
        try:
            data = json.loads(text)
            return cls.of(str(data["triton"]), [CompiledKernel(**row) for row in data["rows"]])
        except (ValueError, KeyError, TypeError) as error:
            raise TableError(f"{source}: not a table of compiled kernels: {error}: run `make compiled`") from error

    def as_markdown(self) -> str:
        """The page for people."""
        parts = [_MARKDOWN_HEAD.format(triton=self.triton)]
        for target in TARGETS:
            rows = [row for row in self.rows if row.target == target]
            if rows:
                parts.append(_markdown_of_target(target, rows))
        return "\n".join(parts)


def read_table(path: Path) -> Table:
    """The table in a file.

    Raises:
        TableError: a file that cannot be read, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TableError(f"{path}: {error.strerror}: run `make compiled`") from error
    return Table.from_json(text, str(path))


def differences(before: Table, after: Table) -> list[str]:
    """What differs, a line each; across versions of Triton only local memory counts, which no version may need."""
    if before.triton != after.triton:
        return unfit(after)
    old, new = ({_key(row): row for row in table.rows} for table in (before, after))
    lines = [f"- {_name(old[key])}: not compiled any more" for key in old if key not in new]
    lines += [f"+ {_name(new[key])}: new" for key in new if key not in old]
    for key in sorted(old.keys() & new.keys()):
        was, now = asdict(old[key]), asdict(new[key])
        changed = [f"{field} {was[field]} → {now[field]}" for field in was if was[field] != now[field]]
        if changed:
            lines.append(f"~ {_name(new[key])}: {', '.join(changed)}")
    return lines


def unfit(table: Table) -> list[str]:
    """Kernels that no architecture should be given: local memory on NVIDIA, or a program that cannot start."""
    lines = []
    for row in table.rows:
        target = TARGETS[row.target]
        if target.backend == "cuda" and row.uses_local_memory:
            lines.append(
                f"! {_name(row)}: {row.local_bytes} bytes of local memory a thread, "
                f"{row.local_instructions} instructions that access it"
            )
        if row.shared_bytes > target.shared_limit_bytes:
            lines.append(
                f"! {_name(row)}: {row.shared_bytes} bytes of shared memory, {target.shared_limit_bytes} exist"
            )
        elif row.resident_programs == 0:
            lines.append(f"! {_name(row)}: no program fits an SM: {row.limited_by}")
    return lines


def _key(row: CompiledKernel) -> tuple[str, str, int]:
    return row.kernel, row.variant, list(TARGETS).index(row.target)


def _name(row: CompiledKernel) -> str:
    return f"{row.kernel} [{row.variant}] {row.target}"


def _markdown_of_target(target: str, rows: Sequence[CompiledKernel]) -> str:
    lines = [
        f"## {target}\n",
        "| kernel | variant | warps | stages | registers | shared | local | programs |",
        "|---|---|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        registers = str(row.registers) if row.scalar_registers is None else f"{row.registers} + {row.scalar_registers}"
        local = str(row.local_bytes)
        if row.local_instructions:
            local += f" ({row.local_instructions} instructions)"
        programs = "" if row.resident_programs is None else f"{row.resident_programs} ({row.limited_by})"
        lines.append(
            f"| {row.kernel} | {row.variant} | {row.num_warps} | {row.num_stages} | {registers} "
            f"| {row.shared_bytes:,} | {local} | {programs or '—'} |"
        )
    return "\n".join(lines) + "\n"
