"""Device time that never holds the host's, on two simulated clocks."""

from itertools import pairwise
from typing import Any

import pytest

from sparq_perf.measure.cuda_lane import ATTEMPTS, SHORTEST_BLOCKER_S, Lane


def kernels(gpu: Any, n: int, seconds: float, *, waiting: bool = False) -> Any:
    def launch() -> None:
        for _ in range(n):
            if waiting:
                gpu.synchronize()
            gpu.work("kernel", seconds)

    return launch


def test_device_time_without_the_hosts(gpu: Any) -> None:
    # 40 launches of 1 µs take the host 200 µs: behind a blocker the device never waits for them.
    timed = Lane(gpu, kernels(gpu, 40, 1e-6)).time()
    assert timed.time_s == pytest.approx(40e-6)
    assert not timed.starved


def test_a_blocker_lasts_longer_where_queueing_does(gpu: Any) -> None:
    for n in (1, 40):
        gpu.synchronize()
        lane = Lane(gpu, kernels(gpu, n, 1e-6))
        gpu.synchronize()
        began = gpu.now
        lane.time()
        gpu.synchronize()
        assert gpu.now - began >= SHORTEST_BLOCKER_S + 2 * n * 5e-6


def test_a_starved_sample_is_taken_again_behind_a_longer_blocker(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lane = Lane(gpu, kernels(gpu, 1, 1e-6))
    # From now on queueing is slow, as when another process takes the host's core.
    lane.launch = kernels(gpu, 60, 1e-6)
    blocks: list[float] = []
    block = gpu.block
    monkeypatch.setattr(gpu, "block", lambda seconds: blocks.append(seconds) or block(seconds))
    timed = lane.time()
    assert not timed.starved
    assert timed.time_s == pytest.approx(60e-6)
    assert [later / earlier for earlier, later in pairwise(blocks)] == [2.0] * (len(blocks) - 1)
    assert len(blocks) > 1
    # It stays long: the next sample is good at once.
    blocks.clear()
    lane.time()
    assert len(blocks) == 1


def test_work_that_waits_for_the_device_is_told_apart_and_not_tried_for_ever(gpu: Any) -> None:
    lane = Lane(gpu, kernels(gpu, 3, 1e-6, waiting=True))
    gpu.queued.clear()
    assert lane.time().starved
    assert gpu.queued.count("block") == ATTEMPTS
    gpu.queued.clear()
    assert lane.time().starved
    assert gpu.queued.count("block") == 1


def test_what_comes_before_is_not_timed(gpu: Any) -> None:
    lane = Lane(gpu, kernels(gpu, 1, 3e-6))
    gpu.queued.clear()
    assert lane.time(lambda: gpu.work("before", 1.0)).time_s == pytest.approx(3e-6)
    assert gpu.queued == ["before", "block", "event", "kernel", "event"]
