"""How much the timing loop adds to a kernel of 100 µs, with every other pass off. Prints the numbers.

The kernel spins for 100 µs of the host's clock and notes when it began and ended, so that each sample can be held
against the very call that it is of.
"""

from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

from sparq_kernels.registry import IMPLEMENTATIONS, Implementation
from sparq_perf.measure.contenders import Contender
from sparq_perf.measure.cpu_machine import CpuMachine
from sparq_perf.measure.inputs import build_cache
from sparq_perf.measure.stopping import StoppingRule
from sparq_perf.measure.timing import Rounds
from sparq_profiles import AttentionShape

KERNEL_S = 100e-6
SAMPLES = 2000
RUNS = 5
SHAPE = AttentionShape(1, 512, 4, 2, 64, "float32")


@dataclass(frozen=True, slots=True)
class Spin(Implementation):
    """A kernel whose duration is known."""

    def kernel(self) -> Any:
        return spin


own_s: list[float] = []


def spin(q: Any, cache: Any) -> Any:
    began = perf_counter()
    while (now := perf_counter()) - began < KERNEL_S:
        pass
    own_s.append(now - began)
    return q


def added_s(machine: CpuMachine, cache_state: Any) -> tuple[float, float]:
    """Median over the samples of what each has beyond its kernel's own time, and the median sample, seconds."""
    cache = build_cache(SHAPE, "two_copies", 0)
    rounds = Rounds(machine, cache, SHAPE, cache_state, 1)
    # Noise never satisfies this rule: it ends after so many samples' time.
    rule = StoppingRule(target_noise=1.0, minimum_samples=SAMPLES, minimum_time_s=0.0, timeout_s=60.0)
    own_s.clear()
    (timing,) = rounds.time([Contender("spin", None)], lambda: rule)
    samples = timing.samples_s
    # One call before each sample warms the caches, or the code after a flush; the sampled call is every second one.
    kernels = own_s[-2 * len(samples) + 1 :: 2]
    return median(sample - kernel for sample, kernel in zip(samples, kernels, strict=True)), median(samples)


def main() -> None:
    IMPLEMENTATIONS["spin"] = Spin("spin", sparse=False, devices=("cpu",), dtypes=("float32",))
    machine = CpuMachine(1)
    runs = [added_s(machine, "warm") for _ in range(RUNS)]
    added = sorted(each for each, _ in runs)
    print(f"{RUNS} runs of {SAMPLES} samples of a {KERNEL_S * 1e6:.0f} µs kernel, passes off")
    print(f"median sample       {median(s for _, s in runs) * 1e6:8.2f} µs")
    print(f"added by the loop   {median(added) * 1e6:8.2f} µs  [{added[0] * 1e6:.2f}, {added[-1] * 1e6:.2f}]")
    print(f"share of the kernel {median(added) / KERNEL_S:8.2%}     (asked: below 1 %)")


if __name__ == "__main__":
    main()
