"""Record files as the processes that wrote them; what cannot be believed is refused, with one line that says why."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sparq_perf.gate.environments import differences, settings_of
from sparq_perf.gate.errors import GateError
from sparq_perf.gate.values import Configuration
from sparq_perf.records.environment import Environment
from sparq_perf.records.observed import Dram, Energy
from sparq_perf.records.schema import End, Imported, Line, Measurement, Run
from sparq_perf.records.store import read_bytes, read_lines, records_file
from sparq_profiles import SparqPerfError

_FIELDS: dict[type[Line], str] = {Measurement: "measurement", Energy: "energy", Dram: "dram"}


@dataclass(slots=True)
class ProcessRun:
    """One process's run, resumptions included.

    Attributes:
        began, ended: of its first and last line, UTC.
        configurations: by key, in the order recorded.
        outcome: how it ended; None where nothing says so.
    """

    run: Run
    began: datetime
    ended: datetime
    configurations: dict[str, Configuration] = field(default_factory=dict)
    outcome: str | None = None
    n_missing: int = 0

    @property
    def run_id(self) -> str:
        """Of its first process."""
        return self.run.run_id

    @property
    def environment(self) -> Environment:
        """Where it was made."""
        return self.run.environment


def read_runs(path: Path) -> list[ProcessRun]:
    """The complete runs of a record file, or of the records.jsonl in a folder, in the order of time.

    Raises:
        GateError: lines of several schema versions or of unknown runs; a run that did not end, or a configuration that
            it recorded twice; or anything that is no record file.
        RecordError: no such file, empty, not records, or cut off.
    """
    path = records_file(path)
    try:
        lines = read_lines(path)
        versions = [json.loads(raw)["schema_version"] for raw in read_bytes(path).splitlines()]
    except SparqPerfError:
        raise
    except Exception as error:  # a file is anybody's: whatever reading it does to this program, it is no pass
        raise GateError(f"{path}: cannot be read as records ({type(error).__name__}: {error})") from error
    for number, version in enumerate(versions, start=1):
        if version != versions[0]:
            raise GateError(
                f"{path}, line {number}: schema_version is {version} and {versions[0]} in line 1: "
                "give records that one version wrote"
            )
    runs = _group(lines, path)
    for run in runs:
        _check_ended(run, path)
    return sorted(runs, key=lambda run: run.began)


def _group(lines: Iterable[Line], path: Path) -> list[ProcessRun]:
    """Lines by run; a resumption goes on with the run before it in the file."""
    runs: list[ProcessRun] = []
    by_id: dict[str, ProcessRun] = {}
    for line in lines:
        if isinstance(line, Imported):
            raise GateError(
                f"{path}: holds measurements that others made, imported from {line.source}: nothing says under which "
                "versions and settings: give records of 'sparq-perf run'"
            )
        if isinstance(line, Run):
            if line.run_id in by_id:
                raise GateError(f"{path}: run {line.run_id} is in it twice: give each run once")
            if not (line.resumed and runs):
                runs.append(ProcessRun(line, _utc(line.time), _utc(line.time)))
            by_id[line.run_id] = runs[-1]
        run = by_id.get(line.run_id)
        if run is None:
            raise GateError(
                f"{path}: a {getattr(line, 'record', 'line')} of run {line.run_id} stands before any line that says "
                "where and with what it was made: give whole record files"
            )
        _take(line, run, path)
    return runs


def _take(line: Line, run: ProcessRun, path: Path) -> None:
    run.ended = max(run.ended, _utc(line.time))
    if isinstance(line, Run):
        run.outcome = None
    elif isinstance(line, End):
        run.outcome, run.n_missing = line.outcome, line.n_missing
    elif isinstance(line, Measurement | Energy | Dram):
        name = _FIELDS[type(line)]
        recorded = run.configurations.get(line.key, Configuration())
        if getattr(recorded, name) is not None:
            raise GateError(f"{path}: run {run.run_id} has two {name} lines of {line.key}: give each run once")
        kept = {other: getattr(recorded, other) for other in _FIELDS.values()}
        run.configurations[line.key] = Configuration(**{**kept, name: line})


def _check_ended(run: ProcessRun, path: Path) -> None:
    if run.outcome is None:
        raise GateError(f"{path}: run {run.run_id} has no end: it was killed or its records are cut off: measure again")
    if run.outcome != "complete" or run.n_missing:
        missing = f", {run.n_missing} configurations are missing" if run.n_missing else ""
        raise GateError(f"{path}: run {run.run_id} ended {run.outcome}{missing}: measure again")


def check_same_machine(runs: Iterable[ProcessRun], where: str) -> None:
    """Refuse runs of different machines or settings.

    Raises:
        GateError: names the first difference.
    """
    first, *others = runs
    for other in others:
        names = (f"run {first.run_id}", f"run {other.run_id}")
        unlike = differences(settings_of(first.environment), settings_of(other.environment), names=names)
        if unlike:
            raise GateError(f"{where}: holds runs of different environments: {unlike[0]}: give one file for each")


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
