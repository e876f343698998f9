"""Record files: append-only JSON lines, each on disk before the next measurement starts."""

import fcntl
import gzip
import json
import os
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import ValidationError

from sparq_perf.records.schema import ANY_LINE, Line, Measurement
from sparq_perf.records.upgrading import READABLE_VERSIONS, upgrade
from sparq_profiles import SparqPerfError
from sparq_profiles.load import describe

RECORDS_NAME = "records.jsonl"
# What every line begins with: tells a torn one from another program's file.
LINE_START = b'{"schema_version":'


class RecordError(SparqPerfError):
    """A record file that cannot be read, believed or written."""


class RecordWriter:
    """Appends lines to one file, which no other run may write at the same time.

    A line goes out in one write, followed by a sync: a killed run leaves whole lines, and at most one torn line
    at the end (a kill inside that write), which `mend_torn_line` cuts off before the run is resumed.

    Raises:
        RecordError: the file cannot be opened, or another run holds it.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise RecordError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise RecordError(f"{path}: another run is writing this file: wait for it or name another --out") from None
        self.path = path

    def append(self, line: Line) -> None:
        """Write one line and wait until it is on disk.

        Raises:
            RecordError: the disk took no more; the file ends with the line before, whole.
        """
        data = line.model_dump_json().encode() + b"\n"
        before = os.fstat(self._fd).st_size
        try:
            while data:  # a write may be short, on a disk that is nearly full
                data = data[os.write(self._fd, data) :]
            os.fsync(self._fd)
        except BaseException as error:
            if data:  # half a line, which the next line would be glued to
                os.ftruncate(self._fd, before)
            if isinstance(error, OSError):
                raise RecordError(f"{self.path}: cannot be written: {error.strerror}") from None
            raise

    def close(self) -> None:
        """Release the file."""
        os.close(self._fd)

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def records_file(path: Path) -> Path:
    """The record file that a user means: a file itself, or the one in a folder, which may be compressed."""
    if not path.is_dir():
        return path
    plain, compressed = path / RECORDS_NAME, path / f"{RECORDS_NAME}.gz"
    return compressed if compressed.exists() and not plain.exists() else plain


def read_bytes(path: Path) -> bytes:
    """A record file's content, decompressed where its name ends in ``.gz``.

    Raises:
        RecordError: no such file, or one that cannot be read.
    """
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.suffix == ".gz" else raw
    except FileNotFoundError:
        raise RecordError(f"{path}: no such file: measure first with 'sparq-perf run'") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise RecordError(f"{path}: is no whole gzip file ({error}): compress the records again") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None


def read_lines(path: Path) -> list[Line]:
    """Every line of a record file, validated.

    Raises:
        RecordError: no such file, empty, not records of this program or of this schema version, or torn; the
            message names the line.
    """
    lines: list[Line] = []
    for number, raw in enumerate(_raw_lines(path), start=1):
        where = f"{path}, line {number}"
        if not raw.endswith(b"\n"):
            _check_torn(raw, where)
            raise RecordError(
                f"{where}: the line is cut off: mend the file with 'sparq-perf run --resume --out {path.parent}', "
                "or delete the line"
            )
        lines.append(parse_line(raw, where))
    if not lines:
        raise RecordError(f"{path}: holds no records: measure with 'sparq-perf run --out {path.parent}'")
    return lines


def parse_line(raw: bytes, where: str) -> Line:
    """One validated line; RecordError with ``where`` otherwise."""
    try:
        fields: Any = json.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RecordError(f"{where}: is not JSON ({error}): give a records.jsonl that sparq-perf wrote") from None
    if not isinstance(fields, dict) or "schema_version" not in fields or "record" not in fields:
        raise RecordError(f"{where}: is not a sparq-perf record: give a records.jsonl that sparq-perf wrote")
    version = fields["schema_version"]
    if version not in READABLE_VERSIONS or isinstance(version, bool):
        readable = ", ".join(map(str, READABLE_VERSIONS[:-1])) + f" and {READABLE_VERSIONS[-1]}"
        raise RecordError(
            f"{where}: schema_version is {version!r}: this sparq-perf reads versions {readable}: "
            "use the sparq-perf that wrote it"
        )
    try:
        return ANY_LINE.validate_python(upgrade(fields))
    except ValidationError as error:
        raise RecordError(describe(error, where)) from None


def mend_torn_line(path: Path) -> bool:
    """Cut off a last line that a killed run left unfinished; True where there was one.

    Raises:
        RecordError: the last line is not the beginning of a record: another program's file is left as it is.
    """
    raw = _raw_lines(path)
    if not raw or raw[-1].endswith(b"\n"):
        return False
    _check_torn(raw[-1], f"{path}, line {len(raw)}")
    with path.open("r+b") as file:
        file.truncate(sum(len(line) for line in raw[:-1]))
        os.fsync(file.fileno())
    return True


def _check_torn(raw: bytes, where: str) -> None:
    if not raw.startswith(LINE_START[: len(raw)]):
        raise RecordError(f"{where}: is not a sparq-perf record: give a records.jsonl that sparq-perf wrote")


def _raw_lines(path: Path) -> list[bytes]:
    return read_bytes(path).splitlines(keepends=True)


def latest_measurements(lines: list[Line]) -> dict[str, Measurement]:
    """The newest measurement of each configuration, in the order first measured."""
    latest: dict[str, Measurement] = {}
    for line in lines:
        if isinstance(line, Measurement):
            latest[line.key] = line
    return latest
