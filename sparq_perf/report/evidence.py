"""What could be measured on this machine: the passes as planned, and the instruments that were asked."""

from dataclasses import dataclass

from sparq_perf.records.schema import Instrument, Line, PassName, Run

_MEANING: dict[PassName, str] = {
    "correctness": "every implementation against the float64 reference",
    "timing": "latencies, with nothing attached",
    "nvml": "energy, power and clocks, in loops of some seconds",
    "profile": "time and launches per step and kernel, under torch.profiler",
    "counters": "DRAM bytes, by the device's counters",
    "counted": "bytes that the kernels' code accesses, counted in an interpreter",
}


@dataclass(frozen=True, slots=True)
class PassFact:
    """One pass of the plan; ``reason`` says why it was not made, None where it was."""

    name: str
    meaning: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The last run's plan and instruments; empty where the records do not say.

    Attributes:
        n_runs: runs and resumptions; those before the last may have planned otherwise.
    """

    n_runs: int
    passes: tuple[PassFact, ...]
    instruments: tuple[Instrument, ...]


def build_evidence(lines: list[Line]) -> Evidence:
    """What the last run or resumption planned and asked."""
    runs = [line for line in lines if isinstance(line, Run)]
    if not runs:
        return Evidence(0, (), ())
    passes = tuple(PassFact(p.name, _MEANING[p.name], p.reason) for p in runs[-1].passes)
    return Evidence(len(runs), passes, runs[-1].environment.instruments)
