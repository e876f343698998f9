"""The deterministic gate: finds the facts, holds them against the accepted ones, accepts them where that is asked."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparq_perf.gate.deterministic.analytic import analytic_facts
from sparq_perf.gate.deterministic.baseline import DEFAULT_PATH, Baseline, read_baseline
from sparq_perf.gate.deterministic.code import code_facts
from sparq_perf.gate.deterministic.compiled import CODE, Compile, compiled_facts, not_compiled, outdated_rows
from sparq_perf.gate.deterministic.counted import OUT_OF_BOUNDS, counted_facts
from sparq_perf.gate.deterministic.diff import Change, differences
from sparq_perf.gate.deterministic.facts import SECTIONS, Facts, Rows, Section
from sparq_perf.gate.errors import GateError

COMPILED_TABLE = "compiled-kernels.json"


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for.

    Attributes:
        baseline: file of the accepted facts; the table of compiled kernels is looked for beside it.
        sections: those to look at.
        compile: which kernels to compile.
        accept: write what is found.
    """

    baseline: Path = DEFAULT_PATH
    sections: Collection[Section] = SECTIONS
    compile: Compile = "changed"
    accept: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What was found.

    Attributes:
        sections: those looked at.
        changes: facts that are not as accepted.
        faults: what must not be accepted: accesses out of bounds, kernels that were not compiled.
        outdated: where the table of compiled kernels says otherwise.
        recompiled: kernels whose code changed and whose needs did not.
        n_facts: how many were compared.
        n_compiled: kernels that were compiled to know.
        accepted: the changes are accepted and written.
    """

    baseline: Path
    sections: tuple[Section, ...]
    changes: tuple[Change, ...]
    faults: tuple[str, ...]
    outdated: tuple[str, ...]
    recompiled: tuple[str, ...]
    n_facts: int
    n_compiled: int
    accepted: bool

    @property
    def passes(self) -> bool:
        """Whether all is as accepted, now or before."""
        return not self.faults and not self.outdated and (self.accepted or not self.changes)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "passes": self.passes,
            "baseline": str(self.baseline),
            "accepted": self.accepted,
            "sections": list(self.sections),
            "n_facts": self.n_facts,
            "n_compiled": self.n_compiled,
            "changes": [change.as_json() for change in self.changes],
            "faults": list(self.faults),
            "outdated": list(self.outdated),
            "recompiled": list(self.recompiled),
        }


# Finds the facts of some sections given what was accepted; returns them, Triton's version and how many were compiled.
Finder = Callable[[Request, Baseline], tuple[Facts, str | None, int]]


def decide(request: Request, find: Finder | None = None) -> Decision:
    """Find the facts and compare them with the accepted ones; with ``accept``, write them.

    Raises:
        GateError: a baseline that cannot be read, facts that cannot be found, or nothing to look at.
    """
    if not request.sections:
        raise GateError("no section to look at")
    beginning = request.accept and not request.baseline.exists()
    before = Baseline() if beginning else read_baseline(request.baseline)
    missing = [section for section in request.sections if section not in before.facts]
    if missing and not request.accept:
        raise GateError(
            f"{request.baseline}: nothing was accepted of {', '.join(missing)}: 'sparq-perf gate --accept' does, "
            "or name other sections"
        )
    facts, triton, n_compiled = (find or find_facts)(request, before)
    changes, faults = differences(before, facts), _faults(facts)
    accepted = request.accept and not faults
    if accepted:
        before.with_facts(facts, triton).write(request.baseline)
    kernels = facts.get("compiled", {})
    return Decision(
        baseline=request.baseline,
        sections=tuple(section for section in SECTIONS if section in facts),
        changes=tuple(changes),
        faults=tuple(faults),
        outdated=tuple(outdated_rows(kernels, request.baseline.with_name(COMPILED_TABLE)) if kernels else ()),
        recompiled=() if accepted else tuple(_recompiled(before.rows("compiled"), kernels, changes)),
        n_facts=sum(len(row) for rows in facts.values() for row in rows.values()),
        n_compiled=n_compiled,
        accepted=accepted,
    )


def find_facts(request: Request, accepted: Baseline) -> tuple[Facts, str | None, int]:
    """The facts of the sections asked for; those from processes of their own at the same time.

    Raises:
        GateError: facts that cannot be found.
    """
    wanted = set(request.sections)
    with ThreadPoolExecutor(max_workers=2) as pool:
        counting: Future[Rows] | None = pool.submit(counted_facts) if "counted" in wanted else None
        compiling = None
        if wanted & {"compiled", "launches"}:
            which: Compile = request.compile if "compiled" in wanted else "never"
            rows = accepted.rows("compiled") if "compiled" in wanted else {}
            compiling = pool.submit(compiled_facts, rows, accepted.triton, which, renew=request.accept)
        facts: dict[Section, Rows] = {}
        if "analytic" in wanted:
            facts["analytic"] = analytic_facts()
        if "code" in wanted:
            facts["code"] = code_facts()
        if counting is not None:
            facts["counted"] = counting.result()
        triton, n_compiled = None, 0
        if compiling is not None:
            found = compiling.result()
            if "launches" in wanted:
                facts["launches"] = found.launches
            if "compiled" in wanted:
                facts["compiled"], triton, n_compiled = found.kernels, found.triton, found.n_compiled
    return facts, triton, n_compiled


def _faults(facts: Mapping[Section, Rows]) -> list[str]:
    faults = [
        f"counted: {name}: {row[OUT_OF_BOUNDS]} accesses outside its tensors"
        for name, row in facts.get("counted", {}).items()
        if row[OUT_OF_BOUNDS]
    ]
    return faults + [
        f"compiled: {name}: its code is not the accepted one, and it was not compiled: give '--compile changed'"
        for name, row in facts.get("compiled", {}).items()
        if not_compiled(row)
    ]


def _recompiled(before: Rows, after: Rows, changes: list[Change]) -> list[str]:
    changed = {change.name for change in changes if change.section == "compiled"}
    return [
        name
        for name, row in after.items()
        if name in before and row[CODE] != before[name][CODE] and name not in changed
    ]
