"""`sparq-perf gate run` and `gate aa` as calls: from revisions to an outcome, with everything kept in one folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sparq_perf.gate.checking import Spreads
from sparq_perf.gate.errors import GateError
from sparq_perf.gate.outcome import Outcome
from sparq_perf.gate.outputs import outcome_json, write_text
from sparq_perf.gate.running.aa import SPREADS_NAME, TABLE_NAME, AaResult, spreads_json
from sparq_perf.gate.running.comparing import Comparison, labels_of
from sparq_perf.gate.running.pairs import BASE, CANDIDATE, Measure, Pace, Tell
from sparq_perf.gate.running.processes import Runner
from sparq_perf.gate.running.revisions import WORKING_TREE, find_repository, resolve
from sparq_perf.gate.running.settings import Measuring
from sparq_perf.gate.running.suites import suite_text
from sparq_perf.gate.running.workspace import SUITE_NAME, asked_for, open_arms, workspace
from sparq_perf.gate.settings import GateSettings
from sparq_perf.measure.machine import choose_device
from sparq_perf.measure.plan import plan
from sparq_profiles import load_suite

DEFAULT_OUT = Path("reports/gate")
DEFAULT_SUITE = "smoke"
OUTCOME_NAME = "outcome.json"


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for.

    Attributes:
        base, candidate: revisions; ``.`` is the working tree.
        out: folder of everything that is written.
        repository: a folder in the repository of the revisions.
        resume: go on with what is in ``out``.
        keep_trees: leave the checked-out trees there.
        settings: how verdicts are given.
        measuring: what processes are told.
        spreads: measured A/A, see `sparq_perf.gate.running.aa.read_spreads`.
    """

    base: str
    candidate: str = WORKING_TREE
    out: Path = DEFAULT_OUT
    repository: Path = Path()
    resume: bool = False
    keep_trees: bool = False
    settings: GateSettings = field(default_factory=GateSettings)
    measuring: Measuring = field(default_factory=Measuring)
    spreads: Spreads = field(default_factory=dict)


def run_gate(request: Request, tell: Tell) -> Outcome:
    """Measure both revisions in turn, and judge them.

    Raises:
        SparqPerfError: revisions, suite or settings that cannot be, or a process that failed: there is no verdict.
    """
    with _prepared(request, tell) as comparison:
        outcome = comparison.run()
    write_text(request.out / OUTCOME_NAME, outcome_json(outcome))
    return outcome


def run_aa(request: Request, runs: int, tell: Tell) -> AaResult:
    """Compare a revision with itself, ``runs`` times over: whatever the gate finds then is false.

    Raises:
        SparqPerfError: as for `run_gate`.
    """
    if runs < 1:
        raise GateError(f"--runs is {runs}: it must be at least 1")
    outcomes = []
    pace = Pace()
    with _prepared(request, tell) as comparison:
        for index in range(runs):
            tell(f"A/A run {index + 1} of {runs}")
            outcomes.append(comparison.within(f"run-{index + 1:02}").run(pace))
            write_text(request.out / f"run-{index + 1:02}" / OUTCOME_NAME, outcome_json(outcomes[-1]))
            # After each, so that a run that is cut short has left what it found.
            write_text(request.out / SPREADS_NAME, spreads_json(outcomes))
            write_text(request.out / TABLE_NAME, AaResult.of(outcomes).as_markdown())
    return AaResult.of(outcomes)


@contextmanager
def _prepared(request: Request, tell: Tell) -> Iterator[Comparison]:
    measuring, settings = request.measuring, request.settings
    text = suite_text(measuring.suite or DEFAULT_SUITE)
    suite = load_suite(measuring.suite or DEFAULT_SUITE)
    plan(suite, choose_device(measuring.device, suite.device), measuring.implementations)  # refuses what cannot be
    repository = find_repository(request.repository)
    base, candidate = (resolve(repository, name) for name in (request.base, request.candidate))
    asked = asked_for(base, candidate, text, settings.pairs, measuring)
    out = request.out.resolve()
    with (
        workspace(out, asked, text, resume=request.resume),
        open_arms(repository, {BASE: base, CANDIDATE: candidate}, out, measuring, keep=request.keep_trees) as arms,
    ):
        whole = out / SUITE_NAME

        def runner(suite: Path) -> Measure:
            return Runner.of(measuring, suite, tuple(arms.values()))

        if Runner.of(measuring, whole, tuple(arms.values())).lacks_shortcut:
            tell("a revision knows no --no-predict: every process finds ceilings and calibrates, which takes minutes")
        tell(f"base {base.title}; candidate {candidate.title}; {settings.pairs} pairs of suite {suite.name}")
        yield Comparison(
            folder=out,
            arms=arms,
            suite=suite,
            measure=runner,
            suite_path=whole,
            labels=labels_of(base.title, candidate.title),
            settings=settings,
            spreads=request.spreads,
            tell=tell,
        )
