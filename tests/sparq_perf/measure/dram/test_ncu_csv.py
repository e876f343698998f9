"""Tables as Nsight Compute prints them, read into bytes.

The files beside this one follow, column by column, what each version was seen to print in public captures; their
numbers are made up:

    ncu-2025-raw-nvtx       2025.1, --page raw --nvtx, application replay, on CC 9.0: a wide table, NVTX columns
    ncu-2024-raw            2024.x, --page raw, without --nvtx, scaled units
    ncu-2022-details        2022.4, --page details: a long table with Block Size … CC; full C++ names
    ncu-2021-details-nvtx   2021.2, --page details --nvtx: Kernel Time, no Block Size, rows of rules, scaled units
    ncu-2025-details-cc12   2025.1 on CC 12.0, which knows dram__bytes_op_read but not dram__bytes_read
"""

from collections.abc import Callable

import pytest

from sparq_perf.measure.dram.ncu import METRIC_SETS
from sparq_perf.measure.dram.ncu_csv import NcuFormatError, read_kernels

WANTED = METRIC_SETS[0]
READ, WRITE, L2 = "dram__bytes_read.sum", "dram__bytes_write.sum", "lts__t_sectors_op_read.sum"
Captured = Callable[[str], str]


def test_wide_with_ranges(captured: Captured) -> None:
    rows = read_kernels(captured("ncu-2025-raw-nvtx"), WANTED)
    assert [row.name for row in rows] == [
        "spin_kernel",
        "attend",
        "spin_kernel",
        "score",
        "select",
        "attend",
        "spin_kernel",
        "flash_fwd_splitkv_kernel",
        "flash_fwd_splitkv_combine_kernel",
        "flash_fwd_splitkv_kernel",
    ]
    # What was n/a, and what was not wanted, is not there.
    assert rows[1].metrics == {READ: 134_217_728, WRITE: 65_536, L2: 4_194_304}
    assert rows[1].ranges is not None
    assert '"<default domain>:sparq-dram-subject-0:none' in rows[1].ranges


def test_wide_with_scaled_units(captured: Captured) -> None:
    _, attend = read_kernels(captured("ncu-2024-raw"), WANTED)
    assert attend.ranges is None
    assert attend.metrics == pytest.approx({READ: 134_217_728, WRITE: 65_536, L2: 4_194_304})


def test_long(captured: Captured) -> None:
    rows = read_kernels(captured("ncu-2022-details"), WANTED)
    assert [row.metrics[READ] for row in rows] == [0, 134_217_728, 0, 33_554_432, 0]
    assert [row.metrics[WRITE] for row in rows] == [0, 65_536, 0, 1_024, 4_096]
    assert rows[0].name == "void at::cuda::(anonymous namespace)::spin_kernel(long)"
    assert {row.ranges for row in rows} == {None}


def test_long_with_rules_and_scaled_units(captured: Captured) -> None:
    rows = read_kernels(captured("ncu-2021-details-nvtx"), WANTED)
    assert [row.name for row in rows] == ["spin_kernel", "attend", "attend"]
    assert rows[1].metrics == pytest.approx({READ: 134.22e6, WRITE: 65.54e3, L2: 4_194_304})
    assert rows[2].metrics == pytest.approx({READ: 1.5e9, WRITE: 0.0})
    assert "sparq-dram-subject-1" in str(rows[2].ranges)


def test_the_names_of_compute_capability_12(captured: Captured) -> None:
    (row,) = read_kernels(captured("ncu-2025-details-cc12"), WANTED)
    assert row.metrics == {"dram__bytes_op_read.sum": 53_261_312, "dram__bytes_op_write.sum": 3_377_920}


@pytest.mark.parametrize("name", ["ncu-no-kernels", "ncu-no-permission", "ncu-unknown-option"])
def test_no_table(name: str, captured: Captured) -> None:
    assert read_kernels(captured(name), WANTED) == ()


def test_a_table_without_kernels(captured: Captured) -> None:
    header, *_ = (line for line in captured("ncu-2024-raw").splitlines() if line.startswith('"ID"'))
    assert read_kernels(header, WANTED) == ()


WIDE = '"ID","Kernel Name","dram__bytes_read.sum"\n"","","{unit}"\n"0","k","{value}"\n'


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("1,234,567", "byte", 1_234_567),
        ("1234567", "byte", 1_234_567),
        ("1,234.5", "Kbyte", 1_234_500),
        ("0", "byte", 0),
        ("2.5", "Tbyte", 2.5e12),
        ("1.5e+06", "byte", 1.5e6),
        ("12", "", 12),
    ],
)
def test_numbers(value: str, unit: str, expected: float) -> None:
    (row,) = read_kernels(WIDE.format(unit=unit, value=value), [READ])
    assert row.metrics[READ] == pytest.approx(expected)


@pytest.mark.parametrize("value", ["n/a", "(!) n/a", ""])
def test_not_available(value: str) -> None:
    (row,) = read_kernels(WIDE.format(unit="byte", value=value), [READ])
    assert row.metrics == {}


@pytest.mark.parametrize("value", ["65,77", "27.595.520", "1,23", "240; 240", "-1", "inf", "nan"])
def test_what_is_no_number_is_refused(value: str) -> None:
    # 65,77 and 27.595.520 are what ncu prints under a German locale.
    with pytest.raises(NcuFormatError, match="not a number with thousands separated by commas"):
        read_kernels(WIDE.format(unit="byte", value=value), [READ])


@pytest.mark.parametrize("unit", ["usecond", "KiB", "byte/second", "bytes"])
def test_other_units_are_refused(unit: str) -> None:
    with pytest.raises(NcuFormatError, match=f"dram__bytes_read.sum in '{unit}'"):
        read_kernels(WIDE.format(unit=unit, value="1"), [READ])


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(NcuFormatError, match="3 columns and a row of 2"):
        read_kernels(WIDE.format(unit="byte", value="1") + '"1","cut"\n', [READ])


def test_a_raw_table_without_units_is_refused() -> None:
    with pytest.raises(NcuFormatError, match="no row of units"):
        read_kernels('"ID","Kernel Name","dram__bytes_read.sum"\n"0","k","1"\n', [READ])


def test_two_tables_are_refused() -> None:
    with pytest.raises(NcuFormatError, match="2 tables"):
        read_kernels(2 * WIDE.format(unit="byte", value="1"), [READ])
