from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest

from sparq_roofline.frozen import frozen


@frozen
class Pair:
    """Two numbers."""

    first: float
    second: float = 2.0


def test_like_any_frozen_dataclass() -> None:
    pair = Pair(1.0)
    assert pair == Pair(first=1.0, second=2.0)
    assert hash(pair) == hash(Pair(1.0))
    assert repr(pair) == "Pair(first=1.0, second=2.0)"
    assert asdict(replace(pair, second=3.0)) == {"first": 1.0, "second": 3.0}
    assert [field.name for field in fields(Pair)] == ["first", "second"]
    assert Pair.__slots__ == ("first", "second")
    with pytest.raises(FrozenInstanceError):
        pair.first = 2.0
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'first'"):
        Pair()
    with pytest.raises(TypeError, match="unexpected keyword argument 'third'"):
        Pair(1.0, third=3.0)
