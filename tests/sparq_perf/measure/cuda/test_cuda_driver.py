"""What the thin class asks of torch.cuda, and how it leaves it when a capture fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sparq_perf.measure import cuda_driver
from sparq_perf.measure.cuda_driver import CAPTURE_WARMUPS, CaptureError, CudaDriver


class TorchCuda:
    """torch.cuda as far as the driver asks it; calls see on which stream and in which mode they run."""

    def __init__(self) -> None:
        self.stream_now: Any = SimpleNamespace(name="default", wait_stream=lambda other: None)
        self.mode, self.capturing = "default", False
        self.end_fails: Exception | None = None
        self.properties: dict[str, Any] = {"uuid": "1234-5678", "L2_cache_size": 50 * 2**20}
        self.slept: list[int] = []

    def current_device(self) -> int:
        return 3

    def current_stream(self, device: Any = None) -> Any:
        return self.stream_now

    def set_stream(self, stream: Any) -> None:
        self.stream_now = stream

    def Stream(self, device: Any) -> Any:
        return SimpleNamespace(name="side", wait_stream=lambda other: None)

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        before, self.stream_now = self.stream_now, stream
        try:
            yield
        finally:
            self.stream_now = before

    def CUDAGraph(self) -> Any:
        return SimpleNamespace(replay="what replays it")

    @contextmanager
    def graph(self, graph: Any, *, stream: Any) -> Iterator[None]:
        """As torch's: a capture that cannot end leaves its stream as the current one."""
        before, self.stream_now, self.capturing = self.stream_now, stream, True
        try:
            yield
        finally:
            self.capturing = False
            if self.end_fails is not None:
                raise self.end_fails
            self.stream_now = before

    def synchronize(self, device: Any) -> None:
        assert not self.capturing

    def set_sync_debug_mode(self, mode: str) -> None:
        self.mode = mode

    def get_device_properties(self, device: Any) -> Any:
        described = {"name": "A GPU", "major": 9, "minor": 0, "multi_processor_count": 132, "total_memory": 80}
        return SimpleNamespace(**described, **self.properties)

    def mem_get_info(self, device: Any) -> tuple[int, int]:
        return 60, 80

    def memory_reserved(self, device: Any) -> int:
        return 15

    def memory_allocated(self, device: Any) -> int:
        return 5

    def _sleep(self, cycles: int) -> None:
        self.slept.append(cycles)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> TorchCuda:
    cuda = TorchCuda()
    monkeypatch.setattr(cuda_driver.torch, "cuda", cuda)
    return cuda


def test_a_capture(cuda: TorchCuda) -> None:
    seen: list[tuple[str, str, bool]] = []

    def call() -> None:
        seen.append((cuda.stream_now.name, cuda.mode, cuda.capturing))

    assert CudaDriver().capture(call) == "what replays it"
    # Warmed up beside the default stream, once more while a wait would be an error, then captured.
    warm, asked, captured = ("side", "default", False), ("side", "error", False), ("side", "default", True)
    assert seen == [warm] * CAPTURE_WARMUPS + [asked, captured]
    assert (cuda.stream_now.name, cuda.mode) == ("default", "default")


@pytest.mark.parametrize(
    ("when", "error", "raised", "message"),
    [
        ("asked", RuntimeError("called a synchronizing CUDA operation\nmore"), CaptureError, "^called a sync.*tion$"),
        ("asked", RuntimeError("a defect"), RuntimeError, "a defect"),
        ("asked", torch.OutOfMemoryError("full"), torch.OutOfMemoryError, "full"),
        ("captured", RuntimeError("operation not permitted"), CaptureError, "operation not permitted"),
        ("captured", torch.OutOfMemoryError("full"), torch.OutOfMemoryError, "full"),
        ("captured", ValueError("a defect"), ValueError, "a defect"),
    ],
)
def test_a_call_that_fails(cuda: TorchCuda, when: str, error: Exception, raised: type[Exception], message: str) -> None:
    def call() -> None:
        if cuda.capturing if when == "captured" else cuda.mode == "error":
            raise error

    with pytest.raises(raised, match=message):
        CudaDriver().capture(call)
    assert (cuda.stream_now.name, cuda.mode) == ("default", "default")


def test_a_capture_that_cannot_end_leaves_the_stream_as_it_was(cuda: TorchCuda) -> None:
    cuda.end_fails = RuntimeError("cudaErrorStreamCaptureInvalidated")
    with pytest.raises(CaptureError, match="cudaErrorStreamCaptureInvalidated"):
        CudaDriver().capture(lambda: None)
    assert cuda.stream_now.name == "default"


@pytest.mark.parametrize(
    ("uuid", "expected"),
    [("1234-5678", "GPU-1234-5678"), ("GPU-1", "GPU-1"), ("MIG-2", "MIG-2"), (None, None)],
)
def test_facts(cuda: TorchCuda, uuid: str | None, expected: str | None) -> None:
    cuda.properties["uuid"] = uuid
    facts = CudaDriver().facts()
    assert (facts.name, facts.uuid, facts.compute_capability) == ("A GPU", expected, (9, 0))
    assert (facts.n_multiprocessors, facts.l2_bytes, facts.memory_bytes) == (132, 50 * 2**20, 80)


def test_what_an_older_torch_does_not_tell(cuda: TorchCuda) -> None:
    cuda.properties = {}
    facts = CudaDriver().facts()
    assert (facts.uuid, facts.l2_bytes) == (None, None)


def test_memory_and_blockers(cuda: TorchCuda) -> None:
    driver = CudaDriver()
    assert driver.device == torch.device("cuda", 3)
    assert driver.free_bytes() == 60 + 15 - 5
    driver.block(1e-3)
    assert cuda.slept == [2_000_000]


def test_an_error_without_words_is_named(cuda: TorchCuda) -> None:
    def call() -> None:
        if cuda.capturing:
            raise RuntimeError

    with pytest.raises(CaptureError, match="RuntimeError"):
        CudaDriver().capture(call)
