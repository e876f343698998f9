"""PM sampling through a package with the interface of cupti-python 13.3 and 13.4."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sparq_perf.measure.dram import DramSubject, cupti_pm
from sparq_perf.measure.dram.cupti_pm import CuptiPmSampling
from sparq_perf.measure.dram.subjects import DramCounts
from sparq_perf.records.reading import Absence

# Names, keywords and errors as in cupti/pm_sampling.py; TEST is the test's own.
PM_SAMPLING = """
import enum

TEST = None

class TriggerMode(enum.IntEnum):
    GPU_SYSCLK_INTERVAL = 0
    GPU_TIME_INTERVAL = 1

class cuptiError(Exception):
    pass

class Collector:
    def __init__(self, device_index=0):
        TEST.note("collector", device_index)
    def enable(self):
        TEST.note("enable")
    def configure(self, *, metrics, hardware_buffer_size=2**29, sampling_interval=10000,
                  trigger_mode=TriggerMode.GPU_TIME_INTERVAL, hw_buffer_append_mode=0,
                  single_pass_metric_set_name=None):
        TEST.note("configure", metrics, sampling_interval, trigger_mode.name)
    def start(self):
        TEST.note("start")
    def stop(self):
        TEST.note("stop")
    def decode(self, max_samples=10000):
        return TEST.note("decode", max_samples)
    def disable(self):
        TEST.note("disable")
"""


class Gpu:
    """What the library is asked, and what it answers.

    Attributes:
        done: calls into the library.
        refuses: what a call raises, by its name and first argument.
        samples: of each decoding in turn, the last for ever: (read, written) bytes.
    """

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.refuses: Callable[..., Exception | None] = lambda *_: None
        self.samples: list[list[tuple[float, float]]] = [[(0.0, 0.0), (3e6, 1e3), (5e6, 2e3), (0.0, 0.0)]]

    def note(self, *call: Any) -> Any:
        self.done.append(call)
        error = self.refuses(*call)
        if error is not None:
            raise error
        if call[0] == "decode":
            samples = self.samples.pop(0) if len(self.samples) > 1 else self.samples[0]
            return [SimpleNamespace(start_timestamp=0, end_timestamp=1, metric_values=list(s)) for s in samples]
        return None

    def names(self) -> list[str]:
        return [call[0] for call in self.done]


def install(folder: Path, version: str, *, sampler: bool = True) -> None:
    (folder / "cupti").mkdir()
    (folder / "cupti/__init__.py").write_text("")
    if sampler:
        (folder / "cupti/pm_sampling.py").write_text(PM_SAMPLING)
    metadata = folder / f"cupti_python-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: cupti-python\nVersion: {version}\n")


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cupti"]:
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place that packages are imported from, and rights to the counters."""
    monkeypatch.setattr(cupti_pm, "counters_refused", lambda: None)
    forget()
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    forget()


@pytest.fixture
def library(folder: Path) -> ModuleType:
    install(folder, "13.3.0")
    return importlib.import_module("cupti.pm_sampling")


@pytest.fixture
def gpu(library: ModuleType) -> Gpu:
    gpu = Gpu()
    library.TEST = gpu  # type: ignore[attr-defined]
    return gpu


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def sampling(slept: list[float]) -> CuptiPmSampling:
    return CuptiPmSampling("GPU-1", 2, sleep=slept.append)


def test_the_median_of_three_calls(
    gpu: Gpu, sampling: CuptiPmSampling, subject: Callable[..., DramSubject], calls: Any, slept: list[float]
) -> None:
    gpu.samples = [[(8e6, 3e3)], [(6e6, 1e3), (1e6, 1e3)], [(90e6, 5e3)]]
    assert sampling.count(subject(), calls) == DramCounts(8e6 + 3e3, 8e6, 3e3)
    assert gpu.names() == ["collector", "enable", "configure", *3 * ["start", "stop", "decode"], "disable"]
    assert gpu.done[0] == ("collector", 2)
    assert gpu.done[2] == ("configure", ["dram__bytes_read.sum", "dram__bytes_write.sum"], 20_000, "GPU_TIME_INTERVAL")
    # Once before, so that nothing is compiled; then each one flushed, and done before sampling ends.
    assert calls.asked == ["call", "wait", *3 * ["cool", "wait", "call", "wait"]]
    assert slept == 3 * [1e-3]


def test_warm_calls_follow_a_call(
    gpu: Gpu, sampling: CuptiPmSampling, subject: Callable[..., DramSubject], calls: Any
) -> None:
    assert sampling.count(subject(cache_state="warm"), calls) == DramCounts(8_003_000, 8e6, 3e3)
    assert "cool" not in calls.asked
    assert calls.asked.count("call") == 1 + 3 * 2


def test_sampling_covers_the_call(
    gpu: Gpu, sampling: CuptiPmSampling, subject: Callable[..., DramSubject], calls: Any
) -> None:
    order: list[str] = []
    gpu.refuses = lambda name, *_: order.append(name)  # type: ignore[func-returns-value]
    take = calls._take
    calls._take = lambda name, *rest: (order.append(name), take(name, *rest))
    sampling.count(subject(), calls)
    one = order[order.index("configure") + 1 : order.index("decode")]
    assert one == ["cool", "start", "call", "stop"]


