"""Tensor parallelism's price: summing activations over the GPUs of one machine, as a ring does."""

from sparq_profiles import ConfigError, HardwareProfile, ModelProfile
from sparq_roofline.deployment.assumptions import (
    ACTIVATION_BYTES,
    ALL_REDUCES_PER_LAYER,
    HOP_LATENCY_S,
    LINK_SHARE,
)
from sparq_roofline.deployment.span import Amount, Span


def all_reduce_bytes(model: ModelProfile, batch: Amount, n_gpus: int) -> Amount:
    """Bytes that each GPU sends in one all-reduce: ``2·(n − 1)/n · batch · hidden · 2``."""
    return 2 * (n_gpus - 1) / n_gpus * batch * model.hidden_size * ACTIVATION_BYTES


def all_reduce_time(hardware: HardwareProfile, model: ModelProfile, batch: Amount, n_gpus: int) -> Span:
    """Seconds of all the all-reduces of one step; none on one GPU.

    Raises:
        ConfigError: several GPUs and no link bandwidth in the profile.
    """
    if n_gpus == 1:
        return Span.exactly(0.0 * batch)
    link = hardware.link_bandwidth_bytes_per_s
    if link is None:
        raise ConfigError(
            f"hardware {hardware.name}: link_bandwidth_bytes_per_s is not stated: a model cannot be split over "
            f"{n_gpus} of them"
        )
    count = ALL_REDUCES_PER_LAYER * model.n_layers
    wire_s = count * all_reduce_bytes(model, batch, n_gpus) / link.value
    hops = count * 2 * (n_gpus - 1)
    low_share, share, high_share = LINK_SHARE
    low_s, hop_s, high_s = HOP_LATENCY_S
    return Span(wire_s / high_share + hops * low_s, wire_s / share + hops * hop_s, wire_s / low_share + hops * high_s)
