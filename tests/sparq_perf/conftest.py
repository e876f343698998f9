"""Record lines with plain numbers, for tests that do not care how they came about, and one browser for all pages."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from statistics import median
from typing import Any

import pytest

from sparq_perf.records.dram import RUNGS, DramReading, Rung
from sparq_perf.records.environment import Gpu
from sparq_perf.records.gpu_state import GpuState
from sparq_perf.records.reading import Absence, Reading
from sparq_perf.records.schema import (
    AttentionMap,
    CalibrationLine,
    CalibrationPoint,
    CeilingsLine,
    Counted,
    CountedBytes,
    Dram,
    End,
    Energy,
    Environment,
    Fidelity,
    Imported,
    Instrument,
    LayerFidelity,
    MapStep,
    Measurement,
    PlannedPass,
    ProfiledKernel,
    ProfiledStep,
    Run,
    Slice,
    StepProfile,
)
from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.hardware import Efficiency, EfficiencyRange, FootprintBandwidth, HardwareProfile
from sparq_profiles.quantity import Quantity
from sparq_roofline.calibration import TimeModel
from sparq_roofline.interval import Interval
from sparq_roofline.prediction import StepTime, TimePrediction

CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
SHAPE = AttentionShape(1, 4096, 4, 2, 32, "float32")
CONFIG = SparqConfig(8, 64, 16)


class Lines:
    """Builds one valid line of each kind; keyword arguments replace fields."""

    stamp: dict[str, Any] = {"run_id": "run-1", "time": datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)}  # noqa: RUF012

    def hardware(self, bandwidth: float = 10e9) -> HardwareProfile:
        def measured(value: float) -> Quantity:
            return Quantity(value=value, kind="measured", source="a test")

        half = EfficiencyRange(lower=0.5, expected=0.5, upper=1.0, kind="assumed", source="a test")
        return HardwareProfile(
            name="test-cpu",
            title="Test CPU, 2 threads",
            kind="cpu",
            vendor="Test",
            memory_bandwidth_bytes_per_s=measured(bandwidth),
            memory_bytes=measured(8e9),
            peak_flop_per_s={"float32": measured(100e9)},
            launch_latency_s=measured(10e-6),
            sector_bytes=measured(64.0),
            efficiency=Efficiency(stream=half, gather=half, compute=half),
            bandwidth_by_footprint=(
                FootprintBandwidth(footprint_bytes=2**20, read_bandwidth_bytes_per_s=4 * bandwidth),
                FootprintBandwidth(footprint_bytes=2**30, read_bandwidth_bytes_per_s=bandwidth),
            ),
        )

    def environment(self, **fields: Any) -> Environment:
        defaults: dict[str, Any] = {
            "device": "Test CPU",
            "device_kind": "cpu",
            "n_cores": 2,
            "n_threads": 2,
            "memory_bytes": 8e9,
            "load_average": None,
            "operating_system": "Linux 6.1 x86_64",
            "python": "3.11.9",
            "versions": {"torch": "2.9.0"},
            "commit": None,
            "instruments": (Instrument(name="nvml", available=False, reason="driver missing"),),
            "gpu_state": GpuState.missing(Absence(kind="driver_missing", detail="no driver")),
        }
        return Environment(**{**defaults, **fields})

    def gpu(self, **fields: Any) -> Gpu:
        defaults: dict[str, Any] = {"uuid": "GPU-1", "driver": "580.1", "compute_capability": "9.0", "cuda": "13.0"}
        defaults |= {"n_multiprocessors": 132, "memory_bytes": 80e9, "l2_bytes": 50e6, "host": "Test CPU"}
        return Gpu(**{**defaults, **fields})

    def run(self, **fields: Any) -> Run:
        defaults: dict[str, Any] = {
            "package_version": "0.1.0",
            "suite": "tiny",
            "suite_title": "Tiny",
            "suite_sha256": "ab" * 32,
            "n_planned": 2,
            "resumed": False,
            "command": ("sparq-perf", "run"),
            "environment": self.environment(),
            "passes": (
                PlannedPass(name="timing", made=True),
                PlannedPass(name="nvml", made=False, reason="driver missing"),
            ),
        }
        return Run(**{**self.stamp, **defaults, **fields})

    def ceilings(self, phase: str = "start", bandwidth: float = 10e9) -> CeilingsLine:
        return CeilingsLine(**self.stamp, phase=phase, hardware=self.hardware(bandwidth))

    def time_model(self) -> TimeModel:
        return TimeModel(
            host_s=1e-5,
            overlap=3.0,
            launch_s=1e-6,
            stream_slowdown=1.25,
            gather_slowdown=2.0,
            element_s=1e-10,
            compute_share=0.5,
            piece_s=1e-7,
            position_s=1e-9,
            left_out_error=0.04,
            n_points=11,
            ranges={"seq_len": (100, 5000)},
        )

    def calibration(self, implementation: str = "sparq-cpu") -> CalibrationLine:
        point = CalibrationPoint(shape=SHAPE, config=CONFIG, measured_s=1e-3, fitted_s=1.1e-3)
        return CalibrationLine(**self.stamp, implementation=implementation, model=self.time_model(), points=(point,))

    def prediction(self, lower: float, expected: float, upper: float) -> TimePrediction:
        step = StepTime("attend", expected, 1000, 10, 500, "memory")
        return TimePrediction(1000, 10, 500, Interval(lower, expected, upper), "memory", "calibrated", (step,))

    def measurement(self, samples_s: tuple[float, ...] | None = None, **fields: Any) -> Measurement:
        """Dense unless ``config`` is given; ``predicted`` stands for the three numbers of a prediction."""
        predicted = fields.pop("predicted", None)
        config = fields.get("config")
        defaults: dict[str, Any] = {
            "model": "tiny",
            "shape": SHAPE,
            "config": None,
            "cache_state": "cold",
            "implementation": "dense-cpu" if config is None else "sparq-cpu",
            "status": "ok",
            "warmups": 2,
            "prediction": self.prediction(*predicted) if predicted else None,
        }
        if fields.get("status") != "failed":
            samples_s = samples_s or (1e-3, 2e-3, 4e-3)
            defaults |= {
                "median_ci_s": (min(samples_s), max(samples_s)),
                "relative_noise": (max(samples_s) - min(samples_s)) / 2 / median(samples_s),
                "stop_reason": "noise",
                "timer": "perf_counter",
            }
        made = {**self.stamp, **defaults, "samples_s": samples_s or (), **fields}
        made.setdefault(
            "key", "/".join(str(made[name]) for name in ("shape", "config", "cache_state", "implementation"))
        )
        return Measurement(**made)

    def step_profile(self, **fields: Any) -> StepProfile:
        defaults: dict[str, Any] = {
            "key": "some key",
            "model": "tiny",
            "shape": SHAPE,
            "config": CONFIG,
            "cache_state": "warm",
            "implementation": "sparq-cpu",
            "iterations": 5,
            "total_s": 3e-3,
            "span_s": 3.5e-3,
            "steps": (
                ProfiledStep(name="score", time_s=1e-3, launches=2.0, predicted_s=9e-4),
                ProfiledStep(name="gather", time_s=0.0, launches=0.0),
            ),
            "kernels": (ProfiledKernel(name="score_kernel", step="score", launches=2.0, time_s=1e-3),),
            "began": self.stamp["time"],
            "call": (Slice(name="score_kernel", step="score", start_s=0.0, duration_s=1e-3),),
        }
        return StepProfile(**{**self.stamp, **defaults, **fields})

    def energy(self, **fields: Any) -> Energy:
        """Two seconds of a thousand calls at 300 W; ``absence`` stands for nothing at all."""
        absence = fields.pop("absence", None)
        names = ("counter_j", "integral_j", "idle_power_w", "power_w", "sm_clock_hz")
        defaults: dict[str, Any] = {"config": CONFIG, "cache_state": "cold", "implementation": "sparq-cpu"}
        if absence is not None:
            defaults |= dict.fromkeys(names, Reading(absence=absence))
        else:
            values = (0.6, 0.59, 80.0, 300.0, 1.7e9)
            defaults |= {name: Reading.of(value) for name, value in zip(names, values, strict=True)}
            defaults |= {"n_calls": 1000, "elapsed_s": 2.0, "caches": "cold", "power_source": "power_instant_w"}
        return Energy(**{**self.stamp, "key": "some key", "model": "tiny", "shape": SHAPE, **defaults, **fields})

    def dram(self, reading: DramReading | None = None, **fields: Any) -> Dram:
        """Without a reading, nothing could be counted."""
        rungs = tuple(Rung(name=name, absence=Absence(kind="no_device", detail="no GPU")) for name in RUNGS)
        defaults: dict[str, Any] = {"config": CONFIG, "cache_state": "cold", "implementation": "sparq-cpu"}
        defaults["dram"] = reading or DramReading.missing(rungs)
        return Dram(**{**self.stamp, "key": "some key", "model": "tiny", "shape": SHAPE, **defaults, **fields})

    def counted(self, **fields: Any) -> Counted:
        step = CountedBytes(
            step="score", counted_bytes=1000, analytic_bytes=1000, sector_bytes=1024, requested_bytes=2048
        )
        defaults: dict[str, Any] = {"config": CONFIG, "cache_state": "cold", "implementation": "sparq-triton"}
        defaults |= {"architecture": "sm_90", "steps": (step,)}
        return Counted(**{**self.stamp, "key": "some key", "model": "tiny", "shape": SHAPE, **defaults, **fields})

    def imported(self, **fields: Any) -> Imported:
        defaults: dict[str, Any] = {"package_version": "0.1.0", "source": "sweep.csv", "source_sha256": "ab" * 32}
        defaults |= {"device": "Test CPU", "hardware": self.hardware(), "n_measurements": 3}
        return Imported(**{**self.stamp, **defaults, **fields})

    def fidelity(self, **fields: Any) -> Fidelity:
        heads = LayerFidelity(layer=0, recall=(0.5, 1), mass=(0.9, 1), coverage_error=(0.1, 0), output_error=(0.2, 0))
        defaults: dict[str, Any] = {
            "key": "fidelity",
            "model": "tiny",
            "device": "Test CPU",
            "versions": {"torch": "2"},
        }
        defaults |= {"shape": SHAPE, "n_layers": 2, "config": CONFIG, "implementation": "sparq-cpu", "task": "wikitext"}
        defaults |= {
            "dataset": "wiki.txt",
            "dataset_sha256": "ab" * 32,
            "context": 100,
            "new_tokens": 8,
            "n_examples": 2,
        }
        defaults |= {"seed": 0, "transfer_ratio": 0.2, "scores": {"kl_nats": 0.1}, "stderr": {"kl_nats": 0.01}}
        return Fidelity(**{**self.stamp, **defaults, "layers": (heads,), **fields})

    def attention_map(self, **fields: Any) -> AttentionMap:
        """Head 2 of 4 on 2 KV heads: two steps over three and four positions, of which the last two are selected."""
        first = MapStep(
            step=0, approximate=(0.5, 0.2, 0.3), exact=(0.1, 0.4, 0.5), selected=(1, 2), coverage=0.5, mass=0.9
        )
        second = MapStep(
            step=3,
            approximate=(0.25, 0.25, 0.3, 0.2),
            exact=(0.1, 0.2, 0.3, 0.4),
            selected=(2, 3),
            coverage=0.5,
            mass=0.7,
        )
        defaults: dict[str, Any] = {"key": "map", "model": "tiny", "shape": SHAPE, "config": CONFIG, "task": "wikitext"}
        defaults |= {"dataset": "wiki.txt", "dataset_sha256": "ab" * 32, "context": 100, "seed": 0, "example": 0}
        defaults |= {"padding": 1, "layer": 1, "head": 2, "kv_head": 1, "n_steps": 4, "steps": (first, second)}
        return AttentionMap(**{**self.stamp, **defaults, **fields})

    def end(self, **fields: Any) -> End:
        return End(**{**self.stamp, "outcome": "complete", "n_measured": 2, "n_missing": 0, "elapsed_s": 9.5, **fields})


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def shape() -> AttentionShape:
    return SHAPE


@pytest.fixture
def config() -> SparqConfig:
    return CONFIG


@pytest.fixture
def every_kind(lines: Lines) -> list[Any]:
    """One line of each kind, and each status of a measurement."""
    return [
        lines.run(),
        lines.ceilings(),
        lines.calibration(),
        lines.measurement(config=CONFIG, predicted=(1e-3, 2e-3, 3e-3), max_error=1e-7, error_tolerance=1e-4),
        lines.measurement(status="invalid", reasons=("noisy",), read_bandwidth_bytes_per_s=9e9),
        lines.measurement(status="failed", reasons=("out of memory",)),
        lines.energy(),
        lines.energy(absence=Absence(kind="mig", detail="a slice")),
        lines.step_profile(),
        lines.dram(),
        lines.counted(),
        lines.counted(architecture=None, steps=(), absence=Absence(kind="not_asked", detail="too large")),
        lines.imported(),
        lines.fidelity(),
        lines.fidelity(config=None, transfer_ratio=None, layers=()),
        lines.attention_map(),
        lines.end(),
    ]


@pytest.fixture
def one_line() -> Callable[[BaseException], str]:
    """The message of an error, which must be one line."""

    def _one_line(error: BaseException) -> str:
        message = str(error)
        assert len(message.splitlines()) == 1
        return message

    return _one_line


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless browser that reaches nothing but this machine; what a test emulates, the next one must set anew."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if browser is None or chromedriver is None:
        missing = "Chromium (chromium)" if browser is None else "its driver (chromium-driver)"
        pytest.skip(f"{missing} is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*CHROMIUM_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(chromedriver, log_output=os.devnull))
    started.set_script_timeout(60)
    yield started
    started.quit()
