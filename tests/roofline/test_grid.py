import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sparq_profiles import AttentionShape, ConfigError, HardwareProfile, ProfileError, SparqConfig, load_hardware
from sparq_profiles.shape import GROUP_SCORES, K_LAYOUTS
from sparq_roofline import predict, sweep
from sparq_roofline.grid import BLOCK_ROWS

Device = Callable[..., HardwareProfile]
SIZES: dict[str, Any] = {
    "batch": 1,
    "seq_len": 4096,
    "rank": 32,
    "top_k": 128,
    "n_heads": 32,
    "n_kv_heads": 8,
    "head_dim": 128,
}


def random_grid(rows: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    n_kv_heads = rng.integers(1, 33, rows)
    head_dim = rng.integers(1, 257, rows)
    return {
        "batch": rng.integers(1, 129, rows),
        "seq_len": np.exp(rng.uniform(0, np.log(300_000), rows)).astype(np.int64),
        "rank": 1 + (rng.random(rows) * head_dim).astype(np.int64),
        "top_k": rng.integers(1, 5000, rows),
        "n_heads": n_kv_heads * rng.integers(1, 9, rows),
        "n_kv_heads": n_kv_heads,
        "head_dim": head_dim,
        "k_layout": rng.choice(K_LAYOUTS, rows),
        "mean_value": rng.random(rows) < 0.5,
        "group_score": rng.choice(GROUP_SCORES, rows),
    }


def expected_row(hardware: HardwareProfile, row: dict[str, Any], dtype: Any, include_append: bool) -> dict[str, Any]:
    shape = AttentionShape(
        *(int(row[name]) for name in ("batch", "seq_len", "n_heads", "n_kv_heads", "head_dim")), dtype
    )
    config = SparqConfig(
        rank=int(row["rank"]),
        top_k=int(row["top_k"]),
        mean_value=bool(row["mean_value"]),
        group_score=row["group_score"],
        k_layout=row["k_layout"],
    )
    prediction = predict(hardware, shape, config, include_append=include_append)
    assert prediction.sparq is not None
    assert prediction.speedup is not None
    assert prediction.paper is not None
    result: dict[str, Any] = {}
    for side, time in (("dense", prediction.dense), ("sparq", prediction.sparq)):
        result |= {
            f"{side}_read_bytes": time.read_bytes,
            f"{side}_write_bytes": time.write_bytes,
            f"{side}_flops": time.flops,
            f"{side}_time_s": time.time_s.expected,
            f"{side}_time_lower_s": time.time_s.lower,
            f"{side}_time_upper_s": time.time_s.upper,
        }
    return result | {
        "speedup": prediction.speedup.expected,
        "speedup_lower": prediction.speedup.lower,
        "speedup_upper": prediction.speedup.upper,
        "transfer_ratio": prediction.paper.transfer_ratio,
        "sparq_bound": prediction.sparq.bound,
    }


@pytest.mark.parametrize(
    ("ceilings", "dtype", "include_append"),
    [
        (None, "float16", True),
        (None, "float32", False),
        ({"bandwidth": 1e9, "peak": 1e11, "launch": 1e-5}, "float16", True),
        ({"bandwidth": 1e12, "peak": 1e11, "launch": 1e-4}, "float64", True),
    ],
)
def test_every_row_is_what_predict_says(
    device: Device, ceilings: dict[str, float] | None, dtype: Any, include_append: bool
) -> None:
    hardware = load_hardware("h100-sxm-80gb") if ceilings is None else device(**ceilings)
    grid = random_grid(300, seed=1)
    frame = sweep(hardware=hardware, **grid, dtype=dtype, include_append=include_append)
    assert len(frame) == 300
    for row in range(300):
        arguments = {name: column[row] for name, column in grid.items()}
        expected = expected_row(hardware, arguments, dtype, include_append)
        found = frame.iloc[row].to_dict()
        assert (found["k_layout"], found["group_score"]) == (arguments["k_layout"], arguments["group_score"])
        assert found["sparq_bound"] == expected.pop("sparq_bound")
        for name in SIZES:
            assert found[name] == arguments[name]
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12)


def test_the_bounds_tested_differ(device: Device) -> None:
    hardware = device(bandwidth=1e12, peak=1e11, launch=1e-4)
    frame = sweep(hardware=hardware, **random_grid(300, seed=1), dtype="float64")
    assert {"compute", "latency"} <= set(frame["sparq_bound"])


@pytest.mark.parametrize("layouts", ["one", "many"])
def test_rows_keep_their_order_across_blocks(layouts: str) -> None:
    rows = 2 * BLOCK_ROWS + 3
    seq_len = np.arange(1, rows + 1)
    k_layout: Any = "two_copies" if layouts == "one" else np.resize(np.array(K_LAYOUTS), rows)
    frame = sweep(hardware="h100-sxm-80gb", **{**SIZES, "seq_len": seq_len}, k_layout=k_layout)
    assert (frame["dense_read_bytes"] == 8 * 2 * seq_len * 256 + 32 * 256).all()
    for row in (0, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, rows - 1):
        layout = k_layout if layouts == "one" else k_layout[row]
        alone = sweep(hardware="h100-sxm-80gb", **{**SIZES, "seq_len": int(seq_len[row])}, k_layout=layout)
        assert frame["sparq_time_s"][row] == pytest.approx(alone["sparq_time_s"][0], rel=1e-12)


