"""An SQLite index of a history's record files: derived from them, and made anew wherever it is not up to date."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sparq_perf.gate.environments import BOARD, fingerprint, settings_of
from sparq_perf.gate.errors import GateError
from sparq_perf.gate.metrics import METRICS
from sparq_perf.gate.runs import ProcessRun, read_runs

# Raised with the tables below: an index of another version is made anew.
VERSION = 1
# Two jobs may add to one history at the same time.
WAIT_S = 60.0
_TABLES = """
CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, size INTEGER NOT NULL, changed_ns INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS segments (fingerprint TEXT PRIMARY KEY, device TEXT NOT NULL, settings TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY,
    file TEXT NOT NULL REFERENCES files (name) ON DELETE CASCADE,
    segment TEXT NOT NULL REFERENCES segments (fingerprint),
    began TEXT NOT NULL,
    suite TEXT NOT NULL,
    "commit" TEXT,
    package_version TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS points (
    run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    metric TEXT NOT NULL,
    value REAL,
    why TEXT,
    PRIMARY KEY (run_id, key, metric),
    CHECK ((value IS NULL) = (why IS NOT NULL))
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS points_by_series ON points (key, metric);
"""


@contextmanager
def open_index(path: Path, files: Iterable[Path]) -> Iterator[sqlite3.Connection]:
    """The index of these record files, brought up to date.

    Raises:
        SparqPerfError: a record file that cannot be read or believed, or that has a run which another one has.
        GateError: an index that cannot be written.
    """
    try:
        with closing(_connect(path)) as connection:
            _bring_up_to_date(connection, {file.name: file for file in files})
            yield connection
    except sqlite3.Error as error:
        raise GateError(f"{path}: cannot be used as an index ({error}): delete it, it is made anew") from None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.OperationalError:  # locked, or not readable: somebody else's, not damaged
        connection.close()
        raise
    except sqlite3.DatabaseError:  # no database, or a damaged one: nothing is lost with it
        version = -1
    if version == VERSION:
        return connection
    if version != 0:
        connection.close()
        path.unlink(missing_ok=True)
        return _connect(path)
    connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
    return connection


def _bring_up_to_date(connection: sqlite3.Connection, files: dict[str, Path]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        known = {name: (size, changed) for name, size, changed in connection.execute("SELECT * FROM files")}
        stands = {name: (file.stat().st_size, file.stat().st_mtime_ns) for name, file in files.items()}
        for name in known:
            if stands.get(name) != known[name]:
                connection.execute("DELETE FROM files WHERE name = ?", (name,))
        for name in sorted(stands):
            if known.get(name) != stands[name]:
                connection.execute("INSERT INTO files VALUES (?, ?, ?)", (name, *stands[name]))
                for run in read_runs(files[name]):
                    _insert(connection, run, files[name])
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _insert(connection: sqlite3.Connection, run: ProcessRun, file: Path) -> None:
    twice = connection.execute("SELECT file FROM runs WHERE run_id = ?", (run.run_id,)).fetchone()
    if twice:
        raise GateError(f"{file}: run {run.run_id} is in {twice[0]} too: a history holds each run once")
    environment = run.environment
    segment = fingerprint(environment)
    settings = {name: value for name, value in settings_of(environment).items() if name != BOARD}
    connection.execute(
        "INSERT OR IGNORE INTO segments VALUES (?, ?, ?)", (segment, environment.device, json.dumps(settings))
    )
    commit, version = environment.commit, run.run.package_version
    connection.execute(
        "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)",
        (run.run_id, file.name, segment, run.began.isoformat(), run.run.suite, commit, version),
    )
    values = (
        (run.run_id, key, metric, value.value, None if value.value is not None else value.why)
        for key, configuration in run.configurations.items()
        for metric in METRICS
        for value in (configuration.value(metric),)
    )
    connection.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?)", values)
