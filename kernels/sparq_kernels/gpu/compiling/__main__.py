"""`python -m sparq_kernels.gpu.compiling`: compile every kernel for every architecture, without a GPU."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sparq_kernels.gpu.compiling.targets import TARGETS
from sparq_profiles.errors import SparqPerfError

CASES = "sparq_kernels.gpu.variants"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m sparq_kernels.gpu.compiling",
        description="Compile every Triton kernel ahead of time and say what the compilers make of it. Needs no GPU. "
        "Exit code 1: a kernel does not compile, spills on NVIDIA, does not fit, or differs from the table.",
    )
    made.add_argument("--target", action="append", choices=TARGETS, help="only this architecture; may be repeated")
    made.add_argument("--kernel", help="only kernels of this name")
    made.add_argument("--cases", default=CASES, metavar="MODULE", help="module whose CASES are compiled (%(default)s)")
    made.add_argument("--workers", type=int, metavar="N", help="processes (one a core)")
    made.add_argument("--cache", type=Path, metavar="FOLDER", help="keep Triton's files here (a temporary folder)")
    made.add_argument("--listings", type=Path, metavar="FOLDER", help="write SASS and AMD assembly here")
    made.add_argument("--mix", action="store_true", help="print how often each instruction stands in the SASS")
    made.add_argument("--json", action="store_true", help="print the table as JSON instead of Markdown")
    made.add_argument("--write", type=Path, metavar="PATH", help="write the table as JSON here")
    made.add_argument("--markdown", type=Path, metavar="PATH", help="write the table as Markdown here")
    made.add_argument("--check", type=Path, metavar="PATH", help="compare with this table and print what differs")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    options = parser().parse_args(arguments)
    # Kernels that are interpreted cannot be compiled, and a jitted function decides that when it is made.
    os.environ.pop("TRITON_INTERPRET", None)
    from sparq_kernels.gpu.compiling.command import run

    try:
        with tempfile.TemporaryDirectory() as temporary:
            os.environ["TRITON_CACHE_DIR"] = str((options.cache or Path(temporary)).resolve())
            return run(options)
    except SparqPerfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
