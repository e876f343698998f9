"""`traffic` on toy implementations whose bytes are known: tables, JSON, exit codes, bad input."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor

from sparq_kernels import IMPLEMENTATIONS, Implementation
from sparq_kernels.gpu.launching import launch
from sparq_perf.measure.counted_cases import STANDARD_CASES
from sparq_profiles import AttentionShape, SparqConfig
from sparq_roofline.steps import StepTraffic, Traffic

pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="TRITON_INTERPRET=1 is not set")

SHAPE = ("--n-heads", 4, "--n-kv-heads", 2, "--head-dim", 32, "--seq-len", 48)
SPARSE = ("--rank", 8, "--top-k", 16)
TOYS = ("--implementation", "dense-toy", "--implementation", "sparq-toy")
Q_BYTES = 4 * 32 * 2
BLOCK = 1024
FIELDS = {
    *("implementation", "step", "kernel", "k_layout", "architecture"),
    *("batch", "seq_len", "n_heads", "n_kv_heads", "head_dim", "dtype"),
    *("rank", "top_k", "local_window", "mean_value", "group_score"),
    *("counted_bytes", "counted_read_bytes", "counted_write_bytes"),
    *("analytic_bytes", "difference", "moved_bytes", "moved_read_bytes", "moved_write_bytes"),
    *("unique_sector_bytes", "sector_ratio", "sector_requests", "out_of_bounds", "launches"),
}


@triton.jit
def toy_copy(q, y, n, shift, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(q + at + shift, mask=at < n), mask=at < n)


def install(
    monkeypatch: pytest.MonkeyPatch, name: str, *, sparse: bool, launches: int, shift: int = 0, stated: float = 1.0
) -> None:
    """An implementation that copies q to y so many times, reading so far off; its formulas state a share of that."""

    def decode(q: Tensor, cache: Any, *config: Any, tiling: Any) -> Tensor:
        assert len(config) == sparse
        assert tiling.architecture == "sm_90"
        y = torch.empty_like(q)
        for _ in range(launches):
            arguments = {"q": q, "y": y, "n": q.numel(), "shift": shift}
            launch("copy", toy_copy, (-(-q.numel() // BLOCK),), arguments, {"BLOCK": BLOCK}, num_warps=1)
        return y

    def traffic(shape: AttentionShape, config: SparqConfig | None, tiling: Any) -> Traffic:
        assert (config is not None) == sparse
        size = launches * shape.batch * shape.n_heads * shape.head_dim * shape.element_bytes
        return Traffic((StepTraffic("copy", stated * size, size),))

    entry = Implementation(name, sparse, ("cuda",), ("float16", "bfloat16", "float32"), interpretable=True)
    monkeypatch.setitem(IMPLEMENTATIONS, name, entry)
    monkeypatch.setitem(sys.modules, f"{entry.folder}.kernel", SimpleNamespace(decode=decode))
    monkeypatch.setitem(sys.modules, f"{entry.folder}.traffic", SimpleNamespace(traffic=traffic))


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Put back as it was: the order of implementations is what "auto" goes by.
    kept = dict(IMPLEMENTATIONS)
    for name in [name for name, entry in IMPLEMENTATIONS.items() if entry.interpretable]:
        del IMPLEMENTATIONS[name]
    install(monkeypatch, "dense-toy", sparse=False, launches=1)
    install(monkeypatch, "sparq-toy", sparse=True, launches=2)
    yield
    monkeypatch.undo()
    IMPLEMENTATIONS.clear()
    IMPLEMENTATIONS.update(kept)


def rows(outcome: Any) -> list[dict[str, Any]]:
    assert outcome.err == ""
    parsed = json.loads(outcome.out)
    assert isinstance(parsed, list)
    assert all(set(row) == FIELDS for row in parsed)
    return parsed


def test_a_shape_in_every_layout(call: Callable[..., Any]) -> None:
    outcome = call("traffic", *SHAPE, *SPARSE, *TOYS, "--json")
    assert outcome.code == 0
    found = rows(outcome)
    assert [(row["k_layout"], row["implementation"]) for row in found] == [
        (layout, name) for layout in ("two_copies", "channel_major", "row_major") for name in ("dense-toy", "sparq-toy")
    ]
    dense, sparse = found[:2]
    assert (dense["step"], dense["kernel"], dense["rank"]) == ("copy", "toy_copy", None)
    assert [dense[name] for name in ("counted_bytes", "analytic_bytes", "difference")] == [2 * Q_BYTES] * 2 + [0]
    # Two launches of one step: twice the bytes, and each must move its sectors.
    assert (sparse["counted_read_bytes"], sparse["counted_write_bytes"]) == (2 * Q_BYTES, 2 * Q_BYTES)
    assert (sparse["unique_sector_bytes"], sparse["sector_requests"]) == (4 * Q_BYTES, 4 * Q_BYTES // 32)
    assert [launch["kernel"] for launch in sparse["launches"]] == ["toy_copy"] * 2
    (q, y) = sparse["launches"][0]["tensors"]
    assert (q["parameter"], q["read_elements"], y["parameter"], y["unwritten_elements"]) == ("q", 128, "y", 0)


def test_settings_arrive(call: Callable[..., Any]) -> None:
    settings = ("--batch", 3, "--dtype", "float32", "--local-window", 4, "--no-mean-value", "--group-score", "softmax")
    chosen = ("--k-layout", "row_major", "--implementation", "sparq-toy")
    (row,) = rows(call("traffic", *SHAPE, *SPARSE, *settings, *chosen, "--json"))
    expected = {
        **{"batch": 3, "seq_len": 48, "n_heads": 4, "n_kv_heads": 2, "head_dim": 32, "dtype": "float32"},
        **{"rank": 8, "top_k": 16, "local_window": 4, "mean_value": False, "group_score": "softmax"},
        **{"k_layout": "row_major", "implementation": "sparq-toy", "architecture": "sm_90"},
    }
    assert {name: row[name] for name in expected} == expected
    assert row["counted_bytes"] == 2 * 2 * 3 * 4 * 32 * 4


def test_a_models_heads_and_chosen_layouts(call: Callable[..., Any]) -> None:
    layouts = ("--k-layout", "row_major", "--k-layout", "all", "--k-layout", "row_major")
    outcome = call(
        "traffic", "--model", "smollm2-135m", "--seq-len", 16, *layouts, "--implementation", "dense-toy", "--json"
    )
    found = rows(outcome)
    assert [row["k_layout"] for row in found] == ["row_major", "two_copies", "channel_major"]
    assert {(row["n_heads"], row["n_kv_heads"], row["head_dim"]) for row in found} == {(9, 3, 64)}


def test_the_standard_configurations(call: Callable[..., Any]) -> None:
    found = rows(call("traffic", *TOYS, "--json"))
    assert len(found) == 2 * len(STANDARD_CASES) >= 24
    assert {row["k_layout"] for row in found} == {"two_copies", "channel_major", "row_major"}
    # In one layout only: what differs in nothing else is counted once.
    found = rows(call("traffic", "--k-layout", "row_major", "--implementation", "dense-toy", "--json"))
    assert {row["k_layout"] for row in found} == {"row_major"}
    assert len(found) == len({case.with_layout("row_major") for case in STANDARD_CASES}) < len(STANDARD_CASES)


def test_as_tables_of_80_columns(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # what rich takes a pipe for
    outcome = call("traffic", *SHAPE, *SPARSE, *TOYS)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert "B=1 S=48 heads 4/2 d=32 float16 · r=8 k=16 l=0 logits" in lines[0]
    assert max(map(len, lines)) <= 80
    cells = [line.split() for line in lines]
    heading = cells.index(["sparq-toy", "two_copies"])
    assert cells[heading + 1] == ["copy", "1.0", "1.0", "+0.00", "1.0", "1.00×", "1.0"]
    # What each layout costs; the toy does not care.
    assert ["sparq-toy", "row_major", "1.0", "1.0", "1.0", "1.00×"] in cells
    assert lines[-1] == "6 of 6 steps agree within 0.01 of the counted bytes, in bounds"


def test_a_difference_is_exit_code_1(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "sparq-toy", sparse=True, launches=1, stated=1.03)
    only = ("--implementation", "sparq-toy", "--k-layout", "two_copies")
    outcome = call("traffic", *SHAPE, *SPARSE, *only)
    assert (outcome.code, outcome.err) == (1, "")
    assert "+1.50" in outcome.out
    flat = " ".join(outcome.out.split())
    assert "DIFFERS sparq-toy copy, two_copies, B=1 S=48" in flat
    assert "520 bytes stated, 512 counted" in flat
    assert outcome.out.splitlines()[-1].startswith("0 of 1 steps agree")
    outcome = call("traffic", *SHAPE, *SPARSE, *only, "--json")
    assert outcome.code == 1
    assert rows(outcome)[0]["difference"] == pytest.approx(0.015)
    assert call("traffic", *SHAPE, *SPARSE, *only, "--tolerance", 0.016).code == 0


def test_a_read_out_of_bounds_is_exit_code_1(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # One element too far, which the bytes alone would pass within the tolerance.
    install(monkeypatch, "dense-toy", sparse=False, launches=1, shift=1)
    options = (*SHAPE, "--implementation", "dense-toy", "--k-layout", "two_copies", "--tolerance", 0.5)
    outcome = call("traffic", *options)
    assert outcome.code == 1
    flat = " ".join(outcome.out.split())
    assert "OUT OF BOUNDS dense-toy copy, two_copies, " in flat
    assert "toy_copy: 1 read accesses outside q, at byte 256 of 256, first in program (0, 0, 0)" in flat
    (row,) = rows(call("traffic", *options, "--json"))
    (stray,) = row["out_of_bounds"]
    assert (stray["parameter"], stray["access"], stray["lowest_offset_bytes"]) == ("q", "read", 256)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--n-heads", 4), "no --seq-len given: a shape needs one"),
        (SHAPE, "no --rank given"),
        ((*SHAPE, "--rank", 8), "no --top-k given"),
        ((*SHAPE, *SPARSE, "--rank", 33), "rank is 33 and head_dim is 32"),
        ((*SHAPE, *SPARSE, "--rank", 0), "rank is 0"),
        ((*SHAPE, *SPARSE, "--dtype", "float64"), "dense-toy takes caches of float16, bfloat16, float32"),
        ((*SHAPE, *SPARSE, "--n-kv-heads", 3), "n_heads is 4 and n_kv_heads is 3"),
        ((*SHAPE, *SPARSE, "--group-score", "mean"), "group_score is 'mean'"),
        (("--seq-len", 64), "--seq-len goes with a shape: name a --model, or give --n-heads and --head-dim"),
        (("--no-mean-value",), "--mean-value goes with a shape"),
        (("--batch", 1), "--batch goes with a shape"),
        (("--head-dim", 64, "--seq-len", 64, *SPARSE), "no heads given"),
        (("--model", "llama-9", "--seq-len", 64, *SPARSE), "unknown model 'llama-9'"),
        (("--k-layout", "sideways"), "--k-layout is 'sideways': choose two_copies, channel_major, row_major or all"),
        (
            ("--implementation", "sparq-cpu"),
            "'sparq-cpu', which has no Triton kernel: choose of dense-toy, sparq-toy, append-triton",
        ),
        (("--implementation", "sparq-gpu"), "unknown implementation 'sparq-gpu'"),
        (("--architecture", "h100"), "--architecture is 'h100': give one such as sm_90 or gfx942"),
        (("--tolerance", -0.1), "--tolerance is -0.1"),
        (("--tolerance", "nan"), "--tolerance is nan"),
        (("--max-cache-mb", 0), "--max-cache-mb is 0"),
    ],
)
def test_bad_input(refused: Callable[..., str], arguments: tuple[object, ...], complaint: str) -> None:
    assert complaint in refused("traffic", *arguments)


def test_a_cache_above_the_limit_is_refused(call: Callable[..., Any], refused: Callable[..., str]) -> None:
    large = (*SHAPE[:-1], 400_000, *SPARSE)
    message = refused("traffic", *large)
    assert "the KV cache takes 154 MB and --max-cache-mb is 64: kernels are interpreted" in message
    small = (*SHAPE, *SPARSE, "--k-layout", "two_copies")
    assert "--max-cache-mb is 0.01" in refused("traffic", *small, "--max-cache-mb", 0.01)
    assert call("traffic", *small, "--max-cache-mb", 0.02).code == 0


def test_an_implementation_that_launches_nothing(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "sparq-toy", sparse=True, launches=0)
    message = refused("traffic", *SHAPE, *SPARSE, "--implementation", "sparq-toy")
    assert "sparq-toy launched no Triton kernel" in message


@pytest.mark.parametrize("first", ["", "import triton"])
def test_in_a_process_of_its_own(environment: dict[str, str], first: str) -> None:
    """It chooses the interpreter itself, unless triton was imported before."""
    code = f"{first}\nfrom sparq_perf.cli.main import main\nmain()"
    environment = {name: value for name, value in environment.items() if name != "TRITON_INTERPRET"}
    arguments = ("traffic", *SHAPE, *SPARSE, "--k-layout", "two_copies", "--json")
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if first:
        assert (done.returncode, done.stdout) == (2, "")
        assert "set TRITON_INTERPRET=1 before Python starts" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    else:
        assert (done.returncode, done.stderr) == (0, "")
        found = json.loads(done.stdout)
        assert [(row["implementation"], row["step"]) for row in found] == [
            ("dense-triton", "attend"),
            *(("sparq-triton", step) for step in ("score", "select", "gather")),
            ("append-triton", "append"),
        ]
        # K and V once, at the least.
        assert found[0]["counted_read_bytes"] >= 2 * 48 * 2 * 32 * 2
