"""What the command does with the kernels once they are compiled: keep, print, compare."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sparq_kernels.gpu.compiling.binaries import instruction_mix
from sparq_kernels.gpu.compiling.building import Built, build, plan
from sparq_kernels.gpu.compiling.table import Table, differences, read_table, unfit
from sparq_kernels.gpu.compiling.targets import TARGETS


def run(options: argparse.Namespace) -> int:
    """Compile, then write, print or compare; 1 where a kernel fails, is unfit or differs from the table."""
    from sparq_kernels.gpu.compiling.compiler import triton_version

    before = read_table(options.check) if options.check else None
    jobs = plan(options.cases, options.target or list(TARGETS), options.kernel)
    # A check trusts the binary's own count of local memory; what is written down has been looked for in the code too.
    listing = bool(options.write or options.markdown or options.listings or options.mix or not options.check)
    built = list(build(jobs, options.workers, listing=listing))
    built.sort(key=lambda one: (one.job.kernel, one.job.variant, one.job.target))
    table = Table.of(triton_version(), [one.record for one in built if one.record])
    failed = [f"! {_title(one)}: {one.error}" for one in built if not one.record]
    if options.listings:
        write_listings(options.listings, built)
    if options.mix:
        print("\n".join(mixes(built)))
    bad = failed + unfit(table)
    if before:
        bad = list(dict.fromkeys(bad + differences(only(before, options), table)))
        if before.triton != table.triton:
            print(
                f"{options.check} is of Triton {before.triton} and this is {table.triton}: only local memory on NVIDIA "
                "and what fits is checked"
            )
    if not failed and options.write:
        _write(options.write, table.as_json())
    if not failed and options.markdown:
        _write(options.markdown, table.as_markdown())
    if not (options.write or options.markdown or options.check or options.mix):
        print(table.as_json() if options.json else table.as_markdown(), end="")
    elif options.json:
        print(table.as_json(), end="")
    print(*bad, f"{len(table.rows)} kernels compiled, {len(bad)} complaints", sep="\n", file=sys.stderr)
    return 1 if bad else 0


def only(table: Table, options: argparse.Namespace) -> Table:
    """The rows of a table that the options ask for."""
    return Table.of(
        table.triton,
        [
            row
            for row in table.rows
            if options.kernel in (None, row.kernel) and (not options.target or row.target in options.target)
        ],
    )


def mixes(built: Sequence[Built]) -> list[str]:
    """A line a kernel with its instructions, the most frequent first."""
    lines = []
    for one in built:
        if one.record and TARGETS[one.record.target].backend == "cuda":
            counts = " ".join(f"{name}:{count}" for name, count in instruction_mix(one.listing).most_common())
            lines.append(f"{_title(one)}: {counts}")
    return lines


def write_listings(folder: Path, built: Sequence[Built]) -> None:
    """Write each kernel's machine code as text."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in built:
        if one.record:
            name = f"{one.record.kernel}-{one.record.variant}-{one.record.target}".replace(" ", "_").replace("/", "_")
            suffix = ".sass" if TARGETS[one.record.target].backend == "cuda" else ".amdgcn"
            (folder / f"{name}{suffix}").write_text(one.listing, encoding="utf-8")


def _title(one: Built) -> str:
    return f"{one.job.kernel} [{one.job.variant}] {one.job.target}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
