"""`sparq-perf calibrate` and `sparq-perf validate`, from records to errors over points that were not seen."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.importing import COLUMNS
from sparq_roofline.calibration import load_calibration

COMMITTED = Path(__file__).parents[3] / "reports" / "measured" / "intel-xeon-2t"
GB_PER_S = 1.5e12
DEVICE = "NVIDIA A100-SXM4-40GB"


def measured_row(batch: int, seq_len: int, config: tuple[int, int, str] | None, noise: float) -> str:
    """A kernel that streams at the bandwidth, gathers at half of it and takes 20 µs besides."""
    rows_bytes = batch * 8 * 128 * 2
    if config is None:
        time_s = 20e-6 + 2 * seq_len * rows_bytes / GB_PER_S
        settings = ",,"
    else:
        rank, top_k, k_layout = config
        streamed = seq_len * rows_bytes * (rank / 128 if k_layout == "two_copies" else 1)
        time_s = 20e-6 + (streamed + 2 * 2 * top_k * rows_bytes) / GB_PER_S
        settings = f"{rank},{top_k},{k_layout}"
    name = "dense-made-up" if config is None else "sparq-made-up"
    return f"{DEVICE},{name},{batch},{seq_len},8,8,128,float16,{settings},{time_s * noise},1e-8"


@pytest.fixture
def records(call: Callable[..., Any], tmp_path: Path) -> Path:
    dice = random.Random(0)
    sizes = [(batch, seq_len) for batch in (1, 4, 16, 64) for seq_len in (1024, 4096, 16384, 65536)]
    settings = [
        (rank, top_k, layout) for rank in (16, 64) for top_k in (64, 256) for layout in ("two_copies", "row_major")
    ]
    rows = [measured_row(*size, config, dice.gauss(1, 0.01)) for size in sizes for config in (None, *settings)]
    table = tmp_path / "sweep.csv"
    table.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    out = tmp_path / "records.jsonl"
    assert call("import", table, "--hardware", "a100-sxm-40gb", "--out", out).code == 0
    return out


def test_from_records_to_errors(call: Callable[..., Any], records: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "calibration.toml"
    made = call("calibrate", records, "--points", "12", "--seed", "3", "--out", out)
    assert (made.code, made.err) == (0, "")
    assert f"calibration {out}: {DEVICE}" in made.out
    assert "sparq-made-up         24 points" in made.out
    provenance = load_calibration(out).provenance
    assert (provenance.device, provenance.source, provenance.seed, provenance.points) == (
        DEVICE,
        "records.jsonl",
        3,
        12,
    )
    assert len(provenance.source_sha256) == 64

    checked = call("validate", records, "--calibration", out, "--json")
    assert (checked.code, checked.err) == (0, "")
    found = json.loads(checked.out)
    # 16 dense and 128 SparQ times; 8 (half of what there is) and 2 × 12 were seen.
    assert {name: (row["n"], row["n_seen"]) for name, row in found.items()} == {
        "dense-made-up": (8, 8),
        "sparq-made-up": (104, 24),
    }
    for row in (found["sparq-made-up"], *found["sparq-made-up"]["layouts"].values(), found["dense-made-up"]):
        assert row["median_ape"] < 0.04
        assert row["p90_ape"] < 0.12
        assert abs(row["bias"]) < 0.05
        assert row["coverage_90"] >= 0.8
        assert row["naive"]["median_ape"] > row["median_ape"]
    shown = call("validate", records, "--calibration", out).out
    assert f"{found['sparq-made-up']['median_ape']:.1%}" in shown
    assert "  row_major" in shown


def test_the_same_seed_gives_the_same_fit(call: Callable[..., Any], records: Path, tmp_path: Path) -> None:
    first, again, other = (tmp_path / name for name in ("a.toml", "b.toml", "c.toml"))
    for out, seed in ((first, 1), (again, 1), (other, 2)):
        assert call("calibrate", records, "--points", "12", "--seed", seed, "--out", out).code == 0
    fits = [load_calibration(path).implementations for path in (first, again, other)]
    assert fits[0] == fits[1]
    assert fits[0] != fits[2]


def test_json_of_calibrate(call: Callable[..., Any], records: Path, tmp_path: Path) -> None:
    out = tmp_path / "calibration.toml"
    document = json.loads(call("calibrate", records, "--points", "8", "--choice", "random", "--out", out, "--json").out)
    assert document["calibration"] == str(out)
    assert document["device"] == DEVICE
    assert document["skipped"] == {}
    entry = document["implementations"]["sparq-made-up"]
    assert entry["n_points"] == 16
    assert 0 <= entry["left_out_error"] < 0.3


def test_a_run_of_ones_own_is_fitted_to_its_implementations_steps(call: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "calibration.toml"
    assert call("calibrate", COMMITTED, "--out", out).code == 0
    loaded = load_calibration(out)
    assert {entry.steps for entry in loaded.implementations} == {"own"}
    found = json.loads(call("validate", COMMITTED, "--calibration", out, "--json").out)
    assert set(found) == {"dense-cpu", "dense-sdpa", "sparq-cpu", "sparq-torch"}
    assert found["sparq-cpu"]["median_ape"] < 0.15
    # The times are real and the machine was no quiet one; a model of 16 points is no wonder, but no nonsense. Dense
    # implementations are left with six points, of which the small warm one is far off.
    assert all(row["p90_ape"] < 0.6 for name, row in found.items() if name.startswith("sparq"))
    assert all(row["median_ape"] < 0.25 for row in found.values())


def test_another_devices_measurements(call: Callable[..., Any], records: Path, tmp_path: Path) -> None:
    out = tmp_path / "calibration.toml"
    assert call("calibrate", COMMITTED, "--out", out).code == 0
    outcome = call("validate", records, "--calibration", out)
    assert outcome.code == 2
    assert "has no measurement of what" in outcome.err
    assert "is of NVIDIA A100-SXM4-40GB, and" in outcome.err


def test_published(call: Callable[..., Any], refused: Callable[..., str], records: Path) -> None:
    rows = json.loads(call("validate", "--published", "--json").out)
    steps = [row for row in rows if "step of llama-2-7b" in row["where"]]
    assert [row["published"] for row in steps] == [1.14, 1.26, 1.57, 1.73, 2.06, 2.54]
    assert all(row["inside"] for row in steps)
    assert {"lower", "expected", "upper"} == set(rows[0]["predicted"])
    shown = call("validate", "--published").out
    assert "S=131,072" in shown
    assert "calibrate to predict them" in shown
    assert "leave" in refused("validate", records, "--published")


def test_refusals(refused: Callable[..., str], records: Path, tmp_path: Path) -> None:
    out = tmp_path / "calibration.toml"
    before = records.read_bytes()
    for arguments, words in (
        (("calibrate", records, "--points", "5"), "--points is 5: a time model needs at least 6"),
        (("calibrate", records, "--seed", "-1"), "--seed is -1: give 0 or more"),
        (("calibrate", records, "--choice", "best"), "--choice is 'best': choose spread or random"),
        (("calibrate", records, "--out", records), "records.jsonl: name a .toml file"),
        (("calibrate", tmp_path / "gone.jsonl", "--out", out), "gone.jsonl"),
        (("validate",), "nothing to validate: give records and --calibration, or --published"),
        (("validate", records), "nothing to validate"),
        (("validate", records, "--calibration", tmp_path / "gone.toml"), "gone.toml: no such file: make one with"),
        (("validate", records, "--calibration", records), "records.jsonl: cannot be read as TOML"),
    ):
        assert words in refused(*arguments)
    assert records.read_bytes() == before
    assert not out.exists()


def test_too_few_measurements(call: Callable[..., Any], refused: Callable[..., str], tmp_path: Path) -> None:
    table, records = tmp_path / "few.csv", tmp_path / "few.jsonl"
    rows = [measured_row(1, seq_len, None, 1.0) for seq_len in (1024, 2048, 4096)]
    table.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    assert call("import", table, "--hardware", "a100-sxm-40gb", "--out", records).code == 0
    told = refused("calibrate", records, "--out", tmp_path / "few.toml")
    assert "nothing can be calibrated: dense-made-up: 3 points in float16: at least 6 are needed" in told
    assert not (tmp_path / "few.toml").exists()


def test_warm_caches_calibrate_nothing(call: Callable[..., Any], refused: Callable[..., str], tmp_path: Path) -> None:
    table, records = tmp_path / "warm.csv", tmp_path / "warm.jsonl"
    rows = [measured_row(batch, 1024, None, 1.0) for batch in range(1, 9)]
    table.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    imported = call("import", table, "--hardware", "a100-sxm-40gb", "--cache-state", "warm", "--out", records)
    assert imported.code == 0
    assert "every cache was warm" in refused("calibrate", records, "--out", tmp_path / "warm.toml")


@pytest.fixture
def calibration(call: Callable[..., Any], records: Path, tmp_path: Path) -> Path:
    out = tmp_path / "calibration.toml"
    assert call("calibrate", records, "--points", "12", "--out", out).code == 0
    return out


HEADS = ("--n-heads", "8", "--head-dim", "128")


def test_predict_by_a_calibration(call: Callable[..., Any], calibration: Path) -> None:
    asked = ("--batch", "16", "--seq-len", "16384", "--rank", "16", "--top-k", "64", *HEADS)
    outcome = call("predict", "--calibration", calibration, *asked, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    found = json.loads(outcome.out)
    assert found["hardware"] == "a100-sxm-40gb"
    assert found["dense"]["evidence"] == found["sparq"]["evidence"] == "calibrated"
    # By hand, as `measured_row` makes times: 20 µs and the bytes of each.
    dense_s = 20e-6 + 2 * 16384 * 16 * 8 * 256 / GB_PER_S
    sparq_s = 20e-6 + (16384 * 16 * 8 * 256 / 8 + 4 * 64 * 16 * 8 * 256) / GB_PER_S
    assert found["dense"]["time_s"]["expected"] == pytest.approx(dense_s, rel=0.05)
    assert found["sparq"]["time_s"]["expected"] == pytest.approx(sparq_s, rel=0.08)
    assert found["speedup"]["lower"] < dense_s / sparq_s < found["speedup"]["upper"]
    assert found["sparq"]["extrapolated"] == []
    further = call("predict", "--calibration", calibration, *asked[:2], "--seq-len", "1000000", *asked[4:])
    assert "outside what the calibration saw, so that intervals are wider: seq_len" in further.out


def test_sweep_by_a_calibration(call: Callable[..., Any], calibration: Path) -> None:
    asked = ("--batch", "16", "--seq-len", "4096..16384", "--rank", "16", "--top-k", "64", *HEADS)
    rows = json.loads(call("sweep", "--calibration", calibration, *asked, "--json").out)
    assert [row["seq_len"] for row in rows] == [4096, 8192, 16384]
    last = ("--batch", "16", "--seq-len", "16384", "--rank", "16", "--top-k", "64", *HEADS)
    one = call("predict", "--calibration", calibration, *last, "--json")
    assert rows[2]["sparq_time_s"] == pytest.approx(json.loads(one.out)["sparq"]["time_s"]["expected"])
    assert not any(row["extrapolated"] for row in rows)
    names = ("--implementations", "dense-made-up,sparq-made-up")
    assert json.loads(call("sweep", "--calibration", calibration, *names, *asked, "--json").out) == rows
    wider = call("sweep", "--calibration", calibration, "--seq-len", "1048576", "--rank", "16", *HEADS)
    assert "1 of 1 rows lie outside" in wider.out


def test_size_by_a_calibration(call: Callable[..., Any], calibration: Path) -> None:
    asked = ("size", "--model", "llama-2-7b", "--context", "2000", "--output", "100", "--batch", "4", "--json")
    by_datasheet = json.loads(call(*asked, "--hardware", "a100-sxm-40gb").out)["rows"]
    document = json.loads(call(*asked, "--calibration", calibration).out)
    assert {row["evidence"] for row in document["rows"]} == {"calibrated"}
    assert any("the calibration saw other values of k_layout" in note for note in document["warnings"])
    for calibrated, datasheet in zip(document["rows"], by_datasheet, strict=True):
        assert calibrated["hardware"] == "a100-sxm-40gb"
        # 32 layers of a kernel that takes 20 µs besides its bytes.
        assert calibrated["parts"]["attention_s"]["expected"] > datasheet["parts"]["attention_s"]["lower"] + 32 * 15e-6
        assert calibrated["parts"]["layers_s"] == datasheet["parts"]["layers_s"]
    both = ("--hardware", "h100-sxm-80gb", "--hardware", "a100-sxm-40gb")
    mixed = json.loads(call(*asked, "--calibration", calibration, *both).out)["rows"]
    assert [row["evidence"] for row in mixed] == ["datasheet"] * 4 + ["calibrated"] * 4


def test_a_run_of_ones_own_predicts_and_sizes(
    call: Callable[..., Any], refused: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "calibration.toml"
    assert call("calibrate", COMMITTED, "--out", out).code == 0
    pair = ("--calibration", out, "--implementations", "dense-cpu,sparq-cpu")
    asked = ("--seq-len", "16384", "--rank", "32", "--top-k", "128", "--n-heads", "32", "--head-dim", "128")
    found = json.loads(call("predict", *pair, *asked, "--dtype", "float32", "--json").out)
    assert 1 < found["speedup"]["expected"] < 8  # eight times fewer bytes
    assert "a grid needs one fitted to the algorithm's" in refused("sweep", *pair, *asked, "--dtype", "float32")
    sized = call(
        "size", *pair, "--model", "llama-2-7b", "--context", "1000", "--output", "10", "--kv", "fp32", "--json"
    )
    assert {row["hardware"] for row in json.loads(sized.out)["rows"]} == {"intel-xeon-2t"}


def test_refused_predictions(refused: Callable[..., str], calibration: Path) -> None:
    asked = ("--seq-len", "4096", "--rank", "16", "--top-k", "64", *HEADS)
    by = ("--calibration", calibration)
    size = ("size", "--model", "llama-2-7b", "--context", "9", "--output", "9")
    for arguments, words in (
        (("predict", *asked), "give --hardware or --calibration, one of the two"),
        (("predict", *by, "--hardware", "h100-sxm-80gb", *asked), "give --hardware or --calibration, one of the two"),
        (("predict", "--hardware", "h100-sxm-80gb", "--implementations", "a,b", *asked), "give --calibration too"),
        (("predict", *by, "--implementations", "sparq-made-up", *asked), "give DENSE,SPARQ, as in"),
        (
            ("predict", *by, "--implementations", "dense-x,sparq-made-up", *asked),
            "'dense-x' is no dense",
        ),
        (
            ("predict", *by, "--implementations", "dense-made-up,x", *asked),
            "'x' is no SparQ",
        ),
        (("sweep", *asked), "give --hardware or --calibration, one of the two"),
        (("sweep", *by, "--implementations", "a", *asked), "give DENSE,SPARQ, as in"),
        ((*size, *by, *by), "given twice"),
        (
            (*size, "--implementations", "a,b"),
            "give --calib",
        ),
        (
            (*size, "--kv", "fp8", *by),
            "no kernel with 8-bit K",
        ),
    ):
        assert words in refused(*arguments), arguments
