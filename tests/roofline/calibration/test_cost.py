import numpy as np
import pytest

from sparq_roofline import StepTraffic
from sparq_roofline.calibration.cost import LEAST, Amounts, amounts, beside, overlapped

STEPS = (
    StepTraffic("score", 800, flops=30, elements=5, pieces=2),
    StepTraffic("select", 10, 20, elements=6, launches=3),
    StepTraffic("gather", 40, 60, flops=7, access="gather", elements=1, launches=2, pieces=1),
)


def test_amounts_by_hand() -> None:
    found = amounts(STEPS, 1000)
    assert found == Amounts(
        launches=6, stream_bytes=830, gather_bytes=100, elements=12, flops=37, pieces=3, positions=1000
    )


def test_amounts_over_arrays() -> None:
    sizes = np.array([1.0, 2.0])
    steps = tuple(step._replace(read_bytes=step.read_bytes * sizes, flops=step.flops * sizes) for step in STEPS)
    found = amounts(steps, sizes)
    np.testing.assert_array_equal(found.stream_bytes, [830, 1640])
    np.testing.assert_array_equal(found.gather_bytes, [100, 140])
    np.testing.assert_array_equal(found.flops, [37, 74])


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [(1.0, 7.0), (2.0, 5.0), (16.0, 4.0 * (1 + 0.75**16) ** (1 / 16))],
)
def test_host_and_device(overlap: float, expected: float) -> None:
    assert overlapped(3.0, 4.0, overlap) == pytest.approx(expected)
    assert overlapped(4.0, 3.0, overlap) == pytest.approx(expected)
    assert overlapped(0.0, 4.0, overlap) == 4.0


def test_streaming_beside_each_heads_chain() -> None:
    assert beside(3.0, 4.0) == pytest.approx(5.0)
    assert beside(3.0, 0.0) == 3.0
    # A device that heads fill hides their chains, and a chain that few heads wait for hides the streaming.
    assert beside(100.0, 1.0) == pytest.approx(100.0, rel=1e-4)
    assert beside(1.0, 100.0) == pytest.approx(100.0, rel=1e-4)


def test_every_amount_has_a_cost() -> None:
    assert len(LEAST) == len(Amounts._fields)
