"""Record lines of GPU runs that never happened: a small one in round numbers, and one like a customer's."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sparq_perf.records.reading import Absence, Reading
from sparq_perf.records.schema import (
    CalibrationLine,
    End,
    Energy,
    Environment,
    Gpu,
    Instrument,
    Line,
    Measurement,
    PlannedPass,
    ProfiledKernel,
    ProfiledStep,
    Run,
    Slice,
    StepProfile,
)
from sparq_perf.records.telemetry import SERIES, Telemetry
from sparq_profiles import AttentionShape, SparqConfig
from sparq_roofline.calibration import TimeModel
from sparq_roofline.interval import Interval
from sparq_roofline.prediction import StepTime, TimePrediction

BEGAN = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
CONFIG = SparqConfig(32, 128, 32)
NOT_READ = Absence(kind="not_supported", detail="this test's GPU does not tell")
MICRO = 1e-6

# (name, step, start and duration in µs)
Piece = tuple[str, str | None, float, float]


def shape(seq_len: int, batch: int = 64) -> AttentionShape:
    return AttentionShape(batch, seq_len, 32, 8, 128, "float16")


class GpuRun:
    """Builds lines, each ``at`` so many seconds after the run began; ``text`` decorates every free text."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    def named(self, name: str) -> str:
        return f"{name} {self.text}" if self.text else name

    def stamp(self, at: float) -> dict[str, Any]:
        return {"run_id": "run-1", "time": self.moment(at)}

    def moment(self, at: float) -> datetime:
        return BEGAN + timedelta(microseconds=round(at * 1e6))

    def environment(self, kind: str = "gpu", instruments: Sequence[Instrument] = ()) -> Environment:
        gpu = Gpu(
            uuid="GPU-0",
            driver="580.1",
            compute_capability="9.0",
            n_multiprocessors=132,
            memory_bytes=80e9,
            l2_bytes=50e6,
            cuda="13.0",
            host="Example EPYC",
        )
        refused = Instrument(name="dram_counters", available=False, reason="no permission: counters are for root")
        return Environment(
            device=self.named("NVIDIA H100 80GB HBM3" if kind == "gpu" else "Example EPYC 7000"),
            device_kind=kind,
            n_cores=16,
            n_threads=16,
            memory_bytes=128e9,
            load_average=0.2,
            operating_system="Linux 6.1",
            python="3.11.9",
            versions={"torch": "2.9.0"},
            commit=None,
            instruments=tuple(instruments) or (Instrument(name="nvml", available=True), refused),
            gpu=gpu if kind == "gpu" else None,
        )

    def run(self, at: float = 0.0, **fields: Any) -> Run:
        defaults: dict[str, Any] = {
            "package_version": "0.1.0",
            "suite": "gpu",
            "suite_title": "GPU",
            "suite_sha256": "ab" * 32,
            "n_planned": 2,
            "resumed": False,
            "command": ("sparq-perf", "run"),
            "environment": self.environment(),
            "passes": (
                PlannedPass(name="timing", made=True),
                PlannedPass(name="counters", made=False, reason="no permission: counters are for root"),
            ),
        }
        return Run(**{**self.stamp(at), **defaults, **fields})

    def calibration(self, at: float, implementation: str) -> CalibrationLine:
        model = TimeModel(
            host_s=1e-5,
            overlap=3.0,
            launch_s=1e-6,
            stream_slowdown=1.25,
            gather_slowdown=2.0,
            element_s=1e-12,
            compute_share=0.5,
            piece_s=1e-9,
            position_s=1e-11,
            left_out_error=0.04,
            n_points=11,
            ranges={},
        )
        return CalibrationLine(**self.stamp(at), implementation=implementation, model=model, points=())

    def subject(self, config: SparqConfig | None, seq_len: int, state: str = "cold") -> dict[str, Any]:
        implementation = "dense-triton" if config is None else "sparq-triton"
        return {
            "key": f"{implementation}-{seq_len}-{state}",
            "model": self.named("llama-3-8b"),
            "shape": shape(seq_len),
            "config": config,
            "cache_state": state,
            "implementation": self.named(implementation),
        }

    def prediction(self, steps: Sequence[tuple[str, float, str]]) -> TimePrediction:
        times = tuple(StepTime(self.named(name), us * MICRO, 1e9, 1e6, 1e9, bound) for name, us, bound in steps)
        whole = sum(step.time_s for step in times)
        return TimePrediction(1e9, 1e6, 1e9, Interval(whole / 2, whole, whole * 2), "memory", "calibrated", times)

    def measurement(
        self, at: float, config: SparqConfig | None, seq_len: int, us: float, steps: Sequence[tuple[str, float, str]]
    ) -> Measurement:
        median = us * MICRO
        return Measurement(
            **self.stamp(at),
            **self.subject(config, seq_len),
            status="ok",
            samples_s=(median * 0.99, median, median * 1.01),
            median_ci_s=(median * 0.99, median * 1.01),
            relative_noise=0.01,
            stop_reason="noise",
            timer="cuda_graph",
            prediction=self.prediction(steps) if steps else None,
        )

    def profile(
        self,
        at: float,
        began: float,
        config: SparqConfig | None,
        seq_len: int,
        pieces: Sequence[Piece],
        predicted: dict[str, float] | None = None,
        **fields: Any,
    ) -> StepProfile:
        """Every call took as long as the one that is shown; ``predicted`` in µs."""
        times: dict[str, float] = {}
        for _, step, _, us in pieces:
            if step is not None:
                times[step] = times.get(step, 0.0) + us * MICRO
        defaults: dict[str, Any] = {
            "iterations": 5,
            "total_s": sum(us for _, _, _, us in pieces) * MICRO or 1.0,
            "span_s": max((start + us for _, _, start, us in pieces), default=1e6) * MICRO,
            "steps": tuple(
                ProfiledStep(
                    name=self.named(step),
                    time_s=time_s,
                    launches=1,
                    predicted_s=predicted[step] * MICRO if predicted and step in predicted else None,
                )
                for step, time_s in times.items()
            ),
            "kernels": tuple(
                ProfiledKernel(name=self.named(name), step=step and self.named(step), launches=1, time_s=us * MICRO)
                for name, step, _, us in pieces
            ),
            "began": self.moment(began),
            "call": tuple(
                Slice(name=self.named(n), step=s and self.named(s), start_s=start * MICRO, duration_s=us * MICRO)
                for n, s, start, us in pieces
            ),
        }
        return StepProfile(**{**self.stamp(at), **self.subject(config, seq_len), **defaults, **fields})

    def telemetry(
        self, began: float, times_s: Sequence[float], slowdowns: Sequence[tuple[str, ...]] | None = None, **series: Any
    ) -> Telemetry:
        """Series that are not given are absent."""
        return Telemetry(
            began=self.moment(began),
            interval_s=0.05,
            times_s=tuple(times_s),
            series={name: tuple(column) for name, column in series.items()},
            slowdowns=tuple(slowdowns or [()] * len(times_s)),
            absences={name: NOT_READ for name in SERIES if name not in series},
        )

    def energy(
        self, at: float, config: SparqConfig | None, seq_len: int, telemetry: Telemetry | None, **fields: Any
    ) -> Energy:
        looped: dict[str, Any] = {"n_calls": 100, "elapsed_s": 0.2, "caches": "cold"} if telemetry else {}
        value: Reading[float] = Reading(value=0.5) if telemetry else Reading(absence=NOT_READ)
        readings = dict.fromkeys(("counter_j", "integral_j", "idle_power_w", "power_w", "sm_clock_hz"), value)
        given = {**looped, **readings, "telemetry": telemetry, **fields}
        return Energy(**self.stamp(at), **self.subject(config, seq_len), **given)

    def end(self, at: float) -> End:
        return End(**self.stamp(at), outcome="complete", n_measured=2, n_missing=0, elapsed_s=at)

    def small(self) -> list[Line]:
        """Dense and SparQ at 4,096 tokens; the SparQ call has a copy beside its first two kernels."""
        attend = [("attend", 400.0, "memory")]
        steps = [("score", 9.0, "memory"), ("select", 5.0, "latency"), ("gather", 12.0, "memory")]
        pieces: list[Piece] = [
            ("score", "score", 0.0, 10.125),
            ("Memcpy DtoD", None, 8.0, 4.0),
            ("select", "select", 10.125, 4.125),
            ("attend", "gather", 20.5, 10.75),
        ]
        telemetry = self.telemetry(
            17.5,
            (0.0, 0.05, 0.1, 0.15, 0.2),
            ((), (), ("software power cap",), ("software power cap",), ()),
            power_instant_w=(310.0, 412.5, 455.0, None, 448.0),
            power_average_w=(300.0, 300.0, 310.0, 320.0, 330.0),
            sm_clock_hz=(1.98e9, 1.98e9, 1.755e9, 1.74e9, 1.74e9),
            memory_clock_hz=(2.619e9,) * 5,
            temperature_c=(41.0, 42.0, 43.0, 43.0, 44.0),
            gpu_utilisation=(0.0, 0.5, 1.0, 1.0, 1.0),
        )
        return [
            self.run(),
            self.calibration(10.0, "sparq-triton"),
            self.measurement(14.0, None, 4096, 410.0, attend),
            self.measurement(14.5, CONFIG, 4096, 32.5, steps),
            self.energy(17.0, None, 4096, None),
            self.energy(20.0, CONFIG, 4096, telemetry),
            self.profile(20.5, 20.2, None, 4096, [("attend", "attend", 0.0, 395.0)]),
            self.profile(21.0, 20.7, CONFIG, 4096, pieces),
            self.end(22.0),
        ]

    def realistic(self, seed: int = 7) -> list[Line]:
        """Some lengths, dense and SparQ cold, with noise: like a run of the GPU suite."""
        noise, now = random.Random(seed), 24.0
        made: list[Line] = [self.run(), self.calibration(now, "dense-triton"), self.calibration(now, "sparq-triton")]
        for seq_len in (4096, 8192, 16384, 32768):
            scale = seq_len / 4096
            expected: dict[SparqConfig | None, list[tuple[str, float, str]]] = {
                None: [("attend", 370 * scale, "memory")],
                CONFIG: [
                    ("score", 46 * scale, "memory"),
                    ("select", 9 + 2 * scale, "latency"),
                    ("gather", 26, "memory"),
                ],
            }
            found: dict[SparqConfig | None, list[Piece]] = {}
            for config, steps in expected.items():
                start, pieces = 0.0, []
                for name, us, _ in steps:
                    took = us * noise.uniform(0.95, 1.3)
                    pieces.append((name if name != "gather" else "attend", name, start, took))
                    start += took + noise.uniform(1.0, 2.5)
                found[config] = [*pieces, ("combine_parts", steps[-1][0], start, noise.uniform(3, 4))]
            now += 5.0
            for index, (config, steps) in enumerate(expected.items()):
                us = sum(took for _, _, _, took in found[config])
                made.append(self.measurement(now + index * 0.01, config, seq_len, us, steps))
            for config in expected:
                made.append(self.energy(now + 2.6, config, seq_len, self._sampled(now + 0.3, noise)))
                now += 2.6
            for config in expected:
                made.append(self.profile(now + 0.4, now + 0.3, config, seq_len, found[config]))
                now += 0.4
        return [*made, self.end(now + 3.0)]

    def _sampled(self, began: float, noise: random.Random) -> Telemetry:
        times = [i * 0.05 for i in range(45)]
        capped = [("software power cap",) if 14 < i < 30 else () for i in range(45)]
        return self.telemetry(
            began,
            times,
            capped,
            power_instant_w=[120 + 520 * (1 - 0.75**i) + noise.gauss(0, 6) for i in range(45)],
            sm_clock_hz=[1e6 * round((1755 if held else 1980) + noise.gauss(0, 4)) for held in capped],
            memory_clock_hz=[2.619e9] * 45,
            temperature_c=[41.0 + i // 5 for i in range(45)],
            gpu_utilisation=[0.0, 0.4] + [1.0] * 43,
        )


@pytest.fixture
def gpu_run() -> GpuRun:
    return GpuRun()


@pytest.fixture
def hostile_run() -> GpuRun:
    return GpuRun('<script>alert(1)</script> "q" \\ \t é 🚀 {x}')


@pytest.fixture
def dense() -> None:
    """SparQ's settings of dense attention."""


@pytest.fixture
def config() -> SparqConfig:
    return CONFIG
