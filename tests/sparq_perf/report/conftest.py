"""Record lines of runs that never happened: built from the schema, to test a report without measuring."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from sparq_perf.records.dram import DramKernel, DramReading, Rung
from sparq_perf.records.gpu_state import GpuState
from sparq_perf.records.reading import Absence, Reading
from sparq_perf.records.schema import (
    CalibrationLine,
    CalibrationPoint,
    CeilingsLine,
    Counted,
    CountedBytes,
    Dram,
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
    StepProfile,
    Subject,
)
from sparq_perf.records.telemetry import Telemetry
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
# Order statistics that bound the median of 15 samples with 95 % confidence.
N_SAMPLES, LOW_RANK, HIGH_RANK = 15, 3, 11


class Records:
    """Builds lines; ``text`` decorates every free-text field, for hostile strings.

    True times follow a machine of 20 GB/s (60 GB/s from its cache); the prediction believes in 21 GB/s and
    cheaper parallel regions, so that it errs by a few per cent.
    """

    slowdowns: ClassVar = {"dense-cpu": 1.04, "dense-sdpa": 1.2, "sparq-cpu": 1.06, "sparq-torch": 3.4}

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
        model = TimeModel(
            1e-4, 4.0, 20e-6, 1.08, 1.4, 2e-10, 0.1, 5e-6, 1e-9, left_out_error=0.06, n_points=len(points)
        )
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
        **more: Any,
    ) -> Measurement:
        """A measurement; ``time_s``, ``interval`` and ``predicted_s`` are by hand, or follow the machine."""
        slowdown = self.slowdowns[implementation]
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
            prediction=prediction,
            **timed,
            **more,
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


NOT_WATCHED = Absence(kind="not_asked", detail="the suite does not ask for it here")
NO_DRIVER = Absence(kind="driver_missing", detail="libnvidia-ml.so.1 was not found on this machine")
# What the kernels of a step are called, and how many of them a call launches.
KERNELS = {
    "attend": (("_attend", 1), ("_merge", 1)),
    "score": (("_score", 1),),
    "select": (("_select", 1), ("void cub::DeviceRadixSort<float, long, 256>(float const*, long)", 3)),
    "gather": (("_gather", 1),),
}


class GpuRecords(Records):
    """The same of a GPU of 3.2 TB/s, with the lines of every instrument; numbers by hand where a test needs them."""

    slowdowns: ClassVar = {"dense-triton": 1.08, "dense-sdpa-flash": 1.2, "sparq-triton": 1.15, "sparq-torch": 9.0}

    def run(self, *, resumed: bool = False, device: str = "NVIDIA H100 80GB HBM3", n_planned: int = 40) -> Run:
        run = super().run(resumed=resumed, device=device, n_planned=n_planned)
        gpu = Gpu(
            uuid=self.named("GPU-1234"),
            driver="580.65",
            compute_capability="9.0",
            n_multiprocessors=132,
            memory_bytes=80e9,
            l2_bytes=50e6,
            cuda="13.0",
            host=self.named("Example EPYC 7000"),
        )
        instruments = (
            Instrument(name="nvml", available=True, detail=self.named("driver 580.65, GPU-1234")),
            Instrument(name="torch.profiler", available=True, detail="kernels' time per step"),
            Instrument(name="dram_counters", available=True, detail=self.named("ncu 2025.1")),
        )
        given = {"device_kind": "gpu", "gpu": gpu, "gpu_state": self.gpu_state(), "instruments": instruments}
        passes = tuple(
            PlannedPass(name=name, made=True) for name in ("correctness", "timing", "nvml", "profile", "counters")
        )
        counted = PlannedPass(name="counted", made=False, reason=self.named("skipped, as asked on the command line"))
        environment = Environment(**{**_fields(run.environment), **given})
        return Run(**{**_fields(run), "environment": environment, "passes": (*passes, counted)})

    def gpu_state(self, **fields: Reading[Any]) -> GpuState:
        no_margin = Absence(kind="not_supported", detail=self.named("this driver has no such field"))
        values = {
            "power_instant_w": 92.4,
            "power_limit_w": 700.0,
            "energy_counter_j": 1.5e6,
            "sm_clock_hz": 1.98e9,
            "memory_clock_hz": 2.619e9,
            "sm_clock_max_hz": 1.98e9,
            "memory_clock_max_hz": 2.619e9,
            "temperature_c": 41.0,
            "gpu_utilisation": 0.0,
            "memory_used_bytes": 602 * 2**20,
            "slowdowns": (),
            "power_violation_s": 12.5,
            "thermal_violation_s": 0.0,
            "ecc_enabled": True,
            "ecc_corrected": 0,
            "ecc_uncorrected": 0,
            "mig_enabled": False,
        }
        readings = {name: Reading.of(value) for name, value in values.items()}
        untold = dict.fromkeys(GpuState.model_fields.keys() - values.keys(), Reading(absence=no_margin))
        return GpuState.model_validate({**untold, **readings, **fields})

    def predict(
        self, shape: AttentionShape, config: SparqConfig | None, slowdown: float, *, true: bool, cached: bool
    ) -> TimePrediction:
        bandwidth = (9e12 if cached else 3.2e12) * (1 if true else 1.05)
        launch_s = 3e-6 * (1 if true else 0.9)
        ceilings = Ceilings(bandwidth / slowdown, 900e12, launch_s, 32, (0.85, 1), (0.5, 0.8), (0.8, 1), "calibrated")
        traffic = dense_traffic(shape) if config is None else sparq_traffic(shape, config)
        return predict_time(traffic.without(["append"]), ceilings)

    def hardware(self, bandwidth: float = 3.2e12) -> HardwareProfile:
        given: dict[str, Any] = {
            "peak_flop_per_s": {"float16": Quantity(value=900e12, kind="measured", source="a test")}
        }
        hardware = super().hardware(bandwidth)
        rates = ((20, 2.1e12), (24, 6.8e12), (25, 6.5e12), (27, 3.6e12), (29, 3.25e12), (31, bandwidth))
        given["bandwidth_by_footprint"] = tuple(
            FootprintBandwidth(footprint_bytes=2**power, read_bandwidth_bytes_per_s=rate) for power, rate in rates
        )
        return HardwareProfile.model_validate({**_fields(hardware), **given, "name": "h100", "kind": "gpu"})

    def about(self, subject: Subject) -> dict[str, Any]:
        """What a pass's line repeats of the measurement that it is about."""
        names = ("key", "model", "shape", "config", "cache_state", "implementation")
        return {**self._stamp(), **{name: getattr(subject, name) for name in names}}

    def telemetry(
        self,
        times_s: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0),
        *,
        slowdowns: Sequence[tuple[str, ...]] | None = None,
        **series: Sequence[float | None],
    ) -> Telemetry:
        """Power now and the SM clock unless given; everything else is not supported."""
        level = series or dict.fromkeys(("power_instant_w", "sm_clock_hz"), (400.0,) * len(times_s))
        unsupported = Absence(kind="not_supported", detail=self.named("this GPU has no such sensor"))
        names = ("power_instant_w", "power_average_w", "sm_clock_hz", "memory_clock_hz", "temperature_c")
        names = (*names, "temperature_margin_c", "gpu_utilisation", "energy_counter_j")
        return Telemetry(
            began=self.clock,
            interval_s=0.05,
            times_s=tuple(times_s),
            series={name: tuple(column) for name, column in level.items()},
            slowdowns=tuple(slowdowns or ((),) * len(times_s)),
            absences={name: unsupported for name in names if name not in level},
        )

    def energy(self, subject: Subject, counter_j: float | None, integral_j: float | None = None, **more: Any) -> Energy:
        """One loop; a counter or an integral that is not given did not change."""
        unchanged = Absence(kind="no_change", detail=self.named("the counter did not rise in 2.2 s"))

        def reading(value: float | None) -> Reading[float]:
            return Reading(absence=unchanged) if value is None else Reading.of(value)

        found = {
            "n_calls": 1000,
            "elapsed_s": 2.5,
            "caches": subject.cache_state,
            "counter_j": reading(counter_j),
            "integral_j": reading(integral_j),
            "power_source": "power_instant_w" if integral_j is not None else None,
            "idle_power_w": Reading.of(68.0),
            "power_w": Reading.of(400.0),
            "sm_clock_hz": Reading.of(1.755e9),
        }
        return Energy(**self.about(subject), **{**found, **more})

    def no_energy(self, subject: Subject, why: Absence = NOT_WATCHED) -> Energy:
        readings = ("counter_j", "integral_j", "idle_power_w", "power_w", "sm_clock_hz")
        return Energy(**self.about(subject), **dict.fromkeys(readings, Reading(absence=why)))

    def loop(self, measurement: Measurement, *, held: bool = False) -> Energy:
        """A realistic loop with its telemetry, throttled in the second half where asked."""
        times_s = [0.0, *(0.052 * i + self.random.uniform(0, 0.004) for i in range(1, 43))]
        high = 640.0 if measurement.config is None else 430.0
        power = [min(690.0, high * (1 - 0.75 * 0.6**i) * self.random.uniform(0.985, 1.015)) for i in range(43)]
        causes: list[tuple[str, ...]] = [
            (self.named("software power cap"),) if held and 20 <= i < 34 else () for i in range(43)
        ]
        clock = [1.62e9 if cause else 1.98e9 - 15e6 * self.random.randrange(3) for cause in causes]
        telemetry = self.telemetry(
            times_s,
            slowdowns=causes,
            power_instant_w=power,
            power_average_w=[92 + (high - 92) * min(1, t / 1.1) for t in times_s],
            sm_clock_hz=clock,
            temperature_c=[float(round(41 + 9 * min(1, t / 1.8))) for t in times_s],
        )
        assert measurement.median_s is not None
        step_j = high * measurement.median_s
        return self.energy(
            measurement,
            step_j,
            step_j * 0.97,
            n_calls=round(2.2 / measurement.median_s),
            elapsed_s=2.21,
            caches="warm" if measurement.shape.kv_bytes < 100e6 else "cold",
            power_w=Reading.of(high * 0.98),
            throttled_s={self.named("software power cap"): 0.73} if held else {},
            telemetry=telemetry,
        )

    def dram(self, subject: Subject, kernels: Sequence[tuple[str, str | None, float, float]]) -> Dram:
        """By ncu, from (name, step, read_bytes, write_bytes) of each kernel."""
        told = tuple(DramKernel(name=n, step=s, launches=1, read_bytes=r, write_bytes=w) for n, s, r, w in kernels)
        reads, writes = sum(k.read_bytes for k in told), sum(k.write_bytes for k in told)
        rungs = (Rung(name="ncu", used=True, detail=self.named("ncu 2025.1")), Rung(name="cupti"), Rung(name="gpm"))
        reading = DramReading.measured(
            "ncu", total_bytes=reads + writes, read_bytes=reads, write_bytes=writes, kernels=told, rungs=rungs
        )
        return Dram(**self.about(subject), dram=reading)

    def dram_total(self, subject: Subject, total_bytes: float) -> Dram:
        """By GPM, for ncu may not."""
        refused = Absence(kind="no_permission", detail=self.named("ERR_NVGPUCTRPERM"))
        cupti = Absence(kind="library_missing", detail="cupti-python is not installed")
        rungs = (Rung(name="ncu", absence=refused), Rung(name="cupti", absence=cupti), Rung(name="gpm", used=True))
        return Dram(**self.about(subject), dram=DramReading.measured("gpm", total_bytes=total_bytes, rungs=rungs))

    def no_dram(self, subject: Subject, why: Absence = NOT_WATCHED) -> Dram:
        rungs = tuple(Rung(name=name, absence=why) for name in ("ncu", "cupti", "gpm"))
        return Dram(**self.about(subject), dram=DramReading.missing(rungs))

    def counted(self, subject: Subject, steps: Sequence[tuple[str, float, float]]) -> Counted:
        """From (step, counted_bytes, analytic_bytes); sectors are a tenth more, requests twice as many."""
        told = tuple(
            CountedBytes(
                step=self.named(name) if name not in KERNELS else name,
                counted_bytes=own,
                analytic_bytes=stated,
                sector_bytes=1.1 * own,
                requested_bytes=2.2 * own,
            )
            for name, own, stated in steps
        )
        return Counted(**self.about(subject), architecture="sm_90", steps=told)

    def not_counted(self, subject: Subject, detail: str) -> Counted:
        return Counted(**self.about(subject), absence=Absence(kind="not_asked", detail=self.named(detail)))

    def kernel_profile(self, measurement: Measurement) -> StepProfile:
        """Each step by its kernels, a fill outside all of them, and gaps of 2 µs between any two."""
        assert measurement.prediction is not None
        kernels = [ProfiledKernel(name=self.named("fill"), step=None, launches=1, time_s=1.2e-6)]
        steps = []
        for step in measurement.prediction.steps:
            named = KERNELS.get(step.name, ((f"_{step.name}", 1),))
            time_s = step.time_s * self.random.uniform(1.02, 1.2)
            launches = sum(n for _, n in named)
            for name, n in named:
                share_s = time_s * n / launches
                kernels.append(ProfiledKernel(name=self.named(name), step=step.name, launches=n, time_s=share_s))
            steps.append(ProfiledStep(name=step.name, time_s=time_s, launches=launches, predicted_s=step.time_s))
        total_s = sum(kernel.time_s for kernel in kernels)
        span_s = total_s + 2e-6 * (sum(kernel.launches for kernel in kernels) - 1)
        return StepProfile(
            **self.about(measurement),
            iterations=5,
            total_s=total_s,
            span_s=span_s,
            steps=tuple(steps),
            kernels=tuple(kernels),
        )

    def instrumented(self, measurement: Measurement, *, watched: bool, held: bool = False) -> list[Line]:
        """What every pass after timing writes about one measurement."""
        assert measurement.prediction is not None
        steps = measurement.prediction.steps
        megabytes = f"{measurement.shape.kv_bytes / 1e6:,.0f}"
        lines: list[Line] = [self.kernel_profile(measurement)]
        if measurement.shape.kv_bytes <= 40e6:
            counts = [(s.name, s.read_bytes + s.write_bytes, (s.read_bytes + s.write_bytes) * 1.002) for s in steps]
            lines.append(self.counted(measurement, counts))
        else:
            slow = f"the KV cache takes {megabytes} MB and the interpreter a few MB a second"
            lines.append(self.not_counted(measurement, slow))
        if not watched:
            return [*lines, self.no_energy(measurement), self.no_dram(measurement)]
        kernels: list[tuple[str, str | None, float, float]] = [
            (f"_{s.name}", s.name, s.read_bytes * 1.03 + 2e5, s.write_bytes * 0.4) for s in steps
        ]
        fill = (self.named("void at::native::vectorized_elementwise_kernel<4, FillFunctor<float>>"), None, 0.0, 4e4)
        return [*lines, self.loop(measurement, held=held), self.dram(measurement, [*kernels, fill])]

    def gpu_run(self) -> list[Line]:
        """Three shapes, of which the largest is watched; a throttled measurement, and an invalid one."""
        lines: list[Line] = [self.run(), self.ceilings("start", 3.2e12)]
        lines += [self.calibration(name) for name in self.slowdowns]
        for model, batch, seq_len in (("llama-2-7b", 16, 4096), ("llama-3-8b", 1, 8192), ("llama-3-8b", 16, 32768)):
            shape = AttentionShape(batch, seq_len, *MODELS[model], "float16")
            contenders: list[tuple[str, SparqConfig | None]] = [("dense-triton", None), ("dense-sdpa-flash", None)]
            contenders += [("sparq-triton", config) for config in CONFIGS]
            contenders.append(("sparq-torch", CONFIGS[1]))
            for name, config in contenders:
                held = name == "dense-sdpa-flash" and batch == 16
                throttled = {"n_throttled": 4, "slowdowns": {self.named("software power cap"): 0.25}} if held else {}
                measured = self.measurement(name, shape, config, model=model, n_buffers=4, **throttled)
                lines.append(measured)
                lines += self.instrumented(measured, watched=batch == 16, held=held)
        shape = AttentionShape(64, 131072, *MODELS["llama-3-8b"], "float16")
        lines.append(
            self.measurement("dense-triton", shape, status="failed", predict=False, reasons=("out of memory",))
        )
        return [*lines, self.ceilings("end", 3.19e12), self.end()]


def _fields(model: Any) -> dict[str, Any]:
    """Of a record, as it was built."""
    return {name: getattr(model, name) for name in type(model).model_fields}


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def hostile_records() -> Records:
    return Records(HOSTILE)


@pytest.fixture
def gpu() -> GpuRecords:
    return GpuRecords()


@pytest.fixture
def hostile_gpu() -> GpuRecords:
    return GpuRecords(HOSTILE)