def test_scalars_alone_are_one_row() -> None:
    frame = sweep(hardware="a100-sxm-80gb", **SIZES)
    assert frame.shape[0] == 1
    expected = expected_row(
        load_hardware("a100-sxm-80gb"),
        {**SIZES, "k_layout": "two_copies", "mean_value": True, "group_score": "logits"},
        "float16",
        True,
    )
    assert frame["speedup"][0] == pytest.approx(expected["speedup"], rel=1e-12)


def test_a_rule_for_each_row_or_for_all() -> None:
    seq_len = [100, 4096, 32768]  # the first is all selected
    mixed = sweep(
        hardware="a100-sxm-80gb", **{**SIZES, "seq_len": seq_len}, group_score=["softmax", "logits", "softmax"]
    )
    alone = {
        rule: sweep(hardware="a100-sxm-80gb", **{**SIZES, "seq_len": seq_len}, group_score=rule)
        for rule in GROUP_SCORES
    }
    assert list(mixed["group_score"]) == ["softmax", "logits", "softmax"]
    assert set(alone["softmax"]["group_score"]) == {"softmax"}
    for name in ("sparq_write_bytes", "sparq_read_bytes", "sparq_time_s"):
        for row, rule in enumerate(mixed["group_score"]):
            assert mixed[name][row] == alone[rule][name][row]
    added = alone["softmax"]["sparq_write_bytes"] - alone["logits"]["sparq_write_bytes"]
    assert list(added) == [0, 32 * 4096 * 4, 32 * 32768 * 4]
    assert list(alone["softmax"]["transfer_ratio"]) == list(
        alone["logits"]["transfer_ratio"]
    )  # the paper counts neither


def test_scalars_and_arrays_mix() -> None:
    mixed = sweep(
        hardware="a100-sxm-80gb",
        **{**SIZES, "rank": [16, 32, 64], "top_k": np.array([64, 128, 256]), "batch": [4]},
        mean_value=[True, False, True],
    )
    arrays = sweep(
        hardware="a100-sxm-80gb",
        **{name: np.repeat(value, 3) for name, value in SIZES.items() if name not in ("rank", "top_k", "batch")},
        rank=[16, 32, 64],
        top_k=[64, 128, 256],
        batch=[4, 4, 4],
        k_layout=["two_copies"] * 3,
        mean_value=[True, False, True],
    )
    assert list(mixed["batch"]) == [4, 4, 4]
    assert mixed.columns.equals(arrays.columns)
    for name in mixed.columns.drop(["k_layout", "group_score", "sparq_bound"]):
        np.testing.assert_allclose(mixed[name], arrays[name], rtol=1e-12)
    assert list(mixed["sparq_bound"]) == list(arrays["sparq_bound"])


def test_arguments_are_not_changed() -> None:
    seq_len = np.array([1000, 2000])
    sweep(hardware="a100-sxm-80gb", **{**SIZES, "seq_len": seq_len})
    assert seq_len.tolist() == [1000, 2000]


def test_whole_floats_are_taken() -> None:
    frame = sweep(hardware="a100-sxm-80gb", **{**SIZES, "seq_len": np.array([4096.0, 8192.0])})
    assert frame["dense_flops"][1] == 4 * 32 * 8192 * 128


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": [8, 16], "top_k": [1, 2, 3]}, "lengths differ (rank 2, top_k 3): arrays must share one length"),
        ({"k_layout": ["row_major"] * 4, "batch": [1, 2]}, "lengths differ (batch 2, k_layout 4)"),
        ({"seq_len": [[1, 2]]}, "seq_len has 2 dimensions: give a scalar or a one-dimensional array"),
        ({"batch": 0}, "batch[0] is 0: it must be a whole number of at least 1"),
        ({"top_k": [4, 5, -6]}, "top_k[2] is -6: it must be a whole number of at least 1"),
        ({"seq_len": [16, 16.5]}, "seq_len[1] is 16.5: it must be a whole number"),
        ({"seq_len": [16, np.nan]}, "seq_len[1] is nan: it must be a whole number"),
        ({"seq_len": np.inf}, "seq_len[0] is inf: it must be a whole number"),
        ({"rank": True}, "rank holds bool: it must hold whole numbers"),
        ({"rank": ["32"]}, "rank holds <U2: it must hold whole numbers"),
        ({"rank": [8, 129, 200]}, "rank[1] is 129 and head_dim is 128: rank must be at most head_dim"),
        ({"rank": 64, "head_dim": [128, 64, 32]}, "rank[2] is 64 and head_dim is 32"),
        ({"n_heads": [32, 20]}, "n_heads[1] is 20 and n_kv_heads is 8: n_heads must be a multiple of n_kv_heads"),
        ({"k_layout": "paged"}, "k_layout[0] is 'paged': choose one of two_copies, channel_major, row_major"),
        ({"k_layout": ["row_major", "rows"]}, "k_layout[1] is 'rows': choose one of"),
        ({"group_score": ["softmax", "mean"]}, "group_score[1] is 'mean': choose one of logits, softmax"),
        ({"dtype": "int8"}, "dtype is 'int8': choose one of float16, bfloat16, float32, float64"),
    ],
)
def test_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"sweep: {message}")) as caught:
        sweep(hardware="h100-sxm-80gb", **{**SIZES, **changes})
    assert len(str(caught.value).splitlines()) == 1


def test_unknown_hardware() -> None:
    with pytest.raises(ProfileError, match="h1000"):
        sweep(hardware="h1000", **SIZES)
