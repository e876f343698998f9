"""What an earlier run left: going on with its records, or keeping them aside."""

import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sparq_perf.measure.observing import Place
from sparq_perf.measure.plan import Group
from sparq_perf.measure.progress import Progress
from sparq_perf.records.schema import (
    CalibrationLine,
    CeilingsLine,
    Counted,
    Dram,
    Energy,
    Environment,
    Measurement,
    PassName,
    Run,
    StepProfile,
    Subject,
)
from sparq_perf.records.store import RecordError, mend_torn_line, read_lines
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.suite import Suite
from sparq_roofline.calibration import TimeModel

# The pass that each kind of record comes from.
PASS_OF: dict[type[Subject], PassName] = {
    Measurement: "timing",
    Energy: "nvml",
    StepProfile: "profile",
    Dram: "counters",
    Counted: "counted",
}


@dataclass(slots=True)
class RunState:
    """What the file already holds.

    Attributes:
        resumed: the file held anything at all.
        done: by pass, the keys that have its record.
        failed: keys whose measurement failed: no pass can see anything of them.
    """

    resumed: bool = False
    done: dict[PassName, set[str]] = field(default_factory=lambda: defaultdict(set))
    failed: set[str] = field(default_factory=set)
    hardware: HardwareProfile | None = None
    models: dict[str, TimeModel] = field(default_factory=dict)

    def lacks(self, name: PassName, key: str) -> bool:
        """Whether a pass has still to be made over a contender."""
        return key not in self.done[name] and key not in self.failed

    def lacking(self, name: PassName, group: Group) -> list[Place]:
        """The contenders of a group over which a pass has still to be made."""
        places = (Place(group, contender) for contender in group.contenders)
        return [place for place in places if self.lacks(name, place.key)]


def suite_digest(suite: Suite) -> str:
    """Digest of what a suite has measured; what is expected of it may change while a run goes on."""
    return hashlib.sha256(suite.model_dump_json(exclude={"expectations"}).encode()).hexdigest()


def resume(path: Path, suite: Suite, environment: Environment, progress: Progress) -> RunState:
    """What a record file holds already; a torn last line is cut off first.

    Raises:
        RecordError: records of another suite or another device, or a file that cannot be read.
    """
    if mend_torn_line(path):
        progress.note("the last line was cut off when the run was killed: it is removed and measured again")
    lines = read_lines(path) if path.stat().st_size else []
    state = RunState(resumed=bool(lines))
    for line in lines:
        if isinstance(line, Run):
            if line.suite_sha256 != suite_digest(suite):
                raise RecordError(
                    f"{path}: holds suite {line.suite!r}, not this {suite.name!r}: name another --out, or leave out "
                    "--resume"
                )
            there, here = line.environment, environment
            if (there.device, there.n_threads) != (here.device, here.n_threads):
                raise RecordError(
                    f"{path}: was measured on {there.device} with {there.n_threads} threads, this is {here.device} "
                    f"with {here.n_threads}: name another --out"
                )
        elif isinstance(line, CeilingsLine) and line.phase == "start":
            state.hardware = line.hardware
        elif isinstance(line, CalibrationLine):
            state.models[line.implementation] = line.model
        elif isinstance(line, Subject):
            state.done[PASS_OF[type(line)]].add(line.key)
            if isinstance(line, Measurement) and line.status == "failed":
                state.failed.add(line.key)
    return state


def keep_aside(path: Path) -> Path:
    """Rename an earlier run's records, which a new run must not overwrite."""
    stamp = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%SZ")
    kept = path.with_name(f"{path.stem}-{stamp}{path.suffix}")
    n = 1
    while kept.exists():
        n += 1
        kept = path.with_name(f"{path.stem}-{stamp}-{n}{path.suffix}")
    os.rename(path, kept)
    return kept
