"""Pairs of processes in ABBA order, each pair whole or not at all."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sparq_perf.gate.running.arms import Arm
from sparq_perf.gate.running.processes import read_process
from sparq_perf.gate.runs import ProcessRun
from sparq_profiles import SparqPerfError

BASE, CANDIDATE = ARMS = ("base", "candidate")
Tell = Callable[[str], None]


class Measure(Protocol):
    """Runs a process; see `Runner`."""

    def measure(self, arm: Arm, folder: Path) -> float:
        """One process of an arm, whose records are left in a folder that is not there yet; returns its seconds."""


@dataclass(slots=True)
class Pace:
    """How long pairs take, for who waits."""

    pair_s: float = 0.0
    n: int = 0

    def add(self, seconds: float) -> None:
        """One more pair."""
        self.pair_s += (seconds - self.pair_s) / (self.n + 1)
        self.n += 1

    def left(self, pairs: int) -> str:
        """The time for so many more, in words."""
        minutes = self.pair_s * pairs / 60
        return f"about {minutes:.0f} min left" if minutes >= 1 else f"about {self.pair_s * pairs:.0f} s left"


def order(index: int) -> tuple[str, str]:
    """Which arm runs first in a pair: base in one, candidate in the next, so that a drift falls on both alike."""
    return (BASE, CANDIDATE) if index % 2 == 0 else (CANDIDATE, BASE)


def measure_pairs(
    measure: Measure, arms: Mapping[str, Arm], folder: Path, first: int, last: int, tell: Tell, pace: Pace
) -> list[tuple[ProcessRun, ProcessRun]]:
    """Pairs of some numbers; those that are whole on disk are not measured again.

    A pair that was cut short is measured anew, both its processes: they must share the same minutes.

    Args:
        measure: runs a process.
        arms: by name.
        folder: holds a folder a pair.
        first, last: numbers, the last one excluded.
        tell: told of each pair.
        pace: kept up to date.

    Raises:
        SparqPerfError: a process failed.
    """
    pairs = []
    for index in range(first, last):
        place = folder / f"{index + 1:02}"
        pair = _read_pair(place)
        if pair is None:
            shutil.rmtree(place, ignore_errors=True)
            seconds = {name: measure.measure(arms[name], place / name) for name in order(index)}
            pace.add(sum(seconds.values()))
            pair = read_process(place / BASE), read_process(place / CANDIDATE)
            took = ", ".join(f"{name} {seconds[name]:.0f} s" for name in seconds)
            tell(f"pair {index + 1} of {last}: {took}; {pace.left(last - index - 1)}")
        pairs.append(pair)
    return pairs


def _read_pair(place: Path) -> tuple[ProcessRun, ProcessRun] | None:
    try:
        return read_process(place / BASE), read_process(place / CANDIDATE)
    except SparqPerfError:
        return None
