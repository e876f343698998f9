"""Measurements that others made, from a CSV file to records."""

import csv
import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from sparq_perf import __version__
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.plan import Group
from sparq_perf.records.schema import Imported, Line, Measurement
from sparq_profiles import AttentionShape, ConfigError, SparqConfig, SparqPerfError
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.load import describe
from sparq_profiles.shape import DType, KLayout
from sparq_profiles.suite import CacheState

# Of a normal distribution: what the standard error of a told time makes of its interval.
HALF_INTERVAL = 1.96
# A time without an error is taken to be known to this share: what the medians of quiet machines move between runs.
UNTOLD_ERROR = 0.01


class CsvError(SparqPerfError):
    """A file of measurements that cannot be read or believed."""


def _known(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text.strip()


Text = Annotated[str, AfterValidator(_known)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Row(BaseModel):
    """One line of the CSV file: times of one call of attention.

    Attributes:
        rank, top_k, k_layout: absent for dense attention, all three.
        time_stderr_s: absent where it was not told.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    device: Text
    implementation: Text
    batch: Count
    seq_len: Count
    n_heads: Count
    n_kv_heads: Count
    head_dim: Count
    dtype: DType
    rank: Count | None = None
    top_k: Count | None = None
    k_layout: KLayout | None = None
    time_s: Seconds
    time_stderr_s: Annotated[float, Field(ge=0)] | None = None

    @property
    def config(self) -> SparqConfig | None:
        """SparQ's settings; the file says nothing of window, mean value and group rule, which are the defaults.

        Raises:
            ValueError: some of the three are given and some are not.
        """
        given = (self.rank, self.top_k, self.k_layout)
        if given == (None, None, None):
            return None
        if self.rank is None or self.top_k is None or self.k_layout is None:
            raise ValueError("rank, top_k and k_layout go together: give all three for SparQ and none for dense")
        return SparqConfig(self.rank, self.top_k, k_layout=self.k_layout)

    @property
    def shape(self) -> AttentionShape:
        """What was attended over."""
        return AttentionShape(self.batch, self.seq_len, self.n_heads, self.n_kv_heads, self.head_dim, self.dtype)


COLUMNS = tuple(Row.model_fields)


def import_csv(path: Path, hardware: HardwareProfile, cache_state: CacheState = "cold") -> list[Line]:
    """Record lines of a CSV file: one `Imported`, then a measurement for each row.

    Args:
        path: with a header of the columns `COLUMNS`, in any order.
        hardware: profile of the device that was measured.
        cache_state: what the calls found; the file does not say.

    Raises:
        CsvError: no such file, other columns, several devices, or a row that cannot be; the message names the line.
    """
    rows = list(_rows(path))
    if not rows:
        raise CsvError(f"{path}: holds no measurements: give at least one row below the header")
    devices = list(dict.fromkeys(row.device for _, row in rows))
    if len(devices) > 1:
        raise CsvError(f"{path}: device is {' and '.join(map(repr, devices))}: give one file for each device")
    stamp = {"run_id": uuid.uuid4().hex[:12], "time": datetime.now(UTC)}
    measurements: dict[str, Measurement] = {}
    for number, row in rows:
        measurement = _measurement(row, cache_state, stamp, f"{path}, line {number}")
        if measurement.key in measurements:
            raise CsvError(f"{path}, line {number}: is a second time of {measurement.key}: leave one of them")
        measurements[measurement.key] = measurement
    first = Imported(
        **stamp,
        package_version=__version__,
        source=path.name,
        source_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        device=devices[0],
        hardware=hardware,
        n_measurements=len(measurements),
    )
    return [first, *measurements.values()]


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise CsvError(f"{path}: cannot be read: {why}: give a CSV file") from None
    reader = csv.DictReader(text.splitlines(), strict=True)
    header = reader.fieldnames or []
    lacking = [name for name in COLUMNS if name not in header]
    unknown = [name for name in header if name not in COLUMNS]
    if lacking or unknown:
        wrong = [f"lacks {', '.join(lacking)}"] * bool(lacking) + [f"has {', '.join(unknown)}"] * bool(unknown)
        raise CsvError(f"{path}, line 1: the header {' and '.join(wrong)}: it must be {','.join(COLUMNS)}")
    try:
        for fields in reader:
            yield reader.line_num, _row(fields, f"{path}, line {reader.line_num}")
    except csv.Error as error:
        raise CsvError(f"{path}, line {reader.line_num}: is not CSV: {error}") from None


def _row(fields: dict[Any, Any], where: str) -> Row:
    if None in fields or None in fields.values():
        raise CsvError(f"{where}: has another number of cells than the header: give {len(COLUMNS)}")
    try:
        row = Row.model_validate({name: text or None for name, text in fields.items()})
        row.config, row.shape  # noqa: B018 built here, so that an impossible one is told with its line
    except ValidationError as error:
        raise CsvError(describe(error, where)) from None
    except (ValueError, ConfigError) as error:
        raise CsvError(f"{where}: {error}") from None
    return row


def _measurement(row: Row, cache_state: CacheState, stamp: dict[str, Any], where: str) -> Measurement:
    config, shape = row.config, row.shape
    if config is not None:
        try:
            config.check_fits(shape.head_dim)
        except ConfigError as error:
            raise CsvError(f"{where}: {error}") from None
    model = f"{'mha' if shape.n_heads == shape.n_kv_heads else 'gqa'}-{shape.n_heads}"
    if shape.n_heads != shape.n_kv_heads:
        model += f"-{shape.n_kv_heads}"
    contender = Contender(row.implementation, config)
    group = Group(model, shape, cache_state, row.k_layout or "row_major", (contender,))
    error_s = UNTOLD_ERROR * row.time_s if row.time_stderr_s is None else row.time_stderr_s
    half_s = min(HALF_INTERVAL * error_s, 0.999 * row.time_s)
    return Measurement(
        **stamp,
        key=group.key(contender),
        model=model,
        shape=shape,
        config=config,
        cache_state=cache_state,
        implementation=row.implementation,
        status="ok",
        samples_s=(row.time_s,),
        timer="third_party",
        median_ci_s=(row.time_s - half_s, row.time_s + half_s),
        relative_noise=half_s / row.time_s,
        stop_reason="imported",
    )
