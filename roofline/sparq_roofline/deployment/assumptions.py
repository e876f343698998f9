"""What no datasheet says: every constant of a sizing, with its reason. Reports print them all."""

from dataclasses import dataclass

# Share of a device's memory kept for activations, workspaces, the driver's context and fragmentation.
RESERVE_FRACTION = 0.10
# Norm, QKV, rotary, output projection, norm, gate and up, activation, down: what fused decoders launch.
LAUNCHES_PER_LAYER = 8
# Embedding, last norm, LM head, sampling.
LAUNCHES_PER_STEP = 4
# Megatron-style tensor parallelism: one after the output projection, one after the MLP.
ALL_REDUCES_PER_LAYER = 2
# Activations travel between GPUs in 16 bits, whatever the weights are stored in.
ACTIVATION_BYTES = 2
# Latency of one hop of the ring, lower, expected and upper; a ring of n GPUs makes 2·(n − 1).
HOP_LATENCY_S = (0.5e-6, 1.0e-6, 2.0e-6)
# Share of the link's bandwidth that a decode step's small messages reach, lower, expected and upper.
LINK_SHARE = (0.5, 0.7, 1.0)
# Mean power while decoding, as a share of the power limit, lower, expected and upper.
POWER_SHARE = (0.5, 0.7, 1.0)


@dataclass(frozen=True, slots=True)
class Assumption:
    """One assumption as a reader sees it."""

    name: str
    value: str
    reason: str


def stated(
    reserve_fraction: float = RESERVE_FRACTION, power_share: tuple[float, float, float] = POWER_SHARE
) -> tuple[Assumption, ...]:
    """Every assumption behind a sizing, with the two that a caller may change as given."""
    low, expected, high = power_share
    return (
        Assumption(
            "memory capacity",
            "the profile's memory_bytes, a GB taken as 1e9 bytes",
            "the smaller reading of the datasheet, 3 to 7 % below what most drivers report: what is said to fit, fits",
        ),
        Assumption(
            "memory reserve",
            f"{reserve_fraction:.0%} of the capacity",
            "activations, workspaces, the driver's context, fragmentation: what serving programs leave free by default",
        ),
        Assumption(
            "KV cache",
            "every sequence at its final length, context + output",
            "no sequence may be evicted before it ends",
        ),
        Assumption(
            "length of a step",
            "context + (output + 1) / 2, rounded up",
            "the mean over a sequence's decoding, of which attention time is a linear function",
        ),
        Assumption(
            "weights",
            "each matrix is read once a step; activations stay in the caches",
            "a decode step's activations are below 3 % of the weights up to batch 64",
        ),
        Assumption(
            "launches",
            f"{LAUNCHES_PER_LAYER} a layer beside attention's own, {LAUNCHES_PER_STEP} a step",
            "fused kernels in one CUDA graph; the lower end has none",
        ),
        Assumption(
            "tensor parallelism",
            f"{ALL_REDUCES_PER_LAYER} ring all-reduces a layer, {ACTIVATION_BYTES} bytes an element, not overlapped; "
            f"{HOP_LATENCY_S[0] * 1e6:g} to {HOP_LATENCY_S[2] * 1e6:g} µs a hop, "
            f"{LINK_SHARE[0]:.0%} to {LINK_SHARE[2]:.0%} of the link",
            "the next layer needs the sum; decode's messages are small",
        ),
        Assumption(
            "power",
            f"{low:.0%} to {high:.0%} of the power limit, {expected:.0%} expected",
            "decode waits for memory; not measured",
        ),
        Assumption(
            "prefill",
            "not counted",
            "tokens/s, cost and energy are of the generated tokens' decode steps alone",
        ),
    )
