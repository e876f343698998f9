from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_profiles import (
    AttentionShape,
    ConfigError,
    ProfileError,
    SparqConfig,
    Suite,
    Workload,
    load_model,
    load_suite,
)
from sparq_profiles.load import list_names
from sparq_profiles.shape import K_LAYOUTS

HEADER = 'name = "small"\ntitle = "A small suite"\n'
GRID = """
[[grids]]
model = "label"
shape = { n_heads = 8, n_kv_heads = 2, head_dim = 64 }
batch = [1, 4]
seq_len = [1024, 2048]
configs = [{ rank = 16, top_k = 64 }, { rank = 8, top_k = 32, local_window = 0, k_layout = "row_major" }]
"""


def read(write: Callable[..., Path], text: str) -> Suite:
    return load_suite(write("suite.toml", text))


def test_workloads_in_the_order_of_the_file(write: Callable[..., Path]) -> None:
    suite = read(write, HEADER + GRID)
    wide = SparqConfig(rank=16, top_k=64, local_window=16)
    narrow = SparqConfig(rank=8, top_k=32, local_window=0, k_layout="row_major")

    def workload(batch: int, seq_len: int, config: SparqConfig) -> Workload:
        shape = AttentionShape(batch, seq_len, n_heads=8, n_kv_heads=2, head_dim=64, dtype="float32")
        return Workload("label", shape, config, "cold")

    assert [item for item, _ in suite.workloads(load_model)] == [
        workload(batch, seq_len, config)
        for batch, seq_len in [(1, 1024), (1, 2048), (4, 1024), (4, 2048)]
        for config in (wide, narrow)
    ]
    assert all(grid is suite.grids[0] for _, grid in suite.workloads(load_model))


def test_grids_and_cache_states_follow_each_other(write: Callable[..., Path]) -> None:
    second = """
[[grids]]
model = "llama-3-8b"
seq_len = [512]
cache_state = ["warm", "cold"]
implementations = ["numba"]
configs = [{ rank = 32, top_k = 128, mean_value = false }]
"""
    text = HEADER + 'dtype = "bfloat16"\n' + GRID + second
    items = list(read(write, text).workloads(load_model))
    assert len(items) == 8 + 2
    (warm, grid), (cold, _) = items[8:]
    assert (warm.cache_state, cold.cache_state) == ("warm", "cold")
    assert grid.implementations == ("numba",)
    assert warm.model == "llama-3-8b"
    assert warm.shape == AttentionShape(1, 512, n_heads=32, n_kv_heads=8, head_dim=128, dtype="bfloat16")
    assert warm.config == SparqConfig(rank=32, top_k=128, local_window=32, mean_value=False)


def test_dense_baseline_keeps_all_but_the_config(write: Callable[..., Path]) -> None:
    workload, _ = next(read(write, HEADER + GRID).workloads(load_model))
    dense = workload.as_dense
    assert dense.config is None
    assert (dense.model, dense.shape, dense.cache_state) == ("label", workload.shape, "cold")


@pytest.mark.parametrize(("top_k", "window"), [(128, 32), (64, 16), (7, 1), (3, 0)])
def test_local_window_is_a_quarter_of_the_top_k(write: Callable[..., Path], top_k: int, window: int) -> None:
    suite = read(write, HEADER + GRID.replace("top_k = 64", f"top_k = {top_k}"))
    workload, _ = next(suite.workloads(load_model))
    assert workload.config is not None
    assert workload.config.local_window == window


def test_max_kv_bytes_leaves_out_what_is_larger(write: Callable[..., Path]) -> None:
    # K and V of batch 1, 1024 tokens, 2 KV heads of 64, float32: 2 * 1024 * 2 * 64 * 4 = 1 MiB.
    text = HEADER + GRID + "max_kv_bytes = 4194304\n"
    shapes = [(w.shape.batch, w.shape.seq_len) for w, _ in read(write, text).workloads(load_model)]
    assert shapes == [(1, 1024), (1, 1024), (1, 2048), (1, 2048), (4, 1024), (4, 1024)]
    assert not list(read(write, text.replace("4194304", "1048575")).workloads(load_model))


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("rank = 16", "rank = 65", ["grids.0", "configs[0]", "rank is 65 and head_dim is 64"]),
        ("local_window = 0", "local_window = 33", ["configs[1]", "local_window is 33 and top_k is 32"]),
        ("rank = 16", "rank = true", ["grids.0.configs.0.rank is True", "integer"]),
        ("top_k = 64", "top_k = 0", ["grids.0.configs.0.top_k is 0", "greater than or equal to 1"]),
        ("batch = [1, 4]", 'batch = ["1"]', ["grids.0.batch.0 is '1'", "integer"]),
        ("seq_len = [1024, 2048]", "seq_len = []", ["grids.0.seq_len is []", "at least 1 item"]),
        ("seq_len = [1024, 2048]", "", ["grids.0.seq_len is missing: add it"]),
        ("row_major", "paged", ["grids.0.configs.1.k_layout is 'paged'", "'row_major'"]),
        ("n_kv_heads = 2, ", "", ["grids.0.shape.n_kv_heads is missing: add it"]),
        ("model =", "modle = 1\nmodel =", ["grids.0.modle is not a known field"]),
    ],
)
def test_a_fault_is_named(
    write: Callable[..., Path], refusal: Callable[..., str], old: str, new: str, parts: list[str]
) -> None:
    path = write("suite.toml", HEADER + GRID.replace(old, new, 1))
    message = refusal(load_suite, path)
    assert message.startswith(f"{path}: ")
    for part in parts:
        assert part in message