@pytest.mark.parametrize(
    ("takes", "tried"),
    [
        (("dram__bytes_read.sum", "GPU_SYSCLK_INTERVAL"), 2),  # GA100
        (("dram__bytes_op_read.sum", "GPU_TIME_INTERVAL"), 3),  # GB20x
    ],
)
def test_gpus_that_lack_a_trigger_or_a_name(
    takes: tuple[str, str], tried: int, gpu: Gpu, sampling: CuptiPmSampling, subject: Any, calls: Any
) -> None:
    def refuses(name: str, *rest: Any) -> Exception | None:
        return ValueError("not on this GPU") if name == "configure" and (rest[0][0], rest[2]) != takes else None

    gpu.refuses = refuses
    assert isinstance(sampling.count(subject(), calls), DramCounts)
    assert gpu.names().count("configure") == tried


def raised(where: str, error: Exception) -> Callable[..., Exception | None]:
    return lambda name, *_: error if name == where else None


@pytest.mark.parametrize(
    ("where", "error", "kind", "words"),
    [
        ("configure", ValueError("cannot be collected in a single pass"), "not_supported", "in a single pass"),
        ("enable", PermissionError("Insufficient privileges"), "no_permission", "Insufficient privileges"),
        ("enable", ValueError("Invalid device_index: 2"), "failed", "Invalid device_index"),
        ("enable", RuntimeError("PM sampling is already enabled on this device."), "failed", "already enabled"),
        ("enable", "ERROR_MIG_DEVICE_NOT_SUPPORTED (43)", "mig", "MIG_DEVICE"),
        ("enable", "ERROR_CONFIDENTIAL_COMPUTING_NOT_SUPPORTED (41)", "not_supported", "CONFIDENTIAL"),
        ("enable", "ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES (40)", "no_permission", "VIRTUALIZED"),
        ("start", "ERROR_HARDWARE_BUSY (26)", "failed", "HARDWARE_BUSY"),
        ("decode", MemoryError("Record overflow in the hardware buffer."), "failed", "overflow"),
    ],
)
def test_refusals(
    where: str,
    error: Exception | str,
    kind: str,
    words: str,
    gpu: Gpu,
    library: Any,
    sampling: CuptiPmSampling,
    subject: Any,
    calls: Any,
) -> None:
    gpu.refuses = raised(where, library.cuptiError(error) if isinstance(error, str) else error)
    found = sampling.count(subject(), calls)
    assert isinstance(found, Absence)
    assert (found.kind, words in found.detail) == (kind, True)
    # What was enabled is disabled, and what was started is stopped.
    assert gpu.names().count("disable") == (where != "enable")
    assert gpu.names().count("stop") == gpu.names().count("start") - (where == "start")


@pytest.mark.parametrize(
    ("samples", "kind", "words"),
    [
        ([], "no_change", "completed no sample"),
        ([(1.0, 1.0)] * 10_000, "failed", "outlasted 10000 samples"),
        ([(float("nan"), 1.0)], "failed", "no number"),
    ],
)
def test_samples_that_are_no_count(
    samples: list[tuple[float, float]],
    kind: str,
    words: str,
    gpu: Gpu,
    sampling: CuptiPmSampling,
    subject: Any,
    calls: Any,
) -> None:
    gpu.samples = [samples]
    found = sampling.count(subject(), calls)
    assert isinstance(found, Absence)
    assert (found.kind, words in found.detail) == (kind, True)


def test_an_error_of_the_call_itself_is_not_cuptis(
    gpu: Gpu, sampling: CuptiPmSampling, subject: Any, calls: Any
) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    calls.cool = broken
    with pytest.raises(ZeroDivisionError):
        sampling.count(subject(), calls)
    assert gpu.names()[-1] == "disable"


def test_not_installed(monkeypatch: pytest.MonkeyPatch, subject: Any, calls: Any) -> None:
    monkeypatch.setattr(cupti_pm, "find_spec", lambda name: None)
    sampling = CuptiPmSampling()
    assert sampling.detail is None
    found = sampling.count(subject(), calls)
    assert found == sampling.refusal() == Absence(kind="library_missing", detail="cupti-python is not installed")
    assert calls.asked == []


def test_a_version_without_pm_sampling(folder: Path, sampling: CuptiPmSampling) -> None:
    """As 13.2 and before: found out from its files, without loading CUPTI."""
    install(folder, "13.2.0", sampler=False)
    assert sampling.refusal() == Absence(
        kind="not_supported", detail="cupti-python 13.2.0 offers no PM sampling: 13.3 does"
    )
    assert "cupti" not in sys.modules


def test_probing_loads_nothing(folder: Path, sampling: CuptiPmSampling) -> None:
    install(folder, "13.4.0")
    assert sampling.refusal() is None
    assert sampling.detail == "cupti-python 13.4.0"
    assert "cupti" not in sys.modules


def test_a_package_that_cannot_be_loaded(folder: Path, sampling: CuptiPmSampling, subject: Any, calls: Any) -> None:
    install(folder, "13.4.0")
    (folder / "cupti/pm_sampling.py").write_text("raise OSError('libcupti.so.13: cannot open shared object file')")
    found = sampling.count(subject(), calls)
    assert isinstance(found, Absence)
    assert (found.kind, "libcupti.so.13" in found.detail) == ("library_missing", True)


def test_a_slice_is_not_sampled() -> None:
    found = CuptiPmSampling("MIG-1").refusal()
    assert found is not None
    assert found.kind == "mig"
