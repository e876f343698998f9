"""One process: `sparq-perf run` of one revision, and whether it left what it should."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.running.arms import Arm
from sparq_perf.gate.running.settings import Measuring
from sparq_perf.gate.runs import ProcessRun, read_runs
from sparq_perf.records.store import RECORDS_NAME
from sparq_profiles import SparqPerfError

LOG_NAME = "log.txt"
# Of a run that is only compared with another: passes that give no metric. An earlier revision may not know them.
QUICK = ("--no-profile", "--no-counted")
NO_PREDICTIONS = "--no-predict"


class ProcessFailed(GateError):
    """A process that did not measure what it was told to: the comparison has no verdict."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Starts processes, the same for both arms.

    Attributes:
        measuring: what they are told.
        suite: file of the suite.
        shortcuts: options that both arms know, which leave out what is not compared.
    """

    measuring: Measuring
    suite: Path
    shortcuts: tuple[str, ...]

    @classmethod
    def of(cls, measuring: Measuring, suite: Path, arms: Sequence[Arm]) -> "Runner":
        """The runner for some arms."""
        wanted = (*QUICK, *(() if measuring.predict else (NO_PREDICTIONS,)))
        return cls(measuring, suite, tuple(option for option in wanted if all(option in arm.options for arm in arms)))

    @property
    def lacks_shortcut(self) -> bool:
        """Whether processes calibrate though nobody asked: a revision cannot do without."""
        return not self.measuring.predict and NO_PREDICTIONS not in self.shortcuts

    def command(self, arm: Arm, folder: Path) -> list[str]:
        """The command line of one process."""
        m = self.measuring
        command = arm.command("run", "--suite", str(self.suite), "--out", str(folder), "--no-report")
        command += ["--seed", str(m.seed), "--device", m.device, *self.shortcuts]
        command += ["--threads", str(m.threads)] if m.threads is not None else []
        command += ["--timeout-s", str(m.timeout_s)] if m.timeout_s is not None else []
        return command + [word for name in m.implementations for word in ("--implementation", name)]

    def measure(self, arm: Arm, folder: Path) -> float:
        """Run one process; returns its seconds.

        Raises:
            ProcessFailed: it did not leave complete records.
        """
        folder.mkdir(parents=True)
        began = perf_counter()
        with (folder / LOG_NAME).open("w", encoding="utf-8") as log:
            try:
                code = subprocess.run(
                    self.command(arm, folder),
                    env=arm.environment,
                    cwd=arm.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=self.measuring.process_timeout_s,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                raise self._failed(arm, folder, f"took more than {self.measuring.process_timeout_s:g} s") from None
            except OSError as error:
                raise self._failed(arm, folder, f"could not be started: {error}") from None
        try:
            read_process(folder)
        except SparqPerfError as error:
            # Exit codes 1 and 2 also stand for wrong or noisy results in records that are complete.
            raise self._failed(arm, folder, f"ended with exit code {code}, {_last_words(folder) or error}") from None
        return perf_counter() - began

    def _failed(self, arm: Arm, folder: Path, why: str) -> ProcessFailed:
        return ProcessFailed(f"{arm.name}: its process {why}: no verdict; see {folder / LOG_NAME}")


def read_process(folder: Path) -> ProcessRun:
    """What a process left.

    Raises:
        SparqPerfError: no records, not complete, or of several runs.
    """
    runs = read_runs(folder / RECORDS_NAME)
    if len(runs) != 1:
        raise GateError(f"{folder}: holds {len(runs)} runs where one process ran")
    return runs[0]


def _last_words(folder: Path) -> str:
    lines = (folder / LOG_NAME).read_text(encoding="utf-8", errors="replace").splitlines()
    words = [line.strip() for line in lines if line.strip()]
    return f"saying: {words[-1]}" if words else ""
