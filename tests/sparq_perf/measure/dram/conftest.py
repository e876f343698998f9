"""Captured outputs, subjects to count, and calls that only remember what was asked of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.measure.dram import DramSubject
from sparq_profiles import AttentionShape, SparqConfig


@pytest.fixture
def captured() -> Callable[[str], str]:
    """An output beside these tests, by its name."""
    return lambda name: (Path(__file__).parent / f"{name}.txt").read_text(encoding="utf-8")


@pytest.fixture
def subject() -> Callable[..., DramSubject]:
    """A small subject of torch's own kernels, which run on any device."""

    def make(**fields: Any) -> DramSubject:
        settings = {
            "key": "tiny",
            "shape": AttentionShape(1, 96, 4, 2, 32, "float32"),
            "config": SparqConfig(rank=8, top_k=24),
            "k_layout": "two_copies",
            "cache_state": "cold",
            "implementation": "sparq-torch",
        }
        return DramSubject(**{**settings, **fields})

    return make


class FakeCalls:
    """Calls of a subject; ``asked`` is what was asked, in order, and each takes the bytes that the test says.

    Attributes:
        call_bytes, cool_bytes: moved by one call, and by one flush.
        call_s, cool_s: how long each takes.
        now: the clock.
        bytes: moved so far.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.call_bytes, self.cool_bytes = 40e6, 256e6
        self.call_s, self.cool_s = 40e-6, 100e-6
        self.now = self.bytes = 0.0

    def call(self) -> None:
        self._take("call", self.call_bytes, self.call_s)

    def cool(self) -> None:
        self._take("cool", self.cool_bytes, self.cool_s)

    def wait(self) -> None:
        self.asked.append("wait")

    def _take(self, name: str, moved: float, seconds: float) -> None:
        self.asked.append(name)
        self.bytes += moved
        self.now += seconds


@pytest.fixture
def calls() -> FakeCalls:
    return FakeCalls()


class Opened:
    """`open_calls`, and which subjects it was asked for."""

    def __init__(self, calls: FakeCalls) -> None:
        self.calls, self.keys = calls, list[str]()
        self.fails: Exception | None = None

    @contextmanager
    def __call__(self, subject: DramSubject) -> Iterator[FakeCalls]:
        self.keys.append(subject.key)
        if self.fails is not None:
            raise self.fails
        yield self.calls


@pytest.fixture
def opened(calls: FakeCalls) -> Opened:
    return Opened(calls)
