"""What this process and the child under ncu tell each other: a plan, its outcomes, and names in the profile."""

import re

from pydantic import Field

from sparq_perf.measure.dram.subjects import DramSubject
from sparq_perf.records.line import Text
from sparq_profiles.quantity import Frozen

# NVTX ranges, one within the other: the outer is what ncu is to profile, the inner says whose kernel it is.
WATCHED = "sparq-dram"
_SUBJECT = "sparq-dram-subject-"
# The kernel of torch.cuda._sleep, launched before each subject's own: it tells subjects apart where a profile lost its
# ranges, and touches no memory.
MARKER_KERNEL = "spin_kernel"


def subject_range(index: int) -> str:
    """Name of the range around the call of the subject with this place in the plan."""
    return f"{_SUBJECT}{index}"


def subject_of(ranges: str) -> int | None:
    """Place in the plan, from the text that a profile has of a kernel's ranges; None outside of all."""
    found = re.search(rf"\b{_SUBJECT}(\d+)\b", ranges)
    return None if found is None else int(found[1])


class ChildPlan(Frozen):
    """What the child is to call.

    Attributes:
        seed: of the caches; queries take the next.
        uuid: of the GPU that it must find itself on; None where that is not known.
        outcomes: path of the file that it leaves behind.
    """

    seed: int
    uuid: Text | None = None
    subjects: tuple[DramSubject, ...]
    outcomes: Text


class SubjectOutcome(Frozen):
    """How one subject went.

    Attributes:
        steps: the named step of each kernel that the implementation launches with a name.
        failure: why its call was not made, in one line; None where it was.
    """

    steps: dict[str, str] = Field(default_factory=dict)
    failure: Text | None = None


class ChildOutcomes(Frozen):
    """How the plan's subjects went, in order, as far as the child came."""

    subjects: tuple[SubjectOutcome, ...] = ()
