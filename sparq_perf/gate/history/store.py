"""A history: a folder of record files, one for each job, that only grows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.history.index import open_index
from sparq_perf.gate.metrics import METRICS, Metric
from sparq_perf.gate.outputs.writing import write_bytes
from sparq_perf.gate.paired import geometric_mean
from sparq_perf.gate.runs import read_runs
from sparq_perf.records.store import read_bytes, records_file

RECORDS_FOLDER = "records"
INDEX_NAME = "index.sqlite"


@dataclass(frozen=True, slots=True)
class Point:
    """One job's level of one configuration and metric.

    Attributes:
        began: of its first run.
        value: geometric mean over its runs: they share one job's noise, so that they are one point and not several.
        file: record file of the job, in the history's folder.
    """

    began: datetime
    value: float
    n_runs: int
    commits: tuple[str, ...]
    file: str


@dataclass(frozen=True, slots=True)
class Track:
    """One configuration and metric on one kind of machine, in the order of time."""

    segment: str
    device: str
    key: str
    metric: Metric
    points: tuple[Point, ...]


class History:
    """Record files of past jobs.

    ``records/`` holds the files as they were added. ``index.sqlite`` beside it is derived from them; it may be asked
    with any SQLite client, and deleted at any time.

    Raises:
        GateError: a folder that cannot be made, or is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            (folder / RECORDS_FOLDER).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GateError(f"{folder}: cannot be used as a history's folder: {error.strerror}") from None

    @property
    def files(self) -> list[Path]:
        """The record files, in the order of their first runs."""
        return sorted((self.folder / RECORDS_FOLDER).glob("*.jsonl"))

    def add(self, records: Path) -> Path | None:
        """Copy a record file into the history; None where it is there already.

        Returns:
            The copy.

        Raises:
            SparqPerfError: records that cannot be read or believed, or a run that the history has with other content.
        """
        source = records_file(records)
        runs = read_runs(source)
        content = read_bytes(source)
        target = self.folder / RECORDS_FOLDER / f"{runs[0].began:%Y%m%dT%H%M%SZ}-{runs[0].run_id}.jsonl"
        if target.exists() and target.read_bytes() == content:
            return None
        held = self._held()
        for run in runs:
            if run.run_id in held:
                raise GateError(f"{source}: run {run.run_id} is in {held[run.run_id]} with other content: add it once")
        write_bytes(target, content)
        return target

    def tracks(self, metrics: Sequence[Metric] = METRICS, pattern: str = "*") -> list[Track]:
        """Every configuration and metric that has a point, by segment, in the order first recorded.

        Args:
            metrics: which ones.
            pattern: of the keys, such as ``llama-*``.
        """
        with open_index(self.folder / INDEX_NAME, self.files) as index:
            rows = index.execute(
                'SELECT segment, device, key, metric, file, began, value, "commit" FROM points '
                "JOIN runs USING (run_id) JOIN segments ON segment = fingerprint "
                "WHERE value IS NOT NULL ORDER BY began, run_id, key"
            ).fetchall()
        found: dict[tuple[str, str, str, Metric], list[tuple[str, str, float, str | None]]] = {}
        for segment, device, key, metric, *rest in rows:
            if metric in metrics and fnmatchcase(key, pattern):
                found.setdefault((segment, device, key, metric), []).append(tuple(rest))
        return [Track(*place, points=_points(values)) for place, values in found.items()]

    def segments(self) -> dict[str, dict[str, str]]:
        """Settings of each kind of machine, by fingerprint."""
        with open_index(self.folder / INDEX_NAME, self.files) as index:
            return {
                name: json.loads(text) for name, text in index.execute("SELECT fingerprint, settings FROM segments")
            }

    def _held(self) -> dict[str, str]:
        with open_index(self.folder / INDEX_NAME, self.files) as index:
            return dict(index.execute("SELECT run_id, file FROM runs").fetchall())


def _points(values: list[tuple[str, str, float, str | None]]) -> tuple[Point, ...]:
    """A point for each file; a file's runs need not follow each other in time."""
    by_file = groupby(sorted(values, key=lambda one: one[0]), key=lambda one: one[0])
    points = []
    for file, group in by_file:
        runs = list(group)
        points.append(
            Point(
                began=datetime.fromisoformat(min(began for _, began, _, _ in runs)),
                value=geometric_mean([value for _, _, value, _ in runs]),
                n_runs=len(runs),
                commits=tuple(dict.fromkeys(commit for *_, commit in runs if commit)),
                file=file,
            )
        )
    return tuple(sorted(points, key=lambda point: (point.began, point.file)))
