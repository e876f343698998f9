from math import log2

import pytest

from sparq_profiles import AttentionShape, SparqConfig
from sparq_roofline.calibration.place import Place, octaves_beyond, ranges

SHAPE = AttentionShape(3, 4096, 32, 8, 128)


def test_place_by_hand() -> None:
    assert Place.of(SHAPE, SparqConfig(16, 64)) == Place(24, 4096, 16, 64, 4, 128)
    assert Place.of(SHAPE, None) == Place(24, 4096, 1, 1, 4, 128)


def test_no_more_keys_than_positions() -> None:
    assert Place.of(SHAPE, SparqConfig(16, 100_000)).top_k == 4096


def test_ranges_and_what_lies_beyond() -> None:
    seen = ranges([Place(24, 4096, 16, 64, 4, 128), Place(12, 1024, 32, 64, 4, 128)])
    assert seen["seq_len"] == (1024, 4096)
    assert seen["top_k"] == (64, 64)
    assert octaves_beyond(Place(12, 4096, 16, 64, 4, 128), seen) == {}
    beyond = octaves_beyond(Place(96, 512, 24, 64, 1, 128), seen)
    assert beyond == pytest.approx({"kv_heads": 2.0, "seq_len": 1.0, "group_size": 2.0})
    assert octaves_beyond(Place(96, 4096, 16, 96, 4, 128), seen)["top_k"] == pytest.approx(log2(1.5))


def test_nothing_lies_beyond_what_is_not_known() -> None:
    assert octaves_beyond(Place(1, 1, 1, 1, 1, 1), {}) == {}
