"""Measurements that others made: what is read, and what is refused with its line."""

from pathlib import Path
from typing import Any

import pytest

from sparq_perf.comparison import compare
from sparq_perf.importing import COLUMNS, CsvError, import_csv
from sparq_perf.records.schema import Imported
from sparq_perf.records.store import RecordWriter, read_lines
from sparq_profiles import SparqConfig, load_hardware

PUBLISHED = Path(__file__).parents[3] / "shared" / "published" / "sparq_sweep_a100.csv"
HEADER = ",".join(COLUMNS)
DENSE = "Test GPU,dense-x,2,4096,8,8,64,float16,,,,0.001,1e-6"
SPARQ = "Test GPU,sparq-x,2,4096,8,8,64,float16,16,64,two_copies,0.0005,"


@pytest.fixture
def table(tmp_path: Path) -> Any:
    def write(*rows: str, header: str = HEADER) -> Path:
        path = tmp_path / "sweep.csv"
        path.write_text("\n".join((header, *rows)) + "\n")
        return path

    return write


def test_rows_become_measurements(table: Any) -> None:
    first, dense, sparq = import_csv(table(DENSE, SPARQ), load_hardware("a100-sxm-40gb"))
    assert isinstance(first, Imported)
    assert (first.device, first.hardware.name, first.n_measurements) == ("Test GPU", "a100-sxm-40gb", 2)
    assert first.source == "sweep.csv"
    measured: Any = sparq
    assert measured.config == SparqConfig(16, 64)
    assert (measured.median_s, measured.timer, measured.stop_reason) == (0.0005, "third_party", "imported")
    assert measured.key == "mha-8/B2-S4096-h8x8x64-float16/cold/two_copies/r16-k64-l0-mean-logits/sparq-x"
    # 1.96 standard errors; where none was told, of one per cent.
    told: Any = dense
    assert told.median_ci_s == pytest.approx((0.001 - 1.96e-6, 0.001 + 1.96e-6))
    assert measured.relative_noise == pytest.approx(0.0196)
    (comparison,) = compare([first, dense, sparq])
    assert comparison.speedup.expected == pytest.approx(2.0)


def test_records_are_read_back(table: Any, tmp_path: Path) -> None:
    lines = import_csv(table(DENSE, SPARQ), load_hardware("a100-sxm-40gb"), "warm")
    with RecordWriter(tmp_path / "records.jsonl") as writer:
        for line in lines:
            writer.append(line)
    assert read_lines(tmp_path / "records.jsonl") == lines


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published sweep is not beside the project (../shared)")
def test_the_published_sweep() -> None:
    """Best of the whole sweep, as the authors print it: 6.02× at 16k tokens, batch 64, r = 16, k = 64."""
    lines = import_csv(PUBLISHED, load_hardware("a100-sxm-40gb"))
    assert len(lines) == 1 + 1439
    best = max(compare(lines), key=lambda comparison: comparison.speedup.expected)
    assert best.speedup.expected == pytest.approx(6.02, abs=0.005)
    shape, config = best.sparq.shape, best.sparq.config
    assert (shape.seq_len, shape.batch, best.sparq.implementation) == (16384, 64, "sparq-triton")
    assert config == SparqConfig(16, 64)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ((), "holds no measurements"),
        ((DENSE.replace("0.001", "-1"),), "line 2: time_s is '-1': it should be greater than 0"),
        ((DENSE, SPARQ.replace("0.0005", "nan")), "line 3: time_s is 'nan'"),
        ((DENSE.replace("0.001", "fast"),), "line 2: time_s is 'fast'"),
        ((DENSE.replace("float16", "float12"),), "line 2: dtype is 'float12'"),
        ((DENSE.replace(",8,8,", ",8,3,"),), "line 2: shape: n_heads is 8"),
        ((SPARQ.replace("two_copies", ""),), "line 2: rank, top_k and k_layout go together"),
        ((SPARQ.replace(",16,64,", ",65,64,"),), "line 2: SparQ config: rank is 65 and head_dim is 64"),
        ((SPARQ.replace("two_copies", "both"),), "line 2: k_layout is 'both'"),
        ((DENSE, DENSE.replace("Test", "Other")), "device is 'Test GPU' and 'Other GPU': give one file for each"),
        ((DENSE, DENSE), "line 3: is a second time of mha-8/B2-S4096"),
        ((DENSE + ",more",), "line 2: has another number of cells"),
        ((DENSE.rpartition(",")[0],), "line 2: has another number of cells"),
        ((DENSE.replace("dense-x", ""),), "line 2: implementation"),
    ],
)
def test_refusals(table: Any, one_line: Any, rows: tuple[str, ...], words: str) -> None:
    with pytest.raises(CsvError) as refused:
        import_csv(table(*rows), load_hardware("a100-sxm-40gb"))
    assert words in one_line(refused.value)
    assert "sweep.csv" in one_line(refused.value)


def test_another_header(table: Any, one_line: Any) -> None:
    with pytest.raises(CsvError) as refused:
        import_csv(table(DENSE, header=HEADER.replace(",time_s,", ",seconds,")), load_hardware("a100-sxm-40gb"))
    assert "line 1: the header lacks time_s and has seconds: it must be device," in one_line(refused.value)


def test_files_that_are_no_tables(tmp_path: Path, one_line: Any) -> None:
    binary = tmp_path / "sweep.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, words in ((binary, "is not UTF-8"), (tmp_path / "none.csv", "No such file"), (tmp_path, "directory")):
        with pytest.raises(CsvError) as refused:
            import_csv(path, load_hardware("a100-sxm-40gb"))
        assert words in one_line(refused.value)
