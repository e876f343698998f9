"""A slowdown planted in a kernel is found without running a clock."""

import json
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

Gate = Callable[..., subprocess.CompletedProcess[str]]
Planted = Callable[[Mapping[str, tuple[str, str]]], Gate]

DOUBLED_READ = {
    "kernels/sparq_kernels/gpu/attend.py": (
        "        output = tl.dot(weight.to(rows.dtype), rows, output",
        """\
        again = tl.load(
            values + position[:, None] * HEAD_DIM + channel[None, :],
            mask=inside[:, None] & real_channel[None, :],
            other=0.0,
            volatile=True,
        )
        rows = (rows + again) * 0.5
        output = tl.dot(weight.to(rows.dtype), rows, output""",
    )
}
WRONG_TILE = {"kernels/sparq_kernels/gpu/tiling.py": ("score_tile: int = 2048", "score_tile: int = 512")}
SLEEP = {
    "kernels/sparq_kernels/sparq_triton/kernel.py": (
        "    tiling = tiling or tiling_of(cache.device)\n    if config.top_k",
        "    __import__('time').sleep(0.001)\n    tiling = tiling or tiling_of(cache.device)\n    if config.top_k",
    )
}


def changes(done: subprocess.CompletedProcess[str], code: int = 1) -> list[dict[str, Any]]:
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)["changes"]  # type: ignore[no-any-return]


def test_a_read_made_twice_shows_in_the_bytes_counted(planted: Planted) -> None:
    gate = planted(DOUBLED_READ)
    found = changes(gate("--section", "counted", "--json"))
    read = {one["name"]: one["relative"] for one in found if one["fact"] == "read v"}
    # Every attention call in every standard configuration, and nothing else: V is read by no other step.
    assert len(read) > 30
    assert set(read.values()) == {1.0}
    assert {name.split(" · ")[0] for name in read} == {
        "dense-triton attend",
        "sparq-triton gather",
        "sparq-triton attend",  # where top_k covers the sequence
    }
    assert not [one for one in found if "append" in one["name"] or one["fact"].startswith("write")]


def test_a_wrong_tile_shows_in_the_formulas_and_in_the_launches(planted: Planted) -> None:
    gate = planted(WRONG_TILE)
    found = changes(gate("--section", "analytic", "--section", "launches", "--json"))
    tiles = {(one["before"], one["after"]) for one in found if one["section"] == "launches" and one["fact"] == "TILE"}
    assert (2048, 512) in tiles
    assert any(one["section"] == "analytic" and "sparq-triton sm_90 score" in one["name"] for one in found)
    said = gate("--section", "launches").stdout
    assert "TILE" in said
    assert "2,048 → 512  (-75.0%)" in said
    assert "accept them on purpose: sparq-perf gate --accept" in said.splitlines()[-1]


def test_a_sleep_shows_as_code_whose_cost_nothing_here_tells(planted: Planted) -> None:
    gate = planted(SLEEP)
    (found,) = changes(gate("--section", "code", "--json"))
    assert (found["name"], found["fact"]) == ("sparq_triton.kernel.decode", "digest")
    assert "'sparq-perf gate run' measures it" in gate("--section", "code").stdout


def test_words_are_no_change(planted: Planted) -> None:
    done = planted({"kernels/sparq_kernels/dense_triton/kernel.py": ("q: contiguous, of", "q: in one piece, of")})(
        "--section", "code", "--section", "analytic"
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("SAME     none of ")
