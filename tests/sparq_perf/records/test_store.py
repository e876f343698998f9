"""Lines are on disk at once, whole, and nothing but this program's records is read or cut."""

import errno
import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.records import store
from sparq_perf.records.store import (
    RecordError,
    RecordWriter,
    latest_measurements,
    mend_torn_line,
    read_lines,
    records_file,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.jsonl"


@pytest.fixture
def written(path: Path, every_kind: list[Any]) -> Path:
    with RecordWriter(path) as writer:
        for line in every_kind:
            writer.append(line)
    return path


@pytest.fixture
def refusal(one_line: Callable[[BaseException], str]) -> Callable[[Path], str]:
    """The one-line message with which reading a file is refused."""

    def _refusal(path: Path) -> str:
        with pytest.raises(RecordError) as caught:
            read_lines(path)
        return one_line(caught.value)

    return _refusal


def test_what_is_written_is_read(written: Path, every_kind: list[Any]) -> None:
    assert read_lines(written) == every_kind


def test_a_line_is_there_for_others_as_soon_as_it_is_appended(path: Path, every_kind: list[Any]) -> None:
    with RecordWriter(path) as writer:
        for n, line in enumerate(every_kind, start=1):
            writer.append(line)
            assert read_lines(path) == every_kind[:n]


def test_each_line_is_synced(path: Path, lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(store.os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    with RecordWriter(path) as writer:
        writer.append(lines.run())
        first = path.stat().st_size
        writer.append(lines.end())
    assert synced == [first, path.stat().st_size]


def test_a_writer_makes_its_folder_and_appends(tmp_path: Path, lines: Any) -> None:
    path = tmp_path / "a" / "b" / "records.jsonl"
    for _ in range(2):
        with RecordWriter(path) as writer:
            writer.append(lines.end())
    assert len(read_lines(path)) == 2


def test_two_writers(path: Path, lines: Any, one_line: Callable[[BaseException], str]) -> None:
    with RecordWriter(path) as writer:
        with pytest.raises(RecordError) as caught:
            RecordWriter(path)
        assert "another run is writing" in one_line(caught.value)
        writer.append(lines.end())
    with RecordWriter(path) as writer:
        writer.append(lines.end())
    assert len(read_lines(path)) == 2


def test_a_file_that_cannot_be_written(tmp_path: Path, one_line: Callable[[BaseException], str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError) as caught:
        RecordWriter(tmp_path / "file" / "records.jsonl")
    assert "cannot be written" in one_line(caught.value)


def test_short_writes(path: Path, every_kind: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    write, sizes = os.write, []

    def few(fd: int, data: bytes) -> int:
        sizes.append(write(fd, data[:7]))
        return sizes[-1]

    monkeypatch.setattr(store.os, "write", few)
    with RecordWriter(path) as writer:
        for line in every_kind:
            writer.append(line)
    monkeypatch.undo()
    assert max(sizes) == 7
    assert read_lines(path) == every_kind


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_no_half_line_stays_when_a_write_fails(
    written: Path, every_kind: list[Any], lines: Any, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    write, calls = os.write, []

    def fails_on_the_second(fd: int, data: bytes) -> int:
        calls.append(fd)
        if len(calls) == 2:
            raise failure
        return write(fd, data[:20])

    with RecordWriter(written) as writer:
        monkeypatch.setattr(store.os, "write", fails_on_the_second)
        with pytest.raises(RecordError if isinstance(failure, OSError) else KeyboardInterrupt):
            writer.append(lines.measurement())
        monkeypatch.undo()
        assert read_lines(written) == every_kind
        writer.append(lines.end())  # as an interrupted run does
    assert read_lines(written) == [*every_kind, lines.end()]


@pytest.mark.parametrize("left", [1, 10, 25, 200])
def test_a_torn_last_line(written: Path, every_kind: list[Any], refusal: Callable[[Path], str], left: int) -> None:
    whole = written.read_bytes()
    torn = whole.splitlines(keepends=True)[3][:left]
    written.write_bytes(whole + torn)
    message = refusal(written)
    assert f"line {len(every_kind) + 1}" in message
    assert "cut off" in message
    assert f"sparq-perf run --resume --out {written.parent}" in message
    assert mend_torn_line(written) is True
    assert written.read_bytes() == whole
    assert mend_torn_line(written) is False
    assert written.read_bytes() == whole


def test_a_line_without_only_its_newline_is_torn(written: Path, every_kind: list[Any]) -> None:
    written.write_bytes(written.read_bytes()[:-1])
    assert mend_torn_line(written) is True
    assert read_lines(written) == every_kind[:-1]


def test_the_only_line_is_torn(path: Path, refusal: Callable[[Path], str]) -> None:
    path.write_bytes(b'{"schema_version":1,"run')
    assert "line 1: the line is cut off" in refusal(path)
    assert mend_torn_line(path) is True
    assert path.read_bytes() == b""


@pytest.mark.parametrize("content", [b"the last line of a diary", b"a\nb\n{}", b"\x7fELF\x02\x01\x00\xff"])
def test_a_foreign_file_is_not_cut(path: Path, content: bytes, refusal: Callable[[Path], str]) -> None:
    path.write_bytes(content)
    with pytest.raises(RecordError, match="not a sparq-perf record"):
        mend_torn_line(path)
    assert path.read_bytes() == content
    assert "line 1" in refusal(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds no records: measure with"),
        (b"\n", "line 1: is not JSON"),
        (b"hello\n", "line 1: is not JSON"),
        (b"\xff\xfe\x00binary\n", "line 1: is not JSON"),
        (b"[1, 2]\n", "line 1: is not a sparq-perf record"),
        (b"3\n", "line 1: is not a sparq-perf record"),
        (b'{"name": "other"}\n', "line 1: is not a sparq-perf record"),
        (
            b'{"schema_version": 99, "record": "run"}\n',
            "schema_version is 99: this sparq-perf reads versions 1, 2, 3 and 4",
        ),
        (b'{"schema_version": "1", "record": "run"}\n', "schema_version is '1'"),
        (b'{"schema_version": 1, "record": "poem"}\n', "line 1: "),
        (b'{"schema_version": 1, "record": "end"}\n', "run_id is missing"),
    ],
)
def test_what_is_not_a_record_file(path: Path, content: bytes, complaint: str, refusal: Callable[[Path], str]) -> None:
    path.write_bytes(content)
    message = refusal(path)
    assert complaint in message
    assert str(path) in message


def test_a_missing_file_and_a_folder(tmp_path: Path, refusal: Callable[[Path], str]) -> None:
    assert "no such file" in refusal(tmp_path / "none.jsonl")
    assert "cannot be read" in refusal(tmp_path)


def test_damage_in_the_middle_names_its_line(written: Path, refusal: Callable[[Path], str]) -> None:
    whole = written.read_bytes().splitlines(keepends=True)
    whole[2] = whole[2][:50] + b"\n"
    written.write_bytes(b"".join(whole))
    assert "line 3: is not JSON" in refusal(written)
    assert mend_torn_line(written) is False


def test_nan_in_the_file_is_refused(path: Path, lines: Any, refusal: Callable[[Path], str]) -> None:
    text = lines.end().model_dump_json()
    path.write_text(text.replace('"elapsed_s":9.5', '"elapsed_s":NaN') + "\n")
    message = refusal(path)
    assert "elapsed_s" in message
    assert "nan" in message


def test_latest_measurements(lines: Any) -> None:
    first = lines.measurement((1.0,), key="a")
    other = lines.measurement((2.0,), key="b")
    again = lines.measurement((3.0,), key="a")
    latest = latest_measurements([lines.run(), first, other, lines.step_profile(key="a"), again, lines.end()])
    assert latest == {"a": again, "b": other}
    assert list(latest) == ["a", "b"]


def test_compressed_records(written: Path, every_kind: list[Any], refusal: Callable[[Path], str]) -> None:
    compressed = written.with_name("records.jsonl.gz")
    content = gzip.compress(written.read_bytes(), mtime=0)
    compressed.write_bytes(content)
    assert read_lines(compressed) == every_kind
    # Plain ones win: a run goes on in them.
    assert records_file(written.parent) == written
    written.unlink()
    assert records_file(written.parent) == compressed
    compressed.write_bytes(content[:-20])
    assert "records.jsonl.gz: is no whole gzip file" in refusal(compressed)
    compressed.write_bytes(b"plain text")
    assert "records.jsonl.gz: is no whole gzip file" in refusal(compressed)
    compressed.unlink()
    assert "records.jsonl: no such file" in refusal(records_file(written.parent))
