from typing import Any

import pytest

from sparq_profiles import ConfigError, SparqConfig, SparqPerfError


def test_defaults() -> None:
    config = SparqConfig(rank=32, top_k=128)
    assert (config.local_window, config.mean_value) == (0, True)
    assert (config.group_score, config.k_layout) == ("logits", "two_copies")


@pytest.mark.parametrize(
    ("field", "value", "mend"),
    [
        ("rank", 0, "whole number of at least 1"),
        ("rank", True, "whole number of at least 1"),
        ("rank", 32.0, "whole number of at least 1"),
        ("top_k", 0, "whole number of at least 1"),
        ("top_k", -5, "whole number of at least 1"),
        ("top_k", "128", "whole number of at least 1"),
        ("local_window", -1, "whole number of at least 0"),
        ("local_window", False, "whole number of at least 0"),
        ("mean_value", 1, "true or false"),
        ("group_score", "sum", "choose one of logits, softmax"),
        ("k_layout", "paged", "choose one of two_copies, channel_major, row_major"),
    ],
)
def test_refused_values(field: str, value: Any, mend: str) -> None:
    settings: dict[str, Any] = {"rank": 32, "top_k": 128, field: value}
    with pytest.raises(ConfigError) as caught:
        SparqConfig(**settings)
    assert f"{field} is {value!r}: " in str(caught.value)
    assert mend in str(caught.value)


def test_local_window_is_part_of_the_top_k() -> None:
    assert SparqConfig(rank=8, top_k=64, local_window=64).local_window == 64
    with pytest.raises(ConfigError, match="local_window is 65 and top_k is 64"):
        SparqConfig(rank=8, top_k=64, local_window=65)


def test_rank_fits_the_head() -> None:
    SparqConfig(rank=128, top_k=1).check_fits(head_dim=128)
    with pytest.raises(ConfigError, match="rank is 128 and head_dim is 64"):
        SparqConfig(rank=128, top_k=1).check_fits(head_dim=64)


def test_error_is_of_the_one_family_and_a_value_error() -> None:
    assert issubclass(ConfigError, SparqPerfError)
    assert issubclass(ConfigError, ValueError)
