"""One comparison: first pairs, verdicts, fresh pairs for what looks suspicious, and the verdicts that stand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sparq_perf.gate.checking import Spreads, check_runs
from sparq_perf.gate.outcome import Outcome
from sparq_perf.gate.running.arms import Arm
from sparq_perf.gate.running.pairs import ARMS, BASE, CANDIDATE, Measure, Pace, Tell, measure_pairs
from sparq_perf.gate.running.suites import part_of
from sparq_perf.gate.runs import ProcessRun
from sparq_perf.gate.settings import GateSettings
from sparq_perf.records.store import RECORDS_NAME
from sparq_profiles.suite import Suite

FRESH_SUITE_NAME = "fresh-suite.toml"
Pair = tuple[ProcessRun, ProcessRun]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared, how, and where its records go.

    Attributes:
        folder: of the pairs.
        arms: by name.
        suite: what is measured.
        measure: makes a runner of processes that measure the suite in a file.
        suite_path: the file of the whole suite.
        labels: what base and candidate are called.
        settings: how verdicts are given.
        spreads: measured A/A; see `check_runs`.
        tell: told of what goes on.
    """

    folder: Path
    arms: Mapping[str, Arm]
    suite: Suite
    measure: Callable[[Path], Measure]
    suite_path: Path
    labels: tuple[str, str]
    settings: GateSettings
    spreads: Spreads = field(default_factory=dict)
    tell: Tell = lambda _: None

    def within(self, name: str) -> "Comparison":
        """The same, with its records in a folder inside this one's."""
        return replace(self, folder=self.folder / name)

    def run(self, pace: Pace | None = None) -> Outcome:
        """Measure what is missing and judge it.

        Raises:
            SparqPerfError: a process failed, or its records cannot be believed: there is no verdict.
        """
        pace = pace or Pace()
        n = self.settings.pairs
        pairs = self._pairs(self.suite_path, 0, n, pace)
        outcome = self._judge(pairs)
        if outcome.wanting and self.settings.confirm:
            self.tell(f"{len(outcome.wanting)} configurations are not settled: measuring {n} fresh pairs of them")
            path = self.folder / FRESH_SUITE_NAME
            path.write_text(part_of(self.suite, outcome.wanting), encoding="utf-8")
            pairs += self._pairs(path, n, 2 * n, pace)
            outcome = self._judge(pairs)
        self._gather(len(pairs))
        return outcome

    def _pairs(self, suite: Path, first: int, last: int, pace: Pace) -> list[Pair]:
        self.folder.mkdir(parents=True, exist_ok=True)
        return measure_pairs(self.measure(suite), self.arms, self.folder / "pairs", first, last, self.tell, pace)

    def _judge(self, pairs: Sequence[Pair]) -> Outcome:
        base, candidate = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        return check_runs(base, candidate, self.settings, method="paired", labels=self.labels, spreads=self.spreads)

    def _gather(self, n: int) -> None:
        """All records of an arm in one file, for `sparq-perf gate check` and whoever wants to look."""
        for name in ARMS:
            whole = b"".join(
                (self.folder / "pairs" / f"{index + 1:02}" / name / RECORDS_NAME).read_bytes() for index in range(n)
            )
            (self.folder / f"{name}.jsonl").write_bytes(whole)


def labels_of(base: str, candidate: str) -> tuple[str, str]:
    """Names that are told apart even where both are the same revision."""
    return (base, candidate) if base != candidate else (f"{base}, as {BASE}", f"{candidate}, as {CANDIDATE}")
