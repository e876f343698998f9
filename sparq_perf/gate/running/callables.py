"""Timing of any callable, in blocks: what a process is to a kernel of ours, a block is to a function of the user's."""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from statistics import median
from time import perf_counter
from typing import Any, Protocol

from sparq_perf.gate.errors import GateError
from sparq_perf.measure.stopping import relative_noise

# A sample must be long enough for the clock, and a block have enough of them for a median with an interval.
SAMPLE_S = 1e-4
MINIMUM_SAMPLES = 15
LARGEST_SAMPLES = 2000
BLOCK_S = 0.1
# As in measure.judging, which needs torch: below six samples even the extremes do not hold the median with 95 %.
FEWEST_SAMPLES = 6
LARGEST_NOISE = 0.10
CHILD = "sparq_perf.gate.running.callable_child"
CHILD_TIMEOUT_S = 600.0

Call = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Block:
    """Times of one callable in a row, in one process.

    Attributes:
        samples_s: seconds of one call each.
    """

    samples_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """Of the samples."""
        return median(self.samples_s)

    @property
    def refusal(self) -> str | None:
        """Why its median is not to be trusted; None where it is."""
        if len(self.samples_s) < FEWEST_SAMPLES:
            return f"too few samples: {len(self.samples_s)}"
        noise = relative_noise(self.samples_s)
        if not noise <= LARGEST_NOISE:
            return f"noisy: the median is known to ±{noise:.0%}, ±{LARGEST_NOISE:.0%} is allowed"
        return None


@dataclass(frozen=True, slots=True)
class Timer:
    """How a block is made.

    Attributes:
        sync: waits until the device has done what was started; None where calls end when they return.
        setup: called before each sample, untimed, such as a flush of caches; samples are then single calls.
        block_s: seconds of a block, roughly.
        clock: seconds.
    """

    sync: Call | None = None
    setup: Call | None = None
    block_s: float = BLOCK_S
    clock: Callable[[], float] = perf_counter

    def block(self, call: Call) -> Block:
        """Time a callable that has run before."""
        calls = 1
        if self.setup is None:
            calls = max(1, ceil(SAMPLE_S / max(self._sample(call, 1), 1e-9)))
        first = self._sample(call, calls)
        wanted = int(self.block_s / max(first * calls, 1e-9))
        n = min(max(wanted, MINIMUM_SAMPLES), LARGEST_SAMPLES)
        collecting = gc.isenabled()
        gc.disable()
        try:
            return Block(tuple(self._sample(call, calls) for _ in range(n)))
        finally:
            if collecting:
                gc.enable()

    def _sample(self, call: Call, calls: int) -> float:
        """Seconds of one call, as the mean of some in a row."""
        if self.setup is not None:
            self.setup()
        self._wait()
        began = self.clock()
        for _ in range(calls):
            call()
        self._wait()
        return max(self.clock() - began, 1e-12) / calls

    def _wait(self) -> None:
        if self.sync is not None:
            self.sync()


class Blocks(Protocol):
    """Makes blocks of base and candidate."""

    def block(self, name: str) -> Block:
        """One block of an arm."""


@dataclass(frozen=True, slots=True)
class HereBlocks:
    """Blocks in this process."""

    calls: Mapping[str, Call]
    timer: Timer

    def block(self, name: str) -> Block:
        """One block of an arm, whose callable runs once before, unseen."""
        self.calls[name]()
        return self.timer.block(self.calls[name])


@dataclass(frozen=True, slots=True)
class ProcessBlocks:
    """Blocks in fresh processes, which alone show how much processes differ.

    Attributes:
        names: ``module:function`` of each arm.
    """

    names: Mapping[str, str]
    block_s: float = BLOCK_S

    def block(self, name: str) -> Block:
        """One process of an arm.

        Raises:
            GateError: it failed; the message has its last words.
        """
        where = self.names[name]
        path = os.pathsep.join(filter(None, sys.path))
        try:
            done = subprocess.run(
                [sys.executable, "-m", CHILD, where, str(self.block_s)],
                env={**os.environ, "PYTHONPATH": path},
                capture_output=True,
                text=True,
                timeout=CHILD_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise GateError(f"{where}: {error}") from None
        if done.returncode:
            words = done.stderr.strip().splitlines() or ["it said nothing"]
            raise GateError(f"{where}: its process ended with exit code {done.returncode}: {words[-1]}")
        try:
            return Block(tuple(float(sample) for sample in json.loads(done.stdout.splitlines()[-1])))
        except (ValueError, TypeError, IndexError) as error:
            raise GateError(f"{where}: its process left no times: {error}") from None
