import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from sparq_kernels import IMPLEMENTATIONS
from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.shape import GROUP_SCORES, K_LAYOUTS, GroupScore, KLayout
from sparq_roofline import Traffic, dense_traffic, sparq_traffic

SHAPES = [
    AttentionShape(1, 4096, 32, 32, 128, "float32"),
    AttentionShape(2, 4096, 32, 8, 128, "float32"),
    AttentionShape(3, 777, 10, 2, 20, "float32"),
    AttentionShape(1, 131_072, 8, 1, 256, "float32"),
    AttentionShape(4, 2048, 16, 4, 64, "float16"),
]
CONFIGS = [
    SparqConfig(rank=1, top_k=1),
    SparqConfig(rank=16, top_k=64, mean_value=False),
    SparqConfig(rank=20, top_k=700, local_window=100),
]


def moved(traffic: Traffic) -> float:
    return traffic.read_bytes + traffic.write_bytes


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dense_moves_the_minimum_at_least(dense_name: str, shape: AttentionShape) -> None:
    traffic = IMPLEMENTATIONS[dense_name].traffic(shape, None)
    minimum = dense_traffic(shape).without(["append"])
    assert traffic.read_bytes >= minimum.read_bytes
    assert traffic.write_bytes >= minimum.write_bytes
    assert traffic.flops >= minimum.flops


@pytest.mark.parametrize("group_score", GROUP_SCORES)
@pytest.mark.parametrize("k_layout", K_LAYOUTS)
@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sparse_moves_the_minimum_at_least(
    sparse_name: str, shape: AttentionShape, config: SparqConfig, k_layout: KLayout, group_score: GroupScore
) -> None:
    config = replace(config, k_layout=k_layout, group_score=group_score)
    traffic = IMPLEMENTATIONS[sparse_name].traffic(shape, config)
    minimum = sparq_traffic(shape, config).without(["append"])
    for name in ("score", "select", "gather"):
        step, least = traffic.step(name), minimum.step(name)
        assert step.read_bytes >= least.read_bytes
        assert step.write_bytes >= least.write_bytes
    # Updating the mean belongs to the append: only reading it is part of this call.
    assert moved(traffic) >= moved(minimum) - minimum.step("mean_value").write_bytes
    assert [step.name for step in traffic.steps] == ["score", "select", "gather"]


@pytest.mark.parametrize("top_k", [4096, 5000])
def test_compiled_sparq_of_the_whole_sequence_is_dense(top_k: int) -> None:
    config = SparqConfig(rank=16, top_k=top_k)
    expected = dense_traffic(SHAPES[1]).without(["append"])
    assert IMPLEMENTATIONS["sparq-cpu"].traffic(SHAPES[1], config) == expected


def test_compiled_sparq_by_hand() -> None:
    # 2 sequences, 8 KV heads of 4 queries, S = 4096, d = 128, fp32; r = 12 is padded to 16 in arithmetic alone.
    config = SparqConfig(rank=12, top_k=64)
    query = 2 * 32 * 512
    traffic = IMPLEMENTATIONS["sparq-cpu"].traffic(SHAPES[1], config)
    score, gather = traffic.step("score"), traffic.step("gather")
    assert (score.read_bytes, score.write_bytes) == (16 * 4096 * 12 * 4 + query, 0)
    assert score.flops == 2 * 2 * 32 * 4096 * 16
    assert (gather.read_bytes, gather.write_bytes) == (16 * (2 * 64 * 512 + 512), query)  # K, V and the fp32 mean
    by_rows = IMPLEMENTATIONS["sparq-cpu"].traffic(SHAPES[1], replace(config, k_layout="row_major"))
    assert by_rows.step("score").read_bytes == 16 * 4096 * 512 + query


def test_softmax_rule_spills_its_scores() -> None:
    config = SparqConfig(rank=16, top_k=64, group_score="softmax")
    spilled = 2 * 32 * 4096 * 4
    traffic = IMPLEMENTATIONS["sparq-cpu"].traffic(SHAPES[1], config)
    assert (traffic.step("score").write_bytes, traffic.step("select").read_bytes) == (spilled, spilled)
    alone = IMPLEMENTATIONS["sparq-cpu"].traffic(SHAPES[0], config)  # a group of one needs none
    assert (alone.step("score").write_bytes, alone.step("select").read_bytes) == (0, 0)


def test_plain_torch_copies_what_it_gathers() -> None:
    config = SparqConfig(rank=16, top_k=64, mean_value=False)
    shape = SHAPES[1]
    rows, query = 16 * 2 * 64 * 512, 2 * 32 * 512
    gather = IMPLEMENTATIONS["sparq-torch"].traffic(shape, config).step("gather")
    assert gather.read_bytes == rows + rows + 16 * 64 * 8  # from the cache, from the copy, and int64 indices
    assert gather.write_bytes == rows + query


def test_reading_traffic_imports_no_framework() -> None:
    code = (
        "import sys\n"
        "from sparq_kernels import IMPLEMENTATIONS\n"
        "from sparq_profiles import AttentionShape, SparqConfig\n"
        "shape, config = AttentionShape(1, 4096, 32, 8, 128, 'float32'), SparqConfig(16, 64)\n"
        "for entry in IMPLEMENTATIONS.values():\n"
        "    entry.traffic(shape, config if entry.sparse else None)\n"
        "print(*sys.modules)"
    )
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(result.stdout.split())
    assert {f"{entry.folder}.traffic" for entry in IMPLEMENTATIONS.values()} <= loaded
    assert loaded.isdisjoint({"torch", "triton", "numba", "numpy", "llvmlite"})
