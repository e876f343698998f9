"""When a measurement is not to be trusted."""

from sparq_perf.measure.nvml.slowdowns import POWER_CAP
from sparq_perf.measure.timing import Timing
from sparq_perf.records.measurement import NOISY

# A median that is not known to 10 %, or a machine a quarter faster or slower than its ceilings say, proves nothing.
LARGEST_NOISE = 0.10
LARGEST_DRIFT = 0.25
FEWEST_SAMPLES = 6
# A small board lives at its power limit, where the driver trims the clock all the time or for a moment. Samples of such
# rounds are discarded; only a limit that held most of the time says that the rest are another machine's too. After
# heat the clock creeps back, so that the rounds around it are not far from it.
LARGEST_POWER_CAP_SHARE = 0.5
LARGEST_SHARE = 0.1


def reasons_against(
    timing: Timing, noise: float, error: float, tolerance: float, ceiling_bytes_per_s: float | None
) -> tuple[str, ...]:
    """Why a measurement is invalid; empty where nothing speaks against it.

    Args:
        timing: the samples, and what was seen of the machine between them.
        noise: relative noise of the samples' median.
        error: largest absolute difference from the float64 reference.
        tolerance: what is allowed of it.
        ceiling_bytes_per_s: bandwidth of such a flush when the ceilings were found; None where they were not.
    """
    reasons = []
    if not error <= tolerance:  # nor NaN
        reasons.append(f"wrong: differs from the float64 reference by {error:.2g}, {tolerance:.2g} is allowed")
    n_samples = len(timing.samples_s)
    if n_samples < FEWEST_SAMPLES:
        reasons.append(f"too few samples: {n_samples}, at least {FEWEST_SAMPLES} are needed for a 95 % interval")
    if noise > LARGEST_NOISE:
        reasons.append(f"{NOISY}the median is known to ±{noise:.0%}, ±{LARGEST_NOISE:.0%} is allowed")
    if timing.n_starved:
        reasons.append(
            f"starved: in {timing.n_starved} of {n_samples} samples the device caught up with the host, whose time may "
            "be part of them"
        )
    for name, share in timing.slowdowns.items():
        if share > (LARGEST_POWER_CAP_SHARE if name == POWER_CAP else LARGEST_SHARE):
            reasons.append(f"throttled: {name} held the clock down in {share:.0%} of the rounds")
    if timing.read_bandwidth_bytes_per_s is not None and ceiling_bytes_per_s is not None:
        drift = timing.read_bandwidth_bytes_per_s / ceiling_bytes_per_s - 1
        if abs(drift) > LARGEST_DRIFT:
            reasons.append(
                f"machine drifted: read bandwidth was {drift:+.0%} off the ceiling found at the start, "
                f"±{LARGEST_DRIFT:.0%} is allowed"
            )
    return tuple(reasons)
