"""Bad input is one line on stderr that names the value, and exit code 2; never a traceback."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PREDICT = {"--hardware": "h100-sxm-80gb", "--seq-len": 4096, "--rank": 32, "--top-k": 128, "--model": "llama-2-7b"}
SWEEP = {"--hardware": "h100-sxm-80gb", "--seq-len": "4096", "--model": "llama-2-7b"}
NO_MODEL = {"--model": None}


def command(name: str, options: dict[str, Any]) -> list[object]:
    return [name, *(part for option, value in options.items() if value is not None for part in (option, value))]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"--hardware": "h100"}, "unknown hardware 'h100': did you mean"),
        ({"--hardware": "no/such.toml"}, "no/such.toml: no such file"),
        ({"--model": "llama-9"}, "unknown model 'llama-9': did you mean"),
        ({"--model": "no/config.json"}, "no/config.json: no such file"),
        ({"--rank": 129}, "rank is 129 and head_dim is 128"),
        ({"--rank": 0}, "rank is 0"),
        ({"--top-k": 0}, "top_k is 0"),
        ({"--top-k": -4}, "top_k is -4"),
        ({"--local-window": 129}, "local_window is 129 and top_k is 128"),
        ({"--batch": 0}, "batch is 0"),
        ({"--seq-len": 0}, "seq_len is 0"),
        ({"--dtype": "float12"}, "dtype is 'float12': choose one of float16"),
        ({"--k-layout": "sideways"}, "k_layout is 'sideways': choose one of two_copies"),
        ({"--group-score": "mean"}, "group_score is 'mean': choose one of logits"),
        ({**NO_MODEL}, "no heads given: name a --model, or give --n-heads and --head-dim"),
        ({**NO_MODEL, "--n-heads": 8}, "no heads given"),
        ({**NO_MODEL, "--n-heads": 30, "--n-kv-heads": 8, "--head-dim": 64}, "n_heads is 30 and n_kv_heads is 8"),
        ({**NO_MODEL, "--n-heads": 8, "--n-kv-heads": 0, "--head-dim": 64}, "n_kv_heads is 0"),
        ({"--n-heads": 0}, "n_heads is 0"),
        ({"--n-kv-heads": 0}, "n_kv_heads is 0"),
        ({"--head-dim": 0}, "head_dim is 0"),
        ({"--n-kv-heads": 7}, "n_heads is 32 and n_kv_heads is 7"),
        ({"--seq-len": "4k"}, "'4k'"),
        ({"--rank": "many"}, "'many'"),
        ({"--seq-len": None}, "--seq-len"),
        ({"--hardware": None}, "--hardware"),
        ({"--colour": "red"}, "--colour"),
    ],
)
def test_predict(refused: Callable[..., str], options: dict[str, Any], complaint: str) -> None:
    assert complaint in refused(*command("predict", {**PREDICT, **options}))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"--hardware": "h100"}, "unknown hardware 'h100'"),
        ({"--model": "llama-9"}, "unknown model 'llama-9'"),
        ({"--seq-len": "abc"}, "--seq-len is 'abc': give whole numbers"),
        ({"--seq-len": "4096..1024"}, "--seq-len is '4096..1024': numbers must be at least 1, and ranges ascend"),
        ({"--seq-len": "9" * 30}, "numbers must be at most"),
        ({"--batch": "1;2"}, "--batch is '1;2'"),
        ({"--top-k": "0"}, "--top-k is '0'"),
        ({"--rank": "16,256"}, "rank[1] is 256 and head_dim is 128"),
        ({"--dtype": "float12"}, "dtype is 'float12'"),
        ({"--k-layout": "sideways"}, "'sideways'"),
        ({"--group-score": "sum"}, "group_score[0] is 'sum': choose one of logits, softmax"),
        ({"--csv": "no/such/folder/grid.csv"}, "--csv no/such/folder/grid.csv: cannot be written: "),
        ({**NO_MODEL}, "no heads given"),
        (
            {"--seq-len": ",".join(map(str, range(1, 5001))), "--batch": ",".join(map(str, range(1, 5001)))},
            "the grid has",
        ),
    ],
)
def test_sweep(refused: Callable[..., str], options: dict[str, Any], complaint: str) -> None:
    message = refused(*command("sweep", {**SWEEP, **options}))
    assert complaint in message
    assert "None" not in message


def test_unwritable_csv(refused: Callable[..., str], tmp_path: Path) -> None:
    assert f"--csv {tmp_path}: cannot be written: Is a directory" in refused(
        *command("sweep", {**SWEEP, "--csv": tmp_path})
    )


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"--suite": "enormous"}, "unknown suite 'enormous'"),
        ({"--suite": "no/such.toml"}, "no/such.toml: no such file"),
        ({"--device": "cuda"}, "--device is 'cuda': torch "),
        ({"--device": "banana"}, "--device is 'banana': choose auto, cpu or cuda"),
        ({"--threads": 0}, "--threads is 0: this machine allows 1 to"),
        ({"--threads": -2}, "--threads is -2"),
        ({"--threads": 100_000}, "--threads is 100000"),
        ({"--threads": "two"}, "'two'"),
        ({"--timeout-s": -1}, "--timeout-s is -1: it must be above 0"),
        ({"--timeout-s": 0}, "--timeout-s is 0"),
        ({"--timeout-s": "nan"}, "--timeout-s is nan"),
        ({"--timeout-s": "long"}, "'long'"),
        ({"--implementation": "sparq-gpu"}, "unknown implementation 'sparq-gpu': known: "),
    ],
)
def test_run(refused: Callable[..., str], tmp_path: Path, options: dict[str, Any], complaint: str) -> None:
    out = tmp_path / "out"
    assert complaint in refused(*command("run", {"--suite": "smoke", "--out": out, **options}))
    assert not out.exists()


def test_a_suite_with_a_fault(refused: Callable[..., str], tmp_path: Path) -> None:
    suite = tmp_path / "suite.toml"
    suite.write_text('name = "mine"\ntitle = "Mine"\n[[grids]]\nmodel = "llama-2-7b"\nseq_len = [0]\nconfigs = []\n')
    message = refused("run", "--suite", suite, "--out", tmp_path / "out")
    assert f"{suite}: grids.0.seq_len.0 is 0" in message


def test_resume_with_another_suite(refused: Callable[..., str], record_file: Path) -> None:
    before = record_file.read_bytes()
    message = refused("run", "--suite", "smoke", "--resume", "--out", record_file.parent)
    assert "holds suite 'tiny', not this 'smoke'" in message
    assert record_file.read_bytes() == before


def test_out_that_is_a_file(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    assert "cannot be written" in refused("run", "--suite", "smoke", "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds no records"),
        (b"hello\n", "line 1: is not JSON"),
        (b"\x7fELF\x02\x01\x00\xff\x00", "line 1: is not a sparq-perf record"),
        (b"[]\n", "line 1: is not a sparq-perf record"),
        (b'{"schema_version": 7, "record": "run"}\n', "schema_version is 7"),
    ],
)
def test_report_on_a_foreign_file(refused: Callable[..., str], tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(content)
    message = refused("report", path)
    assert str(path) in message
    assert complaint in message
    assert list(tmp_path.iterdir()) == [path]


def test_report_on_a_truncated_file(refused: Callable[..., str], record_file: Path) -> None:
    whole = record_file.read_bytes()
    record_file.write_bytes(whole[:-30])
    message = refused("report", record_file.parent)
    last = len(whole.splitlines())
    assert f"line {last}: the line is cut off: mend the file with 'sparq-perf run --resume" in message
    assert not (record_file.parent / "report.html").exists()


def test_report_on_a_changed_line(refused: Callable[..., str], record_file: Path) -> None:
    lines = record_file.read_text().splitlines()
    fields = json.loads(lines[3])
    fields["samples_s"] = []
    lines[3] = json.dumps(fields)
    record_file.write_text("\n".join(lines) + "\n")
    assert "line 4: " in refused("report", record_file)


def test_report_without_a_file(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "none.jsonl: no such file: measure first with 'sparq-perf run'" in refused("report", tmp_path / "none.jsonl")
    assert "records.jsonl: no such file" in refused("report", tmp_path)
    assert "records" in refused("report").lower()


def test_report_that_cannot_be_written(refused: Callable[..., str], record_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "report.html"
    assert f"{target}: cannot be written: " in refused("report", record_file, "--out", target)


@pytest.mark.parametrize("what", ["hardware", "models"])
def test_profiles(refused: Callable[..., str], what: str) -> None:
    assert "unknown" in refused(what, "abacus")
    assert "'abacus'" in refused(what, "abacus")


def test_an_unknown_command_or_option(refused: Callable[..., str]) -> None:
    assert "'prophesy'" in refused("prophesy")
    assert "--loud" in refused("--loud")
