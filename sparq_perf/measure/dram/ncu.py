"""DRAM bytes by Nsight Compute: its `ncu` runs a child that makes each subject's call once, and counts every kernel.

The counts are to be those of a decode step whose KV cache lies in DRAM, in which a kernel still finds in the L2 what
the kernel before it wrote. Hence, of ncu's settings:

    --cache-control none        ncu flushes nothing: the child does, before the call. Its own flush, before each kernel,
                                would make `select` read from DRAM the candidates that `score` has just written.
    --replay-mode application   a kernel runs once. Should the metrics need two passes, the child runs twice, flush
                                included. Kernel replay would run the kernel again on the L2 that its first run left,
                                and restore memory through that L2 before. One pass is all that is expected: the DRAM
                                counters and the L2's are of different units.
    --clock-control none        clocks do not change bytes, and locking them needs rights.

Lines that a kernel leaves dirty in the L2 are counted in the kernel that evicts them, or in none.
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from sparq_perf.measure.dram.exchange import WATCHED, ChildOutcomes, ChildPlan
from sparq_perf.measure.dram.ncu_counts import L2_READ_SECTORS, READS, WRITES, count_subjects
from sparq_perf.measure.dram.ncu_csv import NcuFormatError, read_kernels
from sparq_perf.measure.dram.ncu_failures import absence, explain, unknown_metric
from sparq_perf.measure.dram.permission import counters_refused
from sparq_perf.measure.dram.programs import Finished, run_program
from sparq_perf.measure.dram.subjects import DramCounts, DramSubject
from sparq_perf.records.reading import Absence

CHILD = "sparq_perf.measure.dram.child"
INSTALLED = ("usr/local/cuda*/bin/ncu", "opt/nvidia/nsight-compute/*/ncu")

# All names at once: a GPU gives n/a for those that it does not have. Versions that stop at a name they do not know are
# asked again for those that every GPU before compute capability 12 has.
METRIC_SETS = ((*READS, *WRITES, L2_READ_SECTORS), (READS[0], WRITES[0], L2_READ_SECTORS))

VERSION_TIMEOUT_S = 30.0
# ncu, torch and a context take some 15 s; a subject's cache and kernels some seconds, more where they must be compiled.
START_TIMEOUT_S, SUBJECT_TIMEOUT_S = 180.0, 60.0

Run = Callable[[Sequence[str], Mapping[str, str], float], Finished]


class Ncu:
    """Counts by running ncu around a child.

    Args:
        uuid: of the GPU, which the child finds by itself, as torch's default, and checks; None does not check.
        seed: of caches and queries.
        run: runs a program.
        program: path of ncu; searched for where None.
    """

    def __init__(self, uuid: str | None, seed: int, *, run: Run = run_program, program: str | None = None) -> None:
        self._uuid, self._seed, self._run = uuid, seed, run
        self._program = program or find_ncu()
        self._detail: str | None = None

    @property
    def detail(self) -> str | None:
        """Version and place of the program; None where there is none."""
        if self._program is not None and self._detail is None:
            self._detail = f"ncu {self._version() or 'of unknown version'}, {self._program}"
        return self._detail

    def refusal(self) -> Absence | None:
        """Why it cannot count here, as far as can be said without running it."""
        if self._program is None:
            return Absence(
                kind="library_missing",
                detail="ncu is not on the PATH, nor below /usr/local/cuda* or /opt/nvidia/nsight-compute: install "
                "Nsight Compute, a part of the CUDA toolkit",
            )
        return counters_refused()

    def count(self, subjects: Sequence[DramSubject]) -> tuple[DramCounts | Absence, ...]:
        """Counts of every subject's call, from one child for all."""
        refused = self.refusal()
        if refused is not None or not subjects:
            return () if refused is None else (refused,) * len(subjects)
        assert self._program is not None
        with tempfile.TemporaryDirectory(prefix="sparq-perf-dram-") as folder:
            plan, outcomes = Path(folder) / "plan.json", Path(folder) / "outcomes.json"
            written = ChildPlan(seed=self._seed, uuid=self._uuid, subjects=tuple(subjects), outcomes=str(outcomes))
            plan.write_text(written.model_dump_json(), encoding="utf-8")
            timeout_s = START_TIMEOUT_S + SUBJECT_TIMEOUT_S * len(subjects)
            try:
                finished = self._profile(self._program, plan, timeout_s)
                return self._counts(finished, len(subjects), read_outcomes(outcomes), timeout_s)
            except (OSError, NcuFormatError) as error:
                return (absence("failed", str(error)),) * len(subjects)

    def _profile(self, program: str, plan: Path, timeout_s: float) -> Finished:
        # C: ncu prints numbers as the locale has them, and a German one would swap commas and points.
        environment = {**os.environ, "LC_ALL": "C"}
        for metrics in METRIC_SETS:
            finished = self._run(profile_command(program, metrics, plan), environment, timeout_s)
            if not unknown_metric(finished.stdout, finished.stderr):
                break
        return finished

    def _counts(
        self, finished: Finished, n_subjects: int, outcomes: ChildOutcomes, timeout_s: float
    ) -> tuple[DramCounts | Absence, ...]:
        if finished.returncode is None:
            done = len(outcomes.subjects)
            late = f"ncu did not end within {timeout_s:.0f} s: its child had called {done} of {n_subjects}"
            return (absence("failed", late),) * n_subjects
        rows = read_kernels(finished.stdout, METRIC_SETS[0])
        why_nothing = explain(finished.stdout, finished.stderr)
        if rows and not finished.returncode:
            why_nothing = absence("failed", "ncu profiled other calls, and no kernel of this one")
        sliced = self._uuid is not None and self._uuid.startswith("MIG-")
        return count_subjects(rows, n_subjects, outcomes, why_nothing, sliced=sliced)

    def _version(self) -> str | None:
        assert self._program is not None
        try:
            finished = self._run([self._program, "--version"], os.environ, VERSION_TIMEOUT_S)
        except OSError:
            return None
        found = re.search(r"Version (\S+)", finished.stdout)
        return found[1] if found else None


def profile_command(program: str, metrics: Sequence[str], plan: Path) -> list[str]:
    """What is run: see the top of this file for its settings."""
    settings = {
        "--metrics": ",".join(metrics),
        "--replay-mode": "application",
        "--cache-control": "none",
        "--clock-control": "none",
        "--target-processes": "application-only",  # compilers that Triton starts are no CUDA programs
        "--nvtx-include": f"{WATCHED}/",  # the slash makes it a push/pop range
        "--page": "raw",
        "--print-units": "base",
        "--print-kernel-base": "function",
    }
    options = [word for pair in settings.items() for word in pair]
    return [program, "--nvtx", "--csv", *options, sys.executable, "-m", CHILD, str(plan)]


def find_ncu(path: str | None = None, root: Path = Path("/")) -> str | None:
    """Ncu on the PATH, else the newest where its installers put it; None where there is none."""
    found = shutil.which("ncu", path=path)
    if found is not None:
        return found
    places = [place for pattern in INSTALLED for place in root.glob(pattern) if os.access(place, os.X_OK)]
    return str(max(places, key=_numbers)) if places else None


def read_outcomes(path: Path) -> ChildOutcomes:
    """What the child told of its subjects; nothing where it told nothing."""
    try:
        return ChildOutcomes.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return ChildOutcomes()


def _numbers(place: Path) -> tuple[int, ...]:
    """A year of Nsight Compute counts for more than a version of CUDA; both for more than no number."""
    return tuple(int(number) for number in re.findall(r"\d+", str(place)))
