"""What NVML sampled while energy was measured: counters, what held the clock down, and the loops themselves."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from sparq_perf.records.schema import Energy, Line
from sparq_perf.records.telemetry import SeriesName, Telemetry
from sparq_perf.timeline.naming import configuration, short_name
from sparq_perf.timeline.spans import Counter, Process, Span, Track, moment_ns, to_ns

# Perfetto draws the last value on until the next loop, and no event says that a counter ended.
PROCESS = "NVML, sampled in energy loops only"

# Of each series: the counter's name, its unit and how many of them make an SI unit.
COUNTERS: dict[SeriesName, tuple[str, str, float]] = {
    "power_instant_w": ("power, instant", "W", 1.0),
    "power_average_w": ("power, averaged by the GPU", "W", 1.0),
    "sm_clock_hz": ("SM clock", "MHz", 1e-6),
    "memory_clock_hz": ("memory clock", "MHz", 1e-6),
    "temperature_c": ("temperature", "°C", 1.0),
    "gpu_utilisation": ("GPU utilisation", "%", 100.0),
}


def energy_loops(lines: Sequence[Line]) -> list[tuple[Energy, Telemetry]]:
    """Those that were sampled at least once."""
    loops = [(line, line.telemetry) for line in lines if isinstance(line, Energy)]
    return [(line, telemetry) for line, telemetry in loops if telemetry is not None and telemetry.times_s]


def shown_series(telemetry: Telemetry) -> list[SeriesName]:
    """Those that get a counter, absent or not: power as it is now, or averaged where only that was told."""
    left_out = "power_average_w" if "power_instant_w" in telemetry.series else None
    return [series for series in COUNTERS if series != left_out]


def nvml_process(lines: Sequence[Line]) -> Process | None:
    """Loops, throttling and counters; None where nothing was sampled."""
    loops = energy_loops(lines)
    if not loops:
        return None
    causes: dict[str, list[Span]] = {}
    for _, telemetry in loops:
        for span in _throttling(telemetry):
            causes.setdefault(span.name, []).append(span)
    tracks = [Track("energy loops", tuple(_loop(line, telemetry) for line, telemetry in loops))]
    tracks += [Track(f"throttled: {cause}", tuple(spans)) for cause, spans in causes.items()]
    return Process(PROCESS, tuple(tracks), tuple(_counters([telemetry for _, telemetry in loops])))


def _loop(line: Energy, telemetry: Telemetry) -> Span:
    args = {
        "energy_per_step_j": line.energy_j,
        "mean_power_w": line.power_w.value,
        "mean_sm_clock_hz": line.sm_clock_hz.value,
        **{f"held down by {cause}, s": time_s for cause, time_s in line.throttled_s.items()},
        "n_calls": line.n_calls,
        "elapsed_s": line.elapsed_s,
        "caches_found": line.caches,
        **configuration(line),
    }
    lasted_s = max(line.elapsed_s, telemetry.times_s[-1])
    return Span(f"energy {short_name(line)}", moment_ns(telemetry.began), to_ns(lasted_s), args)


def _throttling(telemetry: Telemetry) -> Iterator[Span]:
    """A span for each unbroken row of samples that name a cause.

    A sample speaks for the time since the one before; the first speaks for its moment only.
    """
    began_ns, times_s = moment_ns(telemetry.began), telemetry.times_s
    for cause in dict.fromkeys(cause for causes in telemetry.slowdowns for cause in causes):
        named = [cause in causes for causes in telemetry.slowdowns]
        # Where the row of equal answers changes: from its sample before, to its last sample.
        edges = [0, *(i for i, (a, b) in enumerate(pairwise(named), start=1) if a != b), len(named)]
        for first, after in pairwise(edges):
            if named[first]:
                start_ns, end_ns = to_ns(times_s[max(first - 1, 0)]), to_ns(times_s[after - 1])
                yield Span(cause, began_ns + start_ns, end_ns - start_ns, {"samples": after - first})


def _counters(telemetries: list[Telemetry]) -> Iterator[Counter]:
    """Of all loops together; a refused sample is left out."""
    for series, (name, unit, per_si) in COUNTERS.items():
        samples = [
            (moment_ns(telemetry.began) + to_ns(time_s), round(value * per_si, 6))
            for telemetry in telemetries
            if series in shown_series(telemetry)
            for time_s, value in zip(telemetry.times_s, telemetry.series.get(series, ()), strict=False)
            if value is not None
        ]
        if samples:
            yield Counter(name, unit, tuple(samples))
