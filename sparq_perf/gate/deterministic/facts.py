"""Facts: numbers that a change of the code changes and a change of the weather does not."""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from sparq_perf.gate.errors import GateError

# In the order in which they are told:
#   analytic   bytes and FLOPs by the formulas, of the algorithm and of each implementation
#   counted    bytes, sectors and launches of each step, counted in Triton's interpreter
#   launches   what each decode step starts on each architecture, and with which constants
#   compiled   registers, spills and shared memory of each kernel on each architecture
#   code       digests of the code that none of the above reaches
Section = Literal["analytic", "counted", "launches", "compiled", "code"]
SECTIONS: tuple[Section, ...] = get_args(Section)

# None: there is no such number, as for AMD's uniform registers on NVIDIA.
Value = int | float | str | None

# What is known of one thing, such as one step of one implementation at one shape.
Row = Mapping[str, Value]
Rows = Mapping[str, Row]
Facts = Mapping[Section, Rows]


def collect(section: Section, rows: Iterable[tuple[str, Row]]) -> Rows:
    """Rows by name.

    Raises:
        GateError: none at all, or two of one name: a gate over them would pass what it did not look at.
    """
    collected: dict[str, Row] = {}
    for name, row in rows:
        if name in collected:
            raise GateError(f"{section}: two facts are about {name!r}: this is a fault of sparq-perf")
        collected[name] = row
    if not collected:
        raise GateError(f"{section}: nothing was found: this is a fault of sparq-perf")
    return collected
