"""The seam to attention's time: everything else here asks only through `AttentionTime`.

`datasheet_time` is the roofline of `sparq_roofline.prediction` over arrays. A calibrated model of one implementation
takes its place by being another callable of the same type.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from sparq_profiles import HardwareProfile, SparqConfig
from sparq_roofline.deployment.span import Amount, Span
from sparq_roofline.formulas import dense_steps, sparq_steps
from sparq_roofline.prediction import Ceilings
from sparq_roofline.steps import StepTraffic


@dataclass(frozen=True, slots=True)
class AttentionStep:
    """Attention of one layer in one decode step on one GPU; ``batch`` and ``seq_len`` may be arrays.

    Attributes:
        config: SparQ's settings; None is dense. A ``top_k`` beyond ``seq_len`` counts as ``seq_len``.
    """

    batch: Amount
    seq_len: Amount
    n_heads: int
    n_kv_heads: int
    head_dim: int
    element_bytes: int
    config: SparqConfig | None


# Seconds of one layer's attention, writing the new token's K and V included.
AttentionTime = Callable[[HardwareProfile, AttentionStep], Span]


def attention_traffic(step: AttentionStep, sector_bytes: int) -> tuple[StepTraffic, ...]:
    """The step's minimum traffic."""
    heads = (step.batch, step.seq_len, step.n_heads, step.n_kv_heads, step.head_dim, step.element_bytes)
    config = step.config
    if config is None:
        return dense_steps(*heads)
    return sparq_steps(
        *heads,
        config.rank,
        np.minimum(config.top_k, step.seq_len),
        config.local_window,
        int(config.mean_value),
        int(config.group_score == "softmax"),
        config.k_layout,
        sector_bytes,
        np.minimum,
    )


def datasheet_time(hardware: HardwareProfile, step: AttentionStep) -> Span:
    """The roofline's time, from the profile's ceilings and stated efficiencies."""
    ceilings = Ceilings.of(hardware, "float16")
    return roofline_time(attention_traffic(step, ceilings.sector_bytes), ceilings)


def roofline_time(steps: Iterable[StepTraffic], ceilings: Ceilings) -> Span:
    """`sparq_roofline.prediction.predict_time` for arrays, which test_step_time holds it to."""
    memory_s: Amount = 0.0
    compute_s: Amount = 0.0
    expected_s: Amount = 0.0
    upper_s: Amount = 0.0
    compute_low, compute_mid = ceilings.compute
    for step in steps:
        low, mid = ceilings.gather if step.access == "gather" else ceilings.stream
        step_memory_s = step.moved_bytes / ceilings.bandwidth_bytes_per_s
        step_compute_s = step.flops / ceilings.peak_flop_per_s
        latency_s = step.launches * ceilings.launch_latency_s
        memory_s = memory_s + step_memory_s
        compute_s = compute_s + step_compute_s
        expected_s = expected_s + np.maximum(step_memory_s / mid, step_compute_s / compute_mid) + latency_s
        upper_s = upper_s + step_memory_s / low + step_compute_s / compute_low + latency_s
    return Span(np.maximum(memory_s, compute_s), expected_s, upper_s)