def test_a_suite_needs_a_grid(write: Callable[..., Path], refusal: Callable[..., str]) -> None:
    assert "grids is missing: add it" in refusal(load_suite, write("suite.toml", HEADER))


@pytest.mark.parametrize(
    ("model", "rank", "error", "message"),
    [
        ("llama-9-1b", 32, ProfileError, "unknown model 'llama-9-1b'"),
        ("smollm2-135m", 65, ConfigError, "rank is 65 and head_dim is 64"),
    ],
)
def test_a_models_heads_are_checked_when_asked_for(
    write: Callable[..., Path], model: str, rank: int, error: type[Exception], message: str
) -> None:
    grid = f'[[grids]]\nmodel = "{model}"\nseq_len = [64]\nconfigs = [{{ rank = {rank}, top_k = 8 }}]\n'
    suite: Any = read(write, HEADER + grid)
    with pytest.raises(error, match=message):
        list(suite.workloads(load_model))


@pytest.mark.parametrize("name", list_names("suites"))
def test_every_shipped_suite_has_workloads(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert list(suite.workloads(load_model))


EXPECTATION = """
[[expectations]]
device = "H100"
quantity = "speedup"
target = 4.9
source = "a test"
model = "label"
batch = 4
seq_len = 2048
rank = 16
top_k = 64
"""


def test_expectations(write: Callable[..., Path]) -> None:
    (expectation,) = read(write, HEADER + GRID + EXPECTATION).expectations
    assert (expectation.quantity, expectation.target, expectation.at_most) == ("speedup", 4.9, False)
    beyond = EXPECTATION.replace("speedup", "beyond_byte_time_s")
    assert read(write, HEADER + GRID + beyond).expectations[0].at_most


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("batch = 4", "batch = 2", ["expectations[0]: no grid measures label batch 2 seq_len 2048 rank 16 top_k 64"]),
        ("seq_len = 2048", "seq_len = 4096", ["no grid measures"]),
        ("rank = 16", "rank = 8", ["no grid measures"]),
        ("rank = 16", "rank = 16\nk_layout = 'row_major'", ["no grid measures"]),
        ("rank = 16", "rank = 16\ncache_state = 'warm'", ["no grid measures"]),
        ('model = "label"', 'model = "lable"', ["no grid measures lable"]),
        ("rank = 16\n", "", ["rank and top_k must be given together"]),
        ("rank = 16\ntop_k = 64", "", ["a speedup is SparQ's over dense: give rank and top_k"]),
        ("rank = 16", "rank = 16\nstep = 'score'", ["step goes with share_of_copy_bandwidth"]),
        ("target = 4.9", "target = 0", ["expectations.0.target is 0", "greater than 0"]),
        ('quantity = "speedup"', 'quantity = "luck"', ["expectations.0.quantity is 'luck'"]),
        ('source = "a test"', "", ["expectations.0.source is missing: add it"]),
    ],
)
def test_a_fault_in_an_expectation_is_named(
    write: Callable[..., Path], refusal: Callable[..., str], old: str, new: str, parts: list[str]
) -> None:
    path = write("suite.toml", HEADER + GRID + EXPECTATION.replace(old, new, 1))
    message = refusal(load_suite, path)
    for part in parts:
        assert part in message


def test_a_dense_expectation_needs_no_settings(write: Callable[..., Path]) -> None:
    dense = EXPECTATION.replace("speedup", "share_of_copy_bandwidth").replace("rank = 16\ntop_k = 64\n", "")
    assert read(write, HEADER + GRID + dense).expectations[0].rank is None


def test_the_suites_for_gpus() -> None:
    suite = load_suite("gpu")
    assert (suite.device, suite.dtype) == ("gpu", "float16")
    targets = {(e.model, e.batch, e.seq_len): e.target for e in suite.expectations if e.quantity == "speedup"}
    assert targets == {
        ("mha-32", 64, 4096): 4.9,
        ("gqa-32-8", 16, 32768): 5.7,
        ("gqa-32-8", 1, 32768): 2.8,
        ("gqa-32-8", 1, 131072): 7.0,
    }
    workloads = [workload for workload, _ in suite.workloads(load_model)]
    # The dense share is asked for on the largest cache of all.
    largest = max(workloads, key=lambda workload: workload.shape.batch * workload.shape.seq_len).shape
    (dense,) = (e for e in suite.expectations if e.rank is None)
    assert (dense.batch, dense.seq_len) == (largest.batch, largest.seq_len)
    assert load_suite("gpu-smoke").device == "gpu"


def test_the_suite_for_gpus_covers_what_sizes_a_deployment() -> None:
    workloads = [workload for workload, _ in load_suite("gpu").workloads(load_model)]
    settings = [workload.config for workload in workloads if workload.config is not None]
    assert {w.shape.n_heads // w.shape.n_kv_heads for w in workloads} == {1, 4}
    assert {w.shape.batch for w in workloads} >= {1, 16, 64}
    assert (min(w.shape.seq_len for w in workloads), max(w.shape.seq_len for w in workloads)) == (4096, 131072)
    assert (min(c.rank for c in settings), max(c.rank for c in settings)) == (16, 64)
    assert (min(c.top_k for c in settings), max(c.top_k for c in settings)) == (64, 512)
    assert {c.k_layout for c in settings} == set(K_LAYOUTS)


def test_the_grid_for_gpus_leaves_more_to_foretell_than_a_calibration_sees() -> None:
    suite = load_suite("gpu-grid")
    points = {(workload.shape, workload.config) for workload, _ in suite.workloads(load_model)}
    assert len(points) == 76 >= 3 * 24
    assert all(config is not None and config.k_layout == "two_copies" for _, config in points)
    assert len({shape for shape, _ in points}) == 19
