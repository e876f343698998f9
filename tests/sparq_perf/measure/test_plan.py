"""Suites laid out as groups that share a cache."""

from typing import Any

import pytest

from sparq_perf.measure.plan import plan
from sparq_profiles import ConfigError
from sparq_profiles.suite import Suite

HEADS = {"n_heads": 4, "n_kv_heads": 2, "head_dim": 32}
CONFIGS = [{"rank": 8, "top_k": 64}, {"rank": 16, "top_k": 128, "local_window": 0}]


def suite(*grids: dict[str, Any], dtype: str = "float32") -> Suite:
    defaults = {"model": "tiny", "shape": HEADS, "seq_len": [512], "configs": CONFIGS}
    made = [{**defaults, **grid} for grid in grids]
    return Suite.model_validate({"name": "tiny", "title": "Tiny", "dtype": dtype, "grids": made})


def described(contenders: Any) -> list[tuple[str, int | None]]:
    return [(c.implementation, c.config.rank if c.config else None) for c in contenders]


def test_one_cache_one_group() -> None:
    (group,) = plan(suite({}), "cpu")
    assert (group.model, group.shape.seq_len, group.cache_state, group.k_layout) == ("tiny", 512, "cold", "two_copies")
    assert described(group.contenders) == [
        ("dense-cpu", None),
        ("dense-sdpa", None),
        ("sparq-cpu", 8),
        ("sparq-torch", 8),
        ("sparq-cpu", 16),
        ("sparq-torch", 16),
    ]


def test_groups_by_batch_length_state_and_layout() -> None:
    both = [CONFIGS[0], {**CONFIGS[0], "k_layout": "row_major"}]
    groups = plan(
        suite({"batch": [1, 2], "seq_len": [512, 1024], "cache_state": ["cold", "warm"], "configs": both}), "cpu"
    )
    places = [(g.shape.batch, g.shape.seq_len, g.cache_state, g.k_layout) for g in groups]
    assert len(set(places)) == len(places) == 2 * 2 * 2 * 2
    assert places[:4] == [
        (1, 512, "cold", "two_copies"),
        (1, 512, "cold", "row_major"),
        (1, 512, "warm", "two_copies"),
        (1, 512, "warm", "row_major"),
    ]
    for group in groups:
        sparse = [c for c in group.contenders if c.config is not None]
        assert sparse
        assert all(c.config.k_layout == group.k_layout for c in sparse)


def test_dense_comes_first_when_grids_share_a_cache() -> None:
    (group,) = plan(
        suite(
            {"configs": CONFIGS[:1], "implementations": ["sparq-torch"]},
            {"implementations": ["dense-cpu", "sparq-torch"]},
        ),
        "cpu",
    )
    assert described(group.contenders) == [("dense-cpu", None), ("sparq-torch", 8), ("sparq-torch", 16)]


def test_keys_are_unique_and_do_not_change() -> None:
    made = suite({"seq_len": [512, 1024], "cache_state": ["cold", "warm"]}, {"model": "other"})
    keys = [group.key(contender) for group in plan(made, "cpu") for contender in group.contenders]
    assert len(set(keys)) == len(keys) == 5 * 6
    # Records of earlier versions are resumed by these keys.
    assert keys[0] == "tiny/B1-S512-h4x2x32-float32/cold/two_copies/dense/dense-cpu"
    assert keys[2] == "tiny/B1-S512-h4x2x32-float32/cold/two_copies/r8-k64-l16-mean-logits/sparq-cpu"
    assert keys == [group.key(contender) for group in plan(made, "cpu") for contender in group.contenders]


def test_keys_tell_every_setting_apart() -> None:
    base = {"rank": 8, "top_k": 64, "local_window": 4}
    variants = [
        base,
        {**base, "rank": 9},
        {**base, "top_k": 65},
        {**base, "local_window": 5},
        {**base, "mean_value": False},
        {**base, "group_score": "softmax"},
        {**base, "k_layout": "channel_major"},
    ]
    groups = plan(suite({"configs": variants, "implementations": ["sparq-torch"]}), "cpu")
    assert len({group.key(contender) for group in groups for contender in group.contenders}) == len(variants)


def test_only_some_implementations() -> None:
    (group,) = plan(suite({}), "cpu", only=("sparq-cpu", "dense-cpu"))
    assert described(group.contenders) == [("dense-cpu", None), ("sparq-cpu", 8), ("sparq-cpu", 16)]


def test_an_implementation_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match=r"unknown implementation 'sparq-gpu': known: .*dense-cpu"):
        plan(suite({}), "cpu", only=("sparq-gpu",))


def test_an_implementation_that_does_not_fit() -> None:
    with pytest.raises(ConfigError, match="'dense-cpu' takes caches of float32; suite tiny is float64 on cpu"):
        plan(suite({}, dtype="float64"), "cpu", only=("dense-cpu",))
    with pytest.raises(ConfigError, match="'sparq-cpu' runs on cpu"):
        plan(suite({}), "cuda", only=("sparq-cpu",))
    (group,) = plan(suite({}, dtype="float64"), "cpu")
    assert {c.implementation for c in group.contenders} == {"dense-sdpa", "sparq-torch"}


def test_nothing_to_measure() -> None:
    with pytest.raises(ConfigError, match="suite tiny: nothing to measure on cpu"):
        plan(suite({"implementations": ["sparq-cpu"]}), "cpu", only=("dense-cpu",))
    with pytest.raises(ConfigError, match="nothing to measure"):
        plan(suite({"max_kv_bytes": 1}), "cpu")


def test_keeping_some_contenders() -> None:
    (group,) = plan(suite({}), "cpu")
    kept = group.keeping(group.contenders[:1])
    assert kept.contenders == group.contenders[:1]
    assert kept.key(kept.contenders[0]) == group.key(group.contenders[0])


def test_a_suite_made_for_gpus_is_refused_on_a_cpu() -> None:
    for_gpus = Suite.model_validate({**suite({}).model_dump(), "device": "gpu"})
    with pytest.raises(ConfigError, match="suite tiny is made for a gpu, this run measures a cpu"):
        plan(for_gpus, "cpu")
