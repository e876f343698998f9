"""Time of one decode step of a whole model on one machine, and what SparQ changes of it.

    step = weights of the layers + attention + LM head + launches + all-reduces

Each part is a roofline of its own with lower, expected and upper ends; parts follow each other, so they add. The
weights are read once whatever the batch. Amdahl's law is in the sum: `Comparison` never has attention's speedup without
the step's.
"""

from dataclasses import dataclass, replace

import numpy as np

from sparq_profiles import HardwareProfile, SparqConfig
from sparq_roofline.deployment.all_reduce import all_reduce_time
from sparq_roofline.deployment.assumptions import LAUNCHES_PER_LAYER, LAUNCHES_PER_STEP
from sparq_roofline.deployment.attention import AttentionStep, AttentionTime, datasheet_time, roofline_time
from sparq_roofline.deployment.served import Served
from sparq_roofline.deployment.sharding import Shard
from sparq_roofline.deployment.span import Amount, Span
from sparq_roofline.prediction import Ceilings
from sparq_roofline.steps import StepTraffic


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of one decode step by part.

    Attributes:
        layers: the matrix products of all layers.
        attention: of all layers, writing the new token into the cache included.
        head: the LM head.
        launches: kernels beside attention's.
        all_reduce: tensor parallelism.
    """

    layers: Span
    attention: Span
    head: Span
    launches: Span
    all_reduce: Span

    @property
    def rest(self) -> Span:
        """All but attention: the same for dense and SparQ."""
        return self.layers + self.head + self.launches + self.all_reduce

    @property
    def total(self) -> Span:
        """The whole step: the time per output token of each sequence."""
        return self.rest + self.attention


@dataclass(frozen=True, slots=True)
class Comparison:
    """SparQ against dense for one batch, length and machine: attention and, always beside it, the step."""

    dense: StepTime
    sparq: StepTime
    attention_speedup: Span
    step_speedup: Span


def rest_time(hardware: HardwareProfile, served: Served, held: Shard, batch: Amount) -> StepTime:
    """A step without its attention, which is left at 0.

    Raises:
        ConfigError: several GPUs and no link bandwidth in the profile.
    """
    model, weights = served.model, served.weights
    ceilings = replace(Ceilings.of(hardware, "float16"), peak_flop_per_s=weights.peak_flop_per_s(hardware))
    matrices = model.n_layers * held.layer_matrices
    layers = StepTraffic("layers", read_bytes=held.layer_read_bytes(weights), flops=2 * batch * matrices, launches=0)
    head = StepTraffic(
        "head", read_bytes=held.head_matrix * weights.table_bytes, flops=2 * batch * held.head_matrix, launches=0
    )
    launches_s = (LAUNCHES_PER_LAYER * model.n_layers + LAUNCHES_PER_STEP) * ceilings.launch_latency_s
    return StepTime(
        layers=roofline_time((layers,), ceilings),
        attention=Span.exactly(0.0 * batch),
        head=roofline_time((head,), ceilings),
        launches=Span(0.0 * batch, launches_s + 0.0 * batch, launches_s + 0.0 * batch),
        all_reduce=all_reduce_time(hardware, model, batch, held.n_gpus),
    )


def attention_time(
    hardware: HardwareProfile,
    served: Served,
    held: Shard,
    batch: Amount,
    seq_len: Amount,
    config: SparqConfig | None,
    attention: AttentionTime = datasheet_time,
) -> Span:
    """Seconds of the attention of all layers; windowed ones see at most their window."""
    total = Span.exactly(0.0)
    for layers, window in served.spans():
        step = AttentionStep(
            batch=batch,
            seq_len=seq_len if window is None else np.minimum(seq_len, window),
            n_heads=held.n_heads,
            n_kv_heads=held.n_kv_heads,
            head_dim=served.model.head_dim,
            element_bytes=served.kv.element_bytes,
            config=config,
        )
        total = total + attention(hardware, step).times(layers)
    return total


def step_time(
    hardware: HardwareProfile,
    served: Served,
    held: Shard,
    batch: Amount,
    seq_len: Amount,
    config: SparqConfig | None,
    attention: AttentionTime = datasheet_time,
) -> StepTime:
    """Time of one decode step; ``batch`` and ``seq_len`` may be arrays of one shape.

    Args:
        hardware: each GPU's profile.
        served: the model and its element types.
        held: what one GPU holds of it.
        batch: sequences decoded together.
        seq_len: tokens in the cache, the new one included.
        config: SparQ's settings, or None for dense.
        attention: the attention model.

    Raises:
        ConfigError: rank above head_dim; several GPUs and no link bandwidth in the profile.
    """
    if config is not None:
        config.check_fits(served.model.head_dim)
    rest = rest_time(hardware, served, held, batch)
    return replace(rest, attention=attention_time(hardware, served, held, batch, seq_len, config, attention))


def compare(dense: StepTime, sparq: StepTime) -> Comparison:
    """Both speedups; the rest of the step is one unknown, the same on both sides at each end."""
    rest, before, after = dense.rest, dense.attention, sparq.attention

    def ratio(rest_s: Amount, before_s: Amount, after_s: Amount) -> Amount:
        return (rest_s + before_s) / (rest_s + after_s)

    # The ratio is monotonic in the rest, rising or falling: its ends lie at the rest's ends.
    worst = [ratio(end, before.lower, after.upper) for end in (rest.lower, rest.upper)]
    best = [ratio(end, before.upper, after.lower) for end in (rest.lower, rest.upper)]
    return Comparison(
        dense=dense,
        sparq=sparq,
        attention_speedup=before.over(after),
        step_speedup=Span(np.minimum(*worst), ratio(rest.expected, before.expected, after.expected), np.maximum(*best)),
    )
