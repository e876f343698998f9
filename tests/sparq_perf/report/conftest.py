"""Record lines of runs that never happened: built from the schema, to test a report without measuring."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from sparq_perf.records.schema import (
    CalibrationLine,
    CalibrationPoint,
    CeilingsLine,
    End,
    Environment,
    Instrument,
    Line,
    Measurement,
    ProfiledStep,
    Run,
    StepProfile,
)
from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.hardware import Efficiency, EfficiencyRange, FootprintBandwidth, HardwareProfile
from sparq_profiles.quantity import Quantity
from sparq_profiles.suite import CacheState
from sparq_roofline import dense_traffic, sparq_traffic
from sparq_roofline.calibration import TimeModel
from sparq_roofline.interval import Interval
from sparq_roofline.prediction import Ceilings, TimePrediction, predict_time

BEGIN = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
HOSTILE = '<script>alert(1)</script></script>"onmouseover="alert(2)" \'x\' & <b>bold</b> %{x} 🚀'
CONFIGS = (SparqConfig(16, 64, 16), SparqConfig(32, 128, 32), SparqConfig(64, 256, 64))
MODELS = {"llama-2-7b": (32, 32, 128), "llama-3-8b": (32, 8, 128)}
NO_ENERGY = "NVML: no NVIDIA driver on this machine"
# Order statistics that bound the median of 15 samples with 95 % confidence.
N_SAMPLES, LOW_RANK, HIGH_RANK = 15, 3, 11


class Records:
    """Builds lines; ``text`` decorates every free-text field, for hostile strings.

    True times follow a machine of 20 GB/s (60 GB/s from its cache); the prediction believes in 21 GB/s and
    cheaper parallel regions, so that it errs by a few per cent.
    """

    def __init__(self, text: str = "", seed: int = 7) -> None:
        self.text = text
        self.random = random.Random(seed)
        self.clock = BEGIN

    def named(self, name: str) -> str:
        return f"{name} {self.text}" if self.text else name

    def _stamp(self) -> dict[str, object]:
        self.clock += timedelta(seconds=2)
        return {"run_id": self.named("run-1"), "time": self.clock}

    def run(self, *, resumed: bool = False, device: str = "Example EPYC 7000", n_planned: int = 40) -> Run:
        environment = Environment(
            device=self.named(device),
            device_kind="cpu",
            n_cores=2,
            n_threads=2,
            memory_bytes=8 * 2**30,
            load_average=0.12,
            operating_system=self.named("Linux 6.1"),
            python="3.11.9",
            versions={self.named("torch"): self.named("2.9.0"), "numba": "0.61.0"},
            commit=self.named("0123abc+changes"),
            instruments=(
                Instrument(name="torch.profiler", available=True, detail=self.named("CPU activities")),
                Instrument(name=self.named("nvml"), available=False, reason=self.named("no NVIDIA driver here")),
            ),
        )
        return Run(
            **self._stamp(),
            package_version="0.1.0",
            suite=self.named("standard"),
            suite_title=self.named("Shapes of real models"),
            suite_sha256="ab" * 32,
            n_planned=n_planned,
            resumed=resumed,
            command=("sparq-perf", "run", "--suite", self.named("standard")),
            environment=environment,
        )

    def hardware(self, bandwidth: float = 20e9) -> HardwareProfile:
        source = self.named("read kernel of this program")

        def measured(value: float, note: str | None = None) -> Quantity:
            return Quantity(value=value, kind="measured", source=source, note=note)

        def probed(value: float) -> Quantity:
            return Quantity(value=value, kind="datasheet", source=self.named("/proc/cpuinfo"))

        whole = EfficiencyRange(lower=0.85, expected=1, upper=1, kind="measured", source=source)
        gather = EfficiencyRange(lower=0.5, expected=0.7, upper=0.9, kind="assumed", source=source)
        rates = ((18, 95e9), (20, 88e9), (22, 62e9), (24, 55e9), (26, 26e9), (28, 20.6e9), (30, bandwidth))
        return HardwareProfile(
            name="cpu",
            title=self.named("Example EPYC 7000"),
            kind="cpu",
            vendor="Example",
            memory_bandwidth_bytes_per_s=measured(bandwidth, self.named("1 GiB buffer")),
            memory_bytes=probed(8 * 2**30),
            peak_flop_per_s={"float32": measured(118e9)},
            l2_bytes=probed(2**20),
            llc_bytes=probed(32 * 2**20),
            n_compute_units=probed(2),
            launch_latency_s=measured(20e-6),
            sector_bytes=probed(64),
            efficiency=Efficiency(stream=whole, gather=gather, compute=whole),
            bandwidth_by_footprint=tuple(
                FootprintBandwidth(footprint_bytes=2**power, read_bandwidth_bytes_per_s=rate) for power, rate in rates
            ),
        )

    def ceilings(self, phase: str, bandwidth: float = 20e9) -> CeilingsLine:
        return CeilingsLine(**self._stamp(), phase=phase, hardware=self.hardware(bandwidth))

    def calibration(self, implementation: str) -> CalibrationLine:
        shape = AttentionShape(1, 3000, 32, 32, 128, "float32")
        config = None if implementation.startswith("dense") else CONFIGS[0]
        points = tuple(
            CalibrationPoint(shape=shape, config=config, measured_s=time_s, fitted_s=time_s * 1.03)
            for time_s in (1e-3, 4e-3)
        )
        model = TimeModel(20e-6, 1.08, 1.4, 2e-10, 0.1, 5e-6, relative_residual=0.06, n_points=len(points))
        return CalibrationLine(**self._stamp(), implementation=self.named(implementation), model=model, points=points)

    def predict(
        self, shape: AttentionShape, config: SparqConfig | None, slowdown: float, *, true: bool, cached: bool
    ) -> TimePrediction:
        bandwidth = (60e9 if cached else 20e9) * (1 if true else 1.05)
        # SparQ's parallel regions cost much here, so that it loses at short sequences.
        launch_s = (25e-6 if config is None else 500e-6) * (1 if true else 0.9)
        shares = ((0.85, 1), (0.5, 0.7), (0.8, 1))
        ceilings = Ceilings(bandwidth / slowdown, 118e9, launch_s, 64, *shares, "calibrated")
        traffic = dense_traffic(shape) if config is None else sparq_traffic(shape, config)
        return predict_time(traffic.without(["append"]), ceilings)

    def measurement(
        self,
        implementation: str,
        shape: AttentionShape,
        config: SparqConfig | None = None,
        *,
        model: str = "llama-2-7b",
        cache_state: CacheState = "cold",
        time_s: float | None = None,
        interval: tuple[float, float] | None = None,
        predicted_s: float | None = None,
        predict: bool = True,
        status: str = "ok",
        reasons: Sequence[str] = (),
    ) -> Measurement:
        """A measurement; ``time_s``, ``interval`` and ``predicted_s`` are by hand, or follow the machine."""
        slowdown = {"dense-cpu": 1.04, "dense-sdpa": 1.2, "sparq-cpu": 1.06, "sparq-torch": 3.4}[implementation]
        cached = cache_state == "warm" and shape.kv_bytes <= 24 * 2**20
        prediction = self.predict(shape, config, slowdown, true=False, cached=cached) if predict else None
        if predicted_s is not None and prediction is not None:
            low, high = 0.8 * predicted_s, 1.25 * predicted_s
            prediction = TimePrediction(
                prediction.read_bytes,
                prediction.write_bytes,
                prediction.flops,
                Interval(low, predicted_s, high),
                prediction.bound,
                prediction.evidence,
                prediction.steps,
            )
        timed: dict[str, object] = {}
        if status != "failed":
            centre = time_s or self.predict(shape, config, slowdown, true=True, cached=cached).time_s.expected
            drawn = self.random.lognormvariate(0, 0.04) if time_s is None else 1.0
            samples = [centre * drawn * self.random.lognormvariate(0, 0.015) for _ in range(N_SAMPLES)]
            if time_s is not None:
                samples = [time_s] * N_SAMPLES
            ordered = sorted(samples)
            ends = interval or (ordered[LOW_RANK], ordered[HIGH_RANK])
            middle = ordered[N_SAMPLES // 2]
            timed = {
                "samples_s": tuple(samples),
                "median_ci_s": ends,
                "relative_noise": (ends[1] - ends[0]) / 2 / middle,
                "stop_reason": "noise",
                "timer": "perf_counter",
                "max_error": 3e-7,
                "error_tolerance": 1e-4,
            }
        extra = () if config is None else (config.rank, config.top_k, config.k_layout, config.group_score)
        what = (shape.batch, shape.seq_len, shape.n_heads, shape.n_kv_heads, shape.head_dim, *extra)
        return Measurement(
            **self._stamp(),
            key=f"{model} {cache_state} {implementation} {what}",
            model=self.named(model),
            shape=shape,
            config=config,
            cache_state=cache_state,
            implementation=self.named(implementation),
            status=status,
            reasons=tuple(self.named(reason) for reason in reasons),
            warmups=2,
            energy_reason=self.named(NO_ENERGY),
            prediction=prediction,
            **timed,
        )

    def step_profile(self, measurement: Measurement) -> StepProfile:
        assert measurement.prediction is not None
        steps = tuple(
            ProfiledStep(name=step.name, time_s=step.time_s * self.random.uniform(1.02, 1.2))
            for step in measurement.prediction.steps
        )
        return StepProfile(
            **self._stamp(),
            key=measurement.key,
            model=measurement.model,
            shape=measurement.shape,
            config=measurement.config,
            cache_state=measurement.cache_state,
            implementation=measurement.implementation,
            iterations=20,
            total_s=sum(step.time_s for step in steps) * 1.05,
            steps=steps,
        )

    def end(self, outcome: str = "complete", n_missing: int = 0) -> End:
        return End(**self._stamp(), outcome=outcome, n_measured=40, n_missing=n_missing, elapsed_s=251)

    def opening(self) -> list[Line]:
        """What a run writes before its first measurement."""
        names = ("dense-cpu", "dense-sdpa", "sparq-cpu", "sparq-torch")
        return [self.run(), self.ceilings("start"), *(self.calibration(name) for name in names)]

    def sweep(self, model: str, batches: Sequence[int], seq_lens: Sequence[int], state: CacheState) -> list[Line]:
        """Dense and SparQ over a grid, each by two implementations."""
        heads = MODELS[model]
        lines: list[Line] = []
        for batch in batches:
            for seq_len in seq_lens:
                shape = AttentionShape(batch, seq_len, *heads, "float32")
                if shape.kv_bytes > 4 * 2**30:
                    continue
                for name in ("dense-cpu", "dense-sdpa"):
                    lines.append(self.measurement(name, shape, model=model, cache_state=state))
                for config in CONFIGS:
                    for name in ("sparq-cpu", "sparq-torch"):
                        lines.append(self.measurement(name, shape, config, model=model, cache_state=state))
        return lines

    def whole_run(self) -> list[Line]:
        """A realistic run: two models, cold and warm, noise, an invalid and a failed result, a resumption."""
        lines = self.opening()
        lengths = [2**power for power in range(10, 18)]
        first = self.sweep("llama-2-7b", (1, 4, 16), lengths, "cold")
        third = len(first) // 3
        lines += [*first[:third], self.end("interrupted", 240), self.run(resumed=True), *first[third:]]
        lines += self.sweep("llama-2-7b", (1,), lengths[:5], "warm")
        lines += self.sweep("llama-3-8b", (1, 4), lengths, "cold")
        profiled = [
            line
            for line in lines
            if isinstance(line, Measurement) and line.shape.seq_len in (4096, 65536) and line.shape.batch == 1
        ]
        lines += [self.step_profile(line) for line in profiled]
        noisy = AttentionShape(1, 24576, *MODELS["llama-2-7b"], "float32")
        reasons = ("noise of 9.8 % is over the limit of 5 %",)
        lines.append(self.measurement("dense-cpu", noisy))
        lines.append(self.measurement("sparq-cpu", noisy, CONFIGS[1], status="invalid", reasons=reasons))
        large = AttentionShape(16, 131072, *MODELS["llama-2-7b"], "float32")
        memory = ("out of memory: 96 GiB needed, 8 GiB there",)
        for name, config in (("dense-cpu", None), ("sparq-cpu", CONFIGS[0])):
            lines.append(self.measurement(name, large, config, status="failed", reasons=memory))
        return [*lines, self.ceilings("end", 19.7e9), self.end()]

    def small_run(self) -> list[Line]:
        """The same kinds of lines, but few: quick to draw."""
        lines = self.opening()
        lines += self.sweep("llama-2-7b", (1, 4), (1024, 4096, 16384), "cold")
        lines += self.sweep("llama-2-7b", (1,), (1024, 4096), "warm")
        lines += [self.end("interrupted", 9), self.run(resumed=True)]
        lines += [self.step_profile(line) for line in lines if isinstance(line, Measurement)][:10]
        shape = AttentionShape(4, 65536, *MODELS["llama-2-7b"], "float32")
        lines.append(self.measurement("sparq-cpu", shape, CONFIGS[0], status="invalid", reasons=("too noisy",)))
        lines.append(self.measurement("dense-cpu", shape, status="failed", reasons=("out of memory",)))
        return [*lines, self.ceilings("end", 19.7e9), self.end()]


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def hostile_records() -> Records:
    return Records(HOSTILE)
